"""RefinerPath: what an inverter runs after the encoder, as two graphs and one solution in closed form."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from inversion.chain.colour_fit import ColourFit, compared_colours
from inversion.chain.feature_renderer import Feature
from inversion.chain.feature_synthesis import Sketch
from inversion.networks.refiners import Refiners, Styles
from stylegan2.engines.live import LiveEngine
from stylegan2.image import from_uint8, to_uint8
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator


class _PixelsToStyles(nn.Module):
    """Pixels and the encoder's answer -> w, improved by the second look if there is one, and ws."""

    def __init__(self, synthesis: FoldedSynthesis, refiners: Refiners) -> None:
        super().__init__()
        config = refiners.config
        self.styles = Styles(refiners)
        self.sketch = (
            None if refiners.look is None else Sketch(synthesis, config.look_resolution, config.num_ws)
        )

    def forward(
        self, pixels: Tensor, w: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor
    ) -> tuple[Tensor, Tensor]:
        looked_at = () if self.sketch is None else (from_uint8(pixels), *self.sketch(w))
        found: tuple[Tensor, Tensor] = self.styles(w, fine, middle, coarse, *looked_at)
        return found


class _PixelsToFeature(nn.Module):
    """Pixels, the levels and ws -> the `Feature` but its ws, and what `ColourFit` compares.

    That is (code, a, pixels of G(ws, f), missing, palette).
    """

    def __init__(self, synthesis: FoldedSynthesis, refiners: Refiners, colours_side: int) -> None:
        super().__init__()
        self.synthesis, self.colours_side = synthesis, colours_side
        self.feature, self.carrier = refiners.feature, refiners.carrier

    def forward(
        self, pixels: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor, ws: Tensor
    ) -> tuple[Tensor, ...]:
        a, below = self.synthesis.lower(ws, self.feature.config.f_resolution)
        activations, drawn = self.synthesis.trace(a, below, ws)
        img, drawn = from_uint8(pixels), drawn.clamp(-1, 1)
        code = self.feature(img, drawn, (fine, middle, coarse), ws)
        pixels_in_f = to_uint8(self.synthesis.upper(self.carrier(code, a), below, ws))
        return code, a, pixels_in_f, *compared_colours(img, drawn, activations[-2:], self.colours_side)

    def extra_repr(self) -> str:
        return f"colours_side={self.colours_side}"


class RefinerPath:
    """The encoder's answer -> ws and F.

    Args:
        generator: The refiners'.
        refiners: Their look, W+, feature and carrier are used.
        answer: The encoder's, for a picture of the right size.
        open_engine: Module and examples -> engine.
    """

    def __init__(
        self,
        generator: Generator,
        refiners: Refiners,
        answer: tuple[Tensor, ...],
        open_engine: Callable[[nn.Module, tuple[Tensor, ...]], LiveEngine],
    ) -> None:
        side = generator.img_resolution
        pixels = torch.zeros(1, side, side, 3, dtype=torch.uint8)
        self.refiners = refiners
        self._colours = ColourFit(generator, refiners.wplus.w_std)
        folded = FoldedSynthesis(generator.synthesis)
        self._styles = open_engine(_PixelsToStyles(folded, refiners).eval(), (pixels, *answer))
        _, ws = self.styles(pixels, answer[0], answer[1:])
        feature = _PixelsToFeature(folded, refiners, self._colours.side).eval()
        self._feature = open_engine(feature, (pixels, *answer[1:], ws))

    def prepare(self) -> None:
        """Start building faster engines in the background."""
        self._styles.prepare()
        self._feature.prepare()

    def styles(self, pixels: Tensor, w: Tensor, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Refine the encoder's answer for pixels [1, R, R, 3] uint8: w and its feature levels.

        Returns:
            w [1, w_dim], improved by the second look if there is one, and ws [1, num_ws, w_dim].
        """
        w, ws = self._styles(pixels, w, *levels)
        return w, ws

    def fitted(self, pixels: Tensor, ws: Tensor, levels: Sequence[Tensor]) -> tuple[Tensor, Feature]:
        """Styles -> the same with the colours of the picture, and what F adds to them as they were."""
        code, a, pixels_in_f, missing, palette = self._feature(pixels, *levels, ws)
        return self._colours(missing, palette, ws), Feature(ws=ws, code=code, a=a, pixels=pixels_in_f)
