"""FoldedSynthesis: the synthesis network with every constant multiplied in, for inference only."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.image import to_uint8
from stylegan2.network.layers import SynthesisLayer, ToRGBLayer, clamped
from stylegan2.network.synthesis import SynthesisNetwork
from stylegan2.ops.bias_act import LRELU_GAIN, LRELU_SLOPE
from stylegan2.ops.modulated_conv import demodulation
from stylegan2.ops.upfirdn2d import blur_weight, upsample2d


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
        self.up, self.conv_clamp = layer.up, layer.conv_clamp
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

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = F.linear(w, self.affine_weight, self.affine_bias)
        factors = demodulation(styles, self.energy) * LRELU_GAIN
        x = x * styles[:, :, None, None]
        if self.up:
            x = F.conv_transpose2d(x, self.weight, stride=2)
            x = F.conv2d(x, self.blur, padding=1, groups=len(self.blur))
        else:
            x = F.conv2d(x, self.weight, padding=1)
        x = F.leaky_relu(x * factors[:, :, None, None] + self.shift, LRELU_SLOPE)
        return clamped(x, self.conv_clamp)

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return _clamp_words(self.conv_clamp)


class _FoldedToRGB(nn.Module):
    weight: Tensor
    affine_weight: Tensor
    affine_bias: Tensor
    bias: Tensor

    def __init__(self, layer: ToRGBLayer) -> None:
        super().__init__()
        self.conv_clamp = layer.conv_clamp
        self.register_buffer("weight", (layer.weight * layer.weight_gain).detach())
        self.register_buffer("affine_weight", layer.affine.weight.detach() * layer.affine.weight_gain)
        self.register_buffer("affine_bias", layer.affine.bias.detach() * layer.affine.bias_gain)
        self.register_buffer("bias", layer.bias.detach()[None, :, None, None].clone())

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = F.linear(w, self.affine_weight, self.affine_bias)
        return clamped(F.conv2d(x * styles[:, :, None, None], self.weight) + self.bias, self.conv_clamp)

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return _clamp_words(self.conv_clamp)


class FoldedSynthesis(nn.Module):
    """ws [N, num_ws, w_dim] -> pixels [N, R, R, 3] uint8; as `SynthesisNetwork` with const noise."""

    const: Tensor

    def __init__(self, synthesis: SynthesisNetwork) -> None:
        super().__init__()
        self.resolutions = synthesis.config.resolutions
        self.register_buffer("const", synthesis.blocks[0].const.detach()[None].clone())
        self.layers = nn.ModuleList()
        self.torgbs = nn.ModuleList(_FoldedToRGB(block.torgb) for block in synthesis.blocks)
        for block in synthesis.blocks:
            if not block.first:
                self.layers.append(_FoldedLayer(block.conv0))
            self.layers.append(_FoldedLayer(block.conv1))

    def forward(self, ws: Tensor) -> Tensor:
        """Render `ws` to pixels."""
        return to_uint8(self.upper(*self.lower(ws, self.resolutions[-1]), ws))

    def lower(self, ws: Tensor, resolution: int) -> tuple[Tensor, Tensor | None]:
        """See `SynthesisNetwork.lower`."""
        x = self.layers[0](self.const.expand(ws.shape[0], -1, -1, -1), ws[:, 0])
        img: Tensor | None = None
        for i in range(1, self.resolutions.index(resolution) + 1):
            img = self._draw(i - 1, x, img, ws)
            x = self._activation(i, x, ws)
        return x, img

    def upper(self, f: Tensor, img: Tensor | None, ws: Tensor, *, shown: Tensor | None = None) -> Tensor:
        """See `SynthesisNetwork.upper`."""
        return self.trace(f, img, ws, shown=shown)[1]

    def trace(
        self, f: Tensor, img: Tensor | None, ws: Tensor, *, shown: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """See `SynthesisNetwork.trace`."""
        first = self.resolutions.index(f.shape[-1])
        activations, img = [f], self._draw(first, f if shown is None else shown, img, ws)
        for i in range(first + 1, len(self.resolutions)):
            activations.append(self._activation(i, activations[-1], ws))
            img = self._draw(i, activations[-1], img, ws)
        return activations, img

    def _activation(self, block: int, x: Tensor, ws: Tensor) -> Tensor:
        for layer in (2 * block - 1, 2 * block):
            x = self.layers[layer](x, ws[:, layer])
        return x

    def _draw(self, block: int, x: Tensor, img: Tensor | None, ws: Tensor) -> Tensor:
        colours: Tensor = self.torgbs[block](x, ws[:, 2 * block + 1])
        return colours if img is None else upsample2d(img) + colours


def _clamp_words(limit: float | None) -> str:
    return "" if limit is None else f"conv_clamp={limit:g}"
