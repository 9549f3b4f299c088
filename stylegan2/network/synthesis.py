"""SynthesisNetwork: ws -> img, with a tap and an entrance for the feature space F at every resolution."""

from itertools import pairwise
from typing import Protocol

from torch import Tensor, nn

from stylegan2.checks import check_shape
from stylegan2.errors import ConfigError, ShapeError
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.layers import NOISE_MODES, SynthesisLayer, ToRGBLayer, unit_normal
from stylegan2.ops.upfirdn2d import upsample2d


class Synthesis(Protocol):
    """ws -> img in two parts: `SynthesisNetwork`, or `FoldedSynthesis` where nothing is trained."""

    def lower(self, ws: Tensor, resolution: int) -> tuple[Tensor, Tensor | None]:
        """See `SynthesisNetwork.lower`."""

    def rise(
        self, x: Tensor, img: Tensor | None, ws: Tensor, resolution: int
    ) -> tuple[Tensor, Tensor | None]:
        """See `SynthesisNetwork.rise`."""

    def upper(self, f: Tensor, img: Tensor | None, ws: Tensor, *, shown: Tensor | None = None) -> Tensor:
        """See `SynthesisNetwork.upper`."""

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


def draw_styles(synthesis: Synthesis, ws: Tensor) -> Tensor:
    """G(ws) of styles [N, num_ws, w_dim]: img [N, 3, R, R], about [-1, 1], with the stored noise."""
    return synthesis.upper(*synthesis.lower(ws, 4), ws)


class SynthesisBlock(nn.Module):
    """One resolution: an upsampling convolution (not at 4 x 4), a convolution and the RGB skip."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.first = resolution == 4
        if self.first:
            self.const = nn.Parameter(unit_normal(out_channels, 4, 4))
        else:
            self.conv0 = SynthesisLayer(
                in_channels, out_channels, w_dim, resolution, up=True, conv_clamp=conv_clamp
            )
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim, resolution, conv_clamp=conv_clamp)
        self.torgb = ToRGBLayer(out_channels, w_dim, conv_clamp=conv_clamp)

    def activation(self, x: Tensor | None, ws: Tensor, noise_mode: str) -> Tensor:
        """This block's activation.

        Args:
            x: Activation of the block below [N, I, R/2, R/2]; None at 4 x 4.
            ws: Styles of conv0, conv1 and ToRGB (conv1 and ToRGB at 4 x 4) [N, 2 or 3, w_dim].
            noise_mode: See `SynthesisLayer`.

        Returns:
            [N, O, R, R].
        """
        x = self.const.expand(len(ws), -1, -1, -1) if x is None else self.conv0(x, ws[:, 0], noise_mode)
        return self.conv1(x, ws[:, -2], noise_mode)  # type: ignore[no-any-return]

    def draw(self, x: Tensor, img: Tensor | None, ws: Tensor) -> Tensor:
        """Add this block's colours to the picture of the blocks below.

        Args:
            x: This block's activation [N, O, R, R].
            img: Picture so far [N, 3, R/2, R/2]; None at 4 x 4.
            ws: As for `activation`.

        Returns:
            [N, 3, R, R].
        """
        colours: Tensor = self.torgb(x, ws[:, -1])
        return colours if img is None else upsample2d(img) + colours


class SynthesisNetwork(nn.Module):
    """ws -> img with skip connections (Karras et al. 2020, arXiv:1912.04958, Fig. 7b).

    The space F at resolution R is the activation that block R hands on, after noise and activation
    function: `lower` computes it, `upper` goes on from it, and `forward` does both.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        for below, resolution in zip((0, *config.resolutions), config.resolutions, strict=False):
            block = SynthesisBlock(
                config.channels.get(below, 0),
                config.channels[resolution],
                config.w_dim,
                resolution,
                conv_clamp=config.conv_clamp,
            )
            setattr(self, f"b{resolution}", block)

    @property
    def blocks(self) -> list[SynthesisBlock]:
        """The blocks from 4 x 4 up."""
        return [getattr(self, f"b{r}") for r in self.config.resolutions]

    def forward(self, ws: Tensor, *, f: Tensor | None = None, noise_mode: str = "const") -> Tensor:
        """Render styles.

        Args:
            ws: One style per layer [N, num_ws, w_dim].
            f: Activation that replaces that of the block of its resolution [N, C, R, R]; what the blocks
                below add to the picture still comes from `ws` (CLCAE section 3.2).
            noise_mode: "const" (stored), "random" (fresh), or "none".

        Returns:
            img [N, 3, img_resolution, img_resolution], about [-1, 1], not clamped.

        Raises:
            ShapeError: `ws` has another shape, or `f` fits no block.
            ConfigError: `noise_mode` is not one of the three.
        """
        resolution = self.config.img_resolution if f is None else f.shape[-1]
        x, img = self.lower(ws, resolution, noise_mode=noise_mode)
        return self.upper(x if f is None else f, img, ws, noise_mode=noise_mode)

    def lower(
        self, ws: Tensor, resolution: int, *, noise_mode: str = "const"
    ) -> tuple[Tensor, Tensor | None]:
        """Run the blocks up to `resolution`.

        Returns:
            The activation there [N, C, R, R], and the picture of the blocks below [N, 3, R/2, R/2], None
            where there are none.

        Raises:
            ShapeError: `ws` has another shape.
            ConfigError: There is no block of this resolution, or no such noise mode.
        """
        check_shape("ws", ws, "N", self.config.num_ws, self.config.w_dim)
        if noise_mode not in NOISE_MODES:
            raise ConfigError(f"noise_mode: {noise_mode!r}; must be one of {', '.join(NOISE_MODES)}")
        if resolution not in self.config.channels:
            raise ConfigError(f"resolution: {resolution}; must be one of {list(self.config.channels)}")
        first, styles = self._styled(ws)[0]
        return self.rise(
            first.activation(None, styles, noise_mode), None, ws, resolution, noise_mode=noise_mode
        )

    def rise(
        self,
        x: Tensor,
        img: Tensor | None,
        ws: Tensor,
        resolution: int,
        *,
        noise_mode: str = "const",
    ) -> tuple[Tensor, Tensor | None]:
        """Go on from what `lower` answered, up to `resolution`.

        Args:
            x: Activation [N, C, R, R] of the block of its resolution.
            img: Picture of the blocks below it.
            ws: One style per layer [N, num_ws, w_dim].
            resolution: That of `x`, where nothing is left to do, or above.
            noise_mode: See `forward`.

        Returns:
            As `lower`.
        """
        parts = [part for part in self._styled(ws) if x.shape[-1] <= part[0].resolution <= resolution]
        for (below, below_styles), (block, styles) in pairwise(parts):
            img = below.draw(x, img, below_styles)
            x = block.activation(x, styles, noise_mode)
        return x, img

    def upper(
        self,
        f: Tensor,
        img: Tensor | None,
        ws: Tensor,
        *,
        shown: Tensor | None = None,
        noise_mode: str = "const",
    ) -> Tensor:
        """Go on from the activation of a block.

        Args:
            f: Activation [N, C, R, R] of the block of its resolution.
            img: Picture of the blocks below it, as `lower` returns it.
            ws: One style per layer [N, num_ws, w_dim].
            shown: Activation that this block's own colours are drawn from, shaped as `f`; None for `f`. In
                CLCAE's published code that is the activation which f replaces.
            noise_mode: See `forward`.

        Raises:
            ShapeError: `f` fits no block, or `shown` is shaped otherwise.
        """
        return self.trace(f, img, ws, shown=shown, noise_mode=noise_mode)[1]

    def trace(
        self,
        f: Tensor,
        img: Tensor | None,
        ws: Tensor,
        *,
        shown: Tensor | None = None,
        up_to: int | None = None,
        noise_mode: str = "const",
    ) -> tuple[list[Tensor], Tensor]:
        """`upper`, and what it comes by: the activations of the blocks from `f` on, and the picture.

        With `up_to` the blocks end at this resolution, and so does the picture.
        """
        resolution = f.shape[-1]
        if resolution not in self.config.channels:
            raise ShapeError("f", tuple(f.shape), f"[N, C, R, R] with R one of {list(self.config.channels)}")
        check_shape("f", f, len(ws), self.config.channels[resolution], resolution, resolution)
        if shown is not None:
            check_shape("shown", shown, *f.shape)
        last = up_to or self.config.img_resolution
        own, *above = [part for part in self._styled(ws) if resolution <= part[0].resolution <= last]
        activations, drawn = [f], own[0].draw(f if shown is None else shown, img, own[1])
        for block, styles in above:
            activations.append(block.activation(activations[-1], styles, noise_mode))
            drawn = block.draw(activations[-1], drawn, styles)
        return activations, drawn

    def features(self, ws: Tensor, resolution: int, *, noise_mode: str = "const") -> Tensor:
        """F = G_k(ws): the activation of the block of this resolution [N, C, R, R]; raises as `lower`."""
        return self.lower(ws, resolution, noise_mode=noise_mode)[0]

    def _styled(self, ws: Tensor) -> list[tuple[SynthesisBlock, Tensor]]:
        """Every block with its styles."""
        return [(block, _taken(ws, self.config.rows(block.resolution))) for block in self.blocks]


def _taken(ws: Tensor, rows: tuple[int, ...]) -> Tensor:
    """Some styles of each picture [N, len(rows), w_dim]: neighbours, or one several times."""
    if rows[0] == rows[-1]:
        return ws[:, rows[0], None].expand(-1, len(rows), -1)
    return ws[:, rows[0] : rows[-1] + 1]
