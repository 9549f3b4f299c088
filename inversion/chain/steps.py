"""The steps of the chain as modules, each written once: engines, training and exported graphs run these."""

from typing import Protocol

import torch
from torch import Tensor, nn

from inversion.chain.colour_fit import compared_colours
from inversion.networks.refiners import Refiners
from inversion.networks.second_look import Seen
from inversion.networks.w_encoder import WEncoder
from stylegan2.image import shrink
from stylegan2.network.synthesis import Synthesis


class Carrier(Protocol):
    """A module that knows what of a picture's code belongs into f after an edit."""

    @property
    def colours_from_f(self) -> bool:
        """Whether f's own block draws its colours from f too, and not from the activation it replaces."""

    def __call__(self, code: Tensor, a: Tensor) -> Tensor:
        """See `FeatureCarrier.forward`."""

    def carry(self, code: Tensor, a: Tensor, a_hat: Tensor) -> Tensor:
        """See `FeatureCarrier.carry`."""


class FeatureShapes(Protocol):
    """Where f enters the generator, and how much is known of it."""

    @property
    def f_resolution(self) -> int:
        """Side of code and activation."""

    @property
    def f_channels(self) -> int:
        """Channels of the activation."""

    @property
    def code(self) -> int:
        """Channels of the code."""


class FeatureSpace(Protocol):
    """How a model uses the space F: `Refiners`, or a published model."""

    @property
    def config(self) -> FeatureShapes:
        """Its sizes."""

    @property
    def carrier(self) -> Carrier:
        """Code and activations -> f_hat."""


class _Sized(nn.Module):
    resolution: int

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return f"resolution={self.resolution}"


class Encode(nn.Module):
    """img [N, 3, R, R] -> w [N, w_dim], and the three levels where refiners want them."""

    def __init__(self, encoder: WEncoder, *, with_levels: bool = True) -> None:
        super().__init__()
        self.encoder, self.with_levels = encoder, with_levels

    def forward(self, img: Tensor) -> tuple[Tensor, ...]:
        """See the class; `img` of any resolution from the encoder's own up."""
        w, levels = self.encoder.encode(shrink(img, self.encoder.config.in_resolution))
        return (w, *levels) if self.with_levels else (w,)

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return f"with_levels={self.with_levels}"


def drawn_up(
    synthesis: Synthesis, ws: Tensor, resolution: int, begun: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor | None]:
    """`Synthesis.lower`, where some of it may have been drawn before: its answer at a lower resolution."""
    if not begun:
        return synthesis.lower(ws, resolution)
    x, img = begun
    return synthesis.rise(x, img, ws, resolution)


class Sketch(_Sized):
    """w [N, w_dim] -> the activation of G(w) at `resolution`, and what the blocks below have drawn.

    No gradient leads through it: where G(w) lies is not for the second look to change.
    """

    def __init__(self, synthesis: Synthesis, resolution: int, num_ws: int) -> None:
        super().__init__()
        self.synthesis, self.resolution, self.num_ws = synthesis, resolution, num_ws

    @torch.no_grad()
    def forward(self, w: Tensor, *begun: Tensor) -> tuple[Tensor, Tensor | None]:
        """See the class; `begun` is what `Synthesis.lower` answered at a lower resolution, if it did."""
        ws = w.float()[:, None].expand(-1, self.num_ws, -1).contiguous()
        return drawn_up(self.synthesis, ws, self.resolution, begun)


class Styles(nn.Module):
    """w and its levels -> w, improved by the second look if there is one, and ws."""

    def __init__(self, refiners: Refiners) -> None:
        super().__init__()
        self.look, self.wplus = refiners.look, refiners.wplus

    def forward(
        self, w: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor, *looked_at: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Improve and refine.

        Args:
            w: The encoder's answer [N, w_dim].
            fine: Its feature level, as the next two.
            middle: See above.
            coarse: See above.
            looked_at: `img`, `a` and `below`, as `SecondLook` wants them; nothing without a second look.

        Returns:
            w [N, w_dim] and ws [N, num_ws, w_dim].
        """
        seen = Seen(w, (fine, middle, coarse), None)
        if self.look is not None:
            img, a, below = looked_at
            seen = self.look(img, a, below, w, seen.levels)
        return seen.w, self.wplus(seen.w, seen.levels, seen.missing)


class Refine(nn.Module):
    """img and the encoder's answer for it -> w and ws: `Styles`, shown a `Sketch` of G(w) where it looks."""

    def __init__(self, synthesis: Synthesis, refiners: Refiners) -> None:
        super().__init__()
        config = refiners.config
        self.styles = Styles(refiners)
        looks, self.seen_at = refiners.look is not None, config.img_resolution
        self.sketch = Sketch(synthesis, config.look_resolution, config.num_ws) if looks else None

    def forward(
        self, img: Tensor, w: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor, *begun: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Styles`, and `Sketch`; `img` [N, 3, R, R] in [-1, 1], R the generator's resolution."""
        looked_at = () if self.sketch is None else (shrink(img, self.seen_at), *self.sketch(w, *begun))
        found: tuple[Tensor, Tensor] = self.styles(w, fine, middle, coarse, *looked_at)
        return found


class Activation(_Sized):
    """ws [N, num_ws, w_dim] -> the generator's activation at `resolution`."""

    def __init__(self, synthesis: Synthesis, resolution: int) -> None:
        super().__init__()
        self.synthesis, self.resolution = synthesis, resolution

    def forward(self, ws: Tensor) -> Tensor:
        """See the class."""
        return self.synthesis.lower(ws, self.resolution)[0]


class FeatureSynthesis(_Sized):
    """Edited styles [N, num_ws, w_dim], the code, and `a` of the unedited styles -> img [N, 3, R, R]."""

    def __init__(self, synthesis: Synthesis, space: FeatureSpace) -> None:
        super().__init__()
        self.synthesis, self.carrier, self.resolution = synthesis, space.carrier, space.config.f_resolution

    def forward(self, ws_hat: Tensor, code: Tensor, a: Tensor) -> Tensor:
        """See the class; in [-1, 1]."""
        a_hat, below = self.lower(ws_hat)
        return self.upper(a_hat, below, ws_hat, code, a).clamp(-1, 1)

    def both_ways(self, ws_hat: Tensor, code: Tensor, a: Tensor, *begun: Tensor) -> tuple[Tensor, Tensor]:
        """`forward`, and beside it G(ws_hat) without the code, which shares all below f; both in [-1, 1]."""
        a_hat, below = self.lower(ws_hat, *begun)
        in_f = self.upper(a_hat, below, ws_hat, code, a)
        return in_f.clamp(-1, 1), self.synthesis.upper(a_hat, below, ws_hat).clamp(-1, 1)

    def lower(self, ws: Tensor, *begun: Tensor) -> tuple[Tensor, Tensor | None]:
        """The part of `forward` that knows no code, see `drawn_up`."""
        return drawn_up(self.synthesis, ws, self.resolution, begun)

    def upper(self, a_hat: Tensor, below: Tensor | None, ws_hat: Tensor, code: Tensor, a: Tensor) -> Tensor:
        """The rest of `forward`, after `lower` has answered `a_hat` and `below`; not clamped."""
        return self._drawn(self.carrier.carry(code, a, a_hat), a_hat, below, ws_hat)

    def unedited(self, below: Tensor | None, ws: Tensor, code: Tensor, a: Tensor) -> Tensor:
        """`upper` without an edit, sooner: nothing has to be carried anywhere."""
        return self._drawn(self.carrier(code, a), a, below, ws)

    def _drawn(self, f: Tensor, a: Tensor, below: Tensor | None, ws: Tensor) -> Tensor:
        return self.synthesis.upper(f, below, ws, shown=None if self.carrier.colours_from_f else a)


class FindFeature(nn.Module):
    """img, its levels and ws -> what F holds of the picture, and what `ColourFit` compares.

    Args:
        synthesis: Draws.
        refiners: Their `feature` and `carrier` are used.
        colours_side: `ColourFit.side`.
    """

    def __init__(self, synthesis: Synthesis, refiners: Refiners, colours_side: int) -> None:
        super().__init__()
        self.drawing = FeatureSynthesis(synthesis, refiners)
        self.feature, self.colours_side = refiners.feature, colours_side
        self.seen_at = refiners.config.img_resolution

    def forward(
        self, img: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor, ws: Tensor, *begun: Tensor
    ) -> tuple[Tensor, ...]:
        """Find.

        Args:
            img: Pictures [N, 3, R, R] in [-1, 1].
            fine: Their feature level, as the next two.
            middle: See above.
            coarse: See above.
            ws: Their styles [N, num_ws, w_dim].
            begun: See `drawn_up`.

        Returns:
            code, a, G(ws, f) [N, 3, R, R], and of `compared_colours` what is missing and the palette.
        """
        img = shrink(img, self.seen_at)
        a, below = self.drawing.lower(ws, *begun)
        activations, drawn = self.drawing.synthesis.trace(a, below, ws, up_to=self.seen_at)
        drawn = drawn.clamp(-1, 1)
        code = self.feature(img, drawn, (fine, middle, coarse), ws)
        in_f = self.drawing.unedited(below, ws, code, a)
        return code, a, in_f, *compared_colours(img, drawn, activations[-2:], self.colours_side)

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return f"colours_side={self.colours_side}"
