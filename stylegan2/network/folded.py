"""FoldedSynthesis: the synthesis network with every constant multiplied in, for inference only."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.checks import check_shape
from stylegan2.image import to_uint8
from stylegan2.network.layers import SynthesisLayer, ToRGBLayer, clamped
from stylegan2.network.synthesis import SynthesisNetwork
from stylegan2.ops.bias_act import LRELU_GAIN, LRELU_SLOPE
from stylegan2.ops.int8 import largest, limit, rounded, rounded_weight
from stylegan2.ops.modulated_conv import demodulation
from stylegan2.ops.upfirdn2d import blur_weight, upsample2d

Maps = Mapping[int, Tensor]  # resolution -> shares of zones [Z, B * B], B at most as large
_TINY = 1e-6
_BASE = 4  # px a side, at least, that shares are kept at; else half the resolution of what they are for


def _spread(values: Tensor, maps: Maps, side: int) -> Tensor:
    """Numbers of channels, one for the whole picture [N, C] or one a zone [N, Z, C], as factors of it."""
    if values.ndim == 2:
        return values[:, :, None, None]
    if not maps:
        return values[:, -1, :, None, None]
    base = _base(side)
    placed = (values.transpose(1, 2) @ maps[side].to(values)).reshape(-1, values.shape[-1], base, base)
    if base == side:
        return placed
    # OpenVINO enlarges into the memory order that convolutions want; a product of matrices it has to reorder.
    return F.interpolate(placed, size=(side, side), mode="bilinear", align_corners=False)


def _base(side: int) -> int:
    return max(side // 2, _BASE)


class _FoldedLayer(nn.Module):
    """`SynthesisLayer` with const noise: scales, filter energies and the activation's gain are constants.

    The gain sqrt(2) moves before the leaky ReLU (it is positively homogeneous) and into noise, bias and
    demodulation.
    """

    weight: Tensor
    affine_weight: Tensor
    affine_bias: Tensor
    energy: Tensor
    shift: Tensor
    blur: Tensor  # where `up`

    def __init__(self, layer: SynthesisLayer) -> None:
        super().__init__()
        self.up, self.conv_clamp, self.side = layer.up, layer.conv_clamp, layer.noise_const.shape[-1]
        self.int8 = False  # whether activations and kernel are rounded, see `stylegan2.ops.int8`
        # Before that, channels are divided by these [I], and the kernel multiplied.
        self.evening = torch.ones(layer.weight.shape[1])
        weight = (layer.weight * layer.weight_gain).detach()
        noise = layer.noise_const * layer.noise_strength
        self.register_buffer("energy", weight.square().sum((2, 3)))
        if layer.up:
            self.register_buffer("blur", blur_weight(len(weight)).to(weight))
            weight = weight.transpose(0, 1)
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("affine_weight", layer.affine.weight.detach() * layer.affine.weight_gain)
        self.register_buffer("affine_bias", layer.affine.bias.detach() * layer.affine.bias_gain)
        self.register_buffer("shift", ((noise[None] + layer.bias[:, None, None]) * LRELU_GAIN)[None].detach())

    def forward(self, x: Tensor, w: Tensor, maps: Maps) -> Tensor:
        styles = F.linear(w, self.affine_weight, self.affine_bias)
        factors = _spread(demodulation(styles, self.energy) * LRELU_GAIN, maps, self.side)
        scales, weight = _spread(styles, maps, self.side // 2 if self.up else self.side), self.weight
        if self.int8:
            evening = self.evening[:, None, None]
            unit = limit(self._largest(x, styles) / evening)
            x, factors = rounded(x * (scales / (evening * unit))), factors * unit
            weight = rounded_weight(weight * (evening[..., None] if self.up else evening), int(self.up))
        else:
            x = x * scales
        if self.up:
            x = F.conv_transpose2d(x, weight, stride=2)
            x = F.conv2d(x, self.blur, padding=1, groups=len(self.blur))
        else:
            x = F.conv2d(x, weight, padding=1)
        return clamped(F.leaky_relu(x * factors + self.shift, LRELU_SLOPE), self.conv_clamp)

    def largest(self, x: Tensor, w: Tensor) -> Tensor:
        """Of every channel that is convolved [I], the mean over pictures of its largest number."""
        return self._largest(x, F.linear(w, self.affine_weight, self.affine_bias)).mean(0).flatten()

    def _largest(self, x: Tensor, styles: Tensor) -> Tensor:
        size = styles.abs() if styles.ndim == 2 else styles.abs().amax(1)
        return largest(x) * size[:, :, None, None]

    def even_out(self, found: Tensor) -> None:
        """Divide channels of numbers up to these [I] such that all lose as much by rounding.

        Half of a channel's size is left to its weights (SmoothQuant, arXiv:2211.10438, Eq. 4).
        """
        weights = self.weight.abs().amax((1, 2, 3) if self.up else (0, 2, 3))
        evening = (found.clamp(min=_TINY) / weights.clamp(min=_TINY)).sqrt()
        self.evening = evening / evening.mean()

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return _clamp_words(self.conv_clamp)


class _FoldedToRGB(nn.Module):
    weight: Tensor
    affine_weight: Tensor
    affine_bias: Tensor
    bias: Tensor

    def __init__(self, layer: ToRGBLayer, side: int) -> None:
        super().__init__()
        self.conv_clamp, self._side = layer.conv_clamp, side
        self.register_buffer("weight", (layer.weight * layer.weight_gain).detach())
        self.register_buffer("affine_weight", layer.affine.weight.detach() * layer.affine.weight_gain)
        self.register_buffer("affine_bias", layer.affine.bias.detach() * layer.affine.bias_gain)
        self.register_buffer("bias", layer.bias.detach()[None, :, None, None].clone())

    def forward(self, x: Tensor, w: Tensor, maps: Maps) -> Tensor:
        styles = F.linear(w, self.affine_weight, self.affine_bias)
        x = x * _spread(styles, maps, self._side)
        return clamped(F.conv2d(x, self.weight) + self.bias, self.conv_clamp)

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return _clamp_words(self.conv_clamp)


class FoldedSynthesis(nn.Module):
    """ws [N, num_ws, w_dim] -> pixels [N, R, R, 3] uint8; as `SynthesisNetwork` with const noise.

    With zones, also ws [N, Z, num_ws, w_dim]: styles of its own for every zone. In every layer a channel's
    scale, and the factor that demodulates it, is at each place the mean of the zones' own, by their shares
    there; the finest layers have the last zone's all over. Where all zones have the same styles, that is the
    plain picture.

    Args:
        synthesis: Its weights are folded.
        zones: Shares [Z, S, S] that sum to 1 at every place, of which the model's resolution is a multiple or
            a part; None where there is one zone.
    """

    const: Tensor
    zones: int  # how many there are
    samples: Tensor | None  # styles [P, num_ws, w_dim] by which it may be judged, where somebody knew any

    def __init__(self, synthesis: SynthesisNetwork, zones: Tensor | None = None) -> None:
        super().__init__()
        self.zones = 1 if zones is None else len(zones)
        self.samples = None
        self._w_dim, self._channels = synthesis.config.w_dim, dict(synthesis.config.channels)
        self.resolutions, self._num_ws = synthesis.config.resolutions, synthesis.config.num_ws
        self._rows = [synthesis.config.rows(side) for side in self.resolutions]
        self.register_buffer("const", synthesis.blocks[0].const.detach()[None].clone())
        self.layers = nn.ModuleList()
        self.torgbs = nn.ModuleList(_FoldedToRGB(block.torgb, block.resolution) for block in synthesis.blocks)
        for block in synthesis.blocks:
            if not block.first:
                self.layers.append(_FoldedLayer(block.conv0))
            self.layers.append(_FoldedLayer(block.conv1))
        # The finest layers draw texture, of which no edit is made, and would take the longest.
        self._zoned: tuple[int, ...] = ()
        if zones is not None:
            self._zoned = tuple(r for r in self.resolutions if r < synthesis.config.base_resolution)
            for side in self._zoned:
                self.register_buffer(f"zones{side}", _shares(zones, _base(side)).flatten(1))

    def channels(self, resolution: int) -> int:
        """Of the activation at a resolution."""
        return self._channels[resolution]

    @torch.no_grad()
    def channel_sizes(self, samples: Tensor) -> dict[int, Tensor]:
        """How large the numbers are that each layer convolves: a mean of its largest [I], by layer.

        Args:
            samples: Styles [P, num_ws, w_dim].
        """
        found: dict[int, list[Tensor]] = {i: [] for i in range(len(self.layers))}

        def looking(i: int) -> Callable[[nn.Module, tuple[Tensor, Tensor, Maps]], None]:
            def look(layer: nn.Module, inputs: tuple[Tensor, Tensor, Maps]) -> None:
                if isinstance(layer, _FoldedLayer):
                    found[i].append(layer.largest(*inputs[:2]))

            return look

        hooks = [layer.register_forward_pre_hook(looking(i)) for i, layer in enumerate(self.layers)]
        for ws in samples:
            self(self.in_zones(ws[None]))
        for hook in hooks:
            hook.remove()
        return {i: torch.stack(sizes).mean(0) for i, sizes in found.items()}

    def round_from(self, side: int, *, up: bool, sizes: Mapping[int, Tensor]) -> None:
        """Let the layers from a resolution on compute in whole numbers of 8 bits.

        Args:
            side: px.
            up: Whether those that double the resolution are among them.
            sizes: Of `channel_sizes`.
        """
        for i, layer in enumerate(self.layers):
            if isinstance(layer, _FoldedLayer) and layer.side >= side and (up or not layer.up):
                layer.even_out(sizes[i])
                layer.int8 = True

    def in_zones(self, ws: Tensor) -> Tensor:
        """Styles as its graphs take them: with zones those of each [N, Z, num_ws, w_dim].

        Args:
            ws: [N, num_ws, w_dim], the same everywhere; with zones also [N, Z, num_ws, w_dim].

        Raises:
            ShapeError: `ws` has another shape.
        """
        num_ws, w_dim = self._num_ws, self._w_dim
        if self._zoned and ws.ndim == 4:
            check_shape("ws", ws, "N", self.zones, num_ws, w_dim)
            return ws
        check_shape("ws", ws, "N", num_ws, w_dim)
        return ws[:, None].expand(-1, self.zones, -1, -1) if self._zoned else ws

    def _maps_of(self, block: int) -> Maps:
        """The shares at the resolutions of a block; none where it has the last zone's styles all over."""
        sides = self.resolutions[max(block - 1, 0) : block + 1]
        return {side: getattr(self, f"zones{side}") for side in sides} if sides[-1] in self._zoned else {}

    def forward(self, ws: Tensor) -> Tensor:
        """Render `ws` to pixels."""
        return to_uint8(self.upper(*self.lower(ws, self.resolutions[-1]), ws))

    def lower(self, ws: Tensor, resolution: int) -> tuple[Tensor, Tensor | None]:
        """See `SynthesisNetwork.lower`."""
        x = self.layers[0](self.const.expand(ws.shape[0], -1, -1, -1), ws[..., 0, :], self._maps_of(0))
        return self.rise(x, None, ws, resolution)

    def rise(
        self, x: Tensor, img: Tensor | None, ws: Tensor, resolution: int
    ) -> tuple[Tensor, Tensor | None]:
        """See `SynthesisNetwork.rise`."""
        first, last = (self.resolutions.index(side) for side in (x.shape[-1], resolution))
        for i in range(first + 1, last + 1):
            img = self._draw(i - 1, x, img, ws)
            x = self._activation(i, x, ws)
        return x, img

    def upper(self, f: Tensor, img: Tensor | None, ws: Tensor, *, shown: Tensor | None = None) -> Tensor:
        """See `SynthesisNetwork.upper`."""
        return self.trace(f, img, ws, shown=shown)[1]

    def trace(
        self,
        f: Tensor,
        img: Tensor | None,
        ws: Tensor,
        *,
        shown: Tensor | None = None,
        up_to: int | None = None,
    ) -> tuple[list[Tensor], Tensor]:
        """See `SynthesisNetwork.trace`."""
        first = self.resolutions.index(f.shape[-1])
        activations, img = [f], self._draw(first, f if shown is None else shown, img, ws)
        end = len(self.resolutions) if up_to is None else self.resolutions.index(up_to) + 1
        for i in range(first + 1, end):
            activations.append(self._activation(i, activations[-1], ws))
            img = self._draw(i, activations[-1], img, ws)
        return activations, img

    def _activation(self, block: int, x: Tensor, ws: Tensor) -> Tensor:
        maps = self._maps_of(block)
        for layer, row in zip((2 * block - 1, 2 * block), self._rows[block], strict=False):
            x = self.layers[layer](x, ws[..., row, :], maps)
        return x

    def _draw(self, block: int, x: Tensor, img: Tensor | None, ws: Tensor) -> Tensor:
        colours: Tensor = self.torgbs[block](x, ws[..., self._rows[block][-1], :], self._maps_of(block))
        return colours if img is None else upsample2d(img) + colours


def _shares(zones: Tensor, side: int) -> Tensor:
    """The shares at another resolution [Z, side, side]; they still sum to 1."""
    if zones.shape[-1] >= side:
        return F.adaptive_avg_pool2d(zones, side)
    return F.interpolate(zones[None], size=(side, side), mode="bilinear", align_corners=False)[0]


def _clamp_words(limit: float | None) -> str:
    return "" if limit is None else f"conv_clamp={limit:g}"
