"""The whole chain in torch: img -> w -> ws -> code, and pictures of it before and after an edit."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from inversion.chain.colour_fit import ColourFit, compared_colours
from inversion.networks.refiners import Levels, Refiners, Seen
from inversion.networks.w_encoder import WEncoder
from stylegan2.image import shrink


@dataclass(frozen=True, kw_only=True)
class Latents:
    """What inversion finds of N pictures."""

    w: Tensor  # [N, w_dim]
    ws: Tensor  # [N, num_ws, w_dim], the answer in W+
    ws_f: Tensor  # the styles that `code` is added to: `ws` before its colours were fitted
    code: Tensor  # [N, code, R, R], see `FeatureRefiner`


class Synthesis(Protocol):
    """ws -> img in two parts: `SynthesisNetwork`, or `FoldedSynthesis` where nothing is trained."""

    def lower(self, ws: Tensor, resolution: int) -> tuple[Tensor, Tensor | None]:
        """See `SynthesisNetwork.lower`."""

    def upper(self, f: Tensor, img: Tensor | None, ws: Tensor) -> Tensor:
        """See `SynthesisNetwork.upper`."""

    def trace(self, f: Tensor, img: Tensor | None, ws: Tensor) -> tuple[list[Tensor], Tensor]:
        """See `SynthesisNetwork.trace`."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Encoder, refiners and generator that belong together; all on one device.

    Without `colours` the answer in W+ is the refiners'.
    """

    synthesis: Synthesis
    encoder: WEncoder
    refiners: Refiners
    colours: ColourFit | None = None

    def invert(self, img: Tensor) -> Latents:
        """Invert `img` [N, 3, R, R] in [-1, 1], R the generator's resolution."""
        w, ws_f, levels = self._refine(img)
        ws, drawn = self._fit_colours(img, ws_f)
        return Latents(w=w, ws=ws, ws_f=ws_f, code=self.refiners.feature(img, drawn, levels, ws_f))

    def invert_ws(self, img: Tensor) -> Tensor:
        """The part of `invert` that finds ws."""
        _, ws, _ = self._refine(img)
        return ws if self.colours is None else self._fit_colours(img, ws)[0]

    def invert_w(self, img: Tensor) -> Tensor:
        """The part of `invert` before ws: w, after a second look at the encoder's answer if there is one."""
        return self._look(img, *self._encode(img)).w

    def _refine(self, img: Tensor) -> tuple[Tensor, Tensor, Levels]:
        """Find w, ws before its colours are fitted, and the levels that the refiners look at."""
        w, levels = self._encode(img)
        seen = self._look(img, w, levels)
        return seen.w, self.refiners.wplus(seen.w, seen.levels, seen.missing), levels

    def _fit_colours(self, img: Tensor, ws: Tensor) -> tuple[Tensor, Tensor]:
        """Find ws with its colours fitted; beside it G(ws) before that, in [-1, 1]."""
        if self.colours is None:
            return ws, self.draw_ws(ws).clamp(-1, 1)
        activations, drawn = self.synthesis.trace(*self.synthesis.lower(ws, self.colours.first), ws)
        drawn = drawn.clamp(-1, 1)
        return self.colours(*compared_colours(img, drawn, activations, self.colours.side), ws), drawn

    def _encode(self, img: Tensor) -> tuple[Tensor, Levels]:
        return self.encoder.encode(shrink(img, self.encoder.config.in_resolution))

    def _look(self, img: Tensor, w: Tensor, levels: Levels) -> Seen:
        look = self.refiners.look
        if look is None:
            return Seen(w, levels, None)
        a, below = self.synthesis.lower(self._broadcast(w), self.refiners.config.look_resolution)
        seen: Seen = look(img, a, below, w, levels)
        return seen

    def _broadcast(self, w: Tensor) -> Tensor:
        return w[:, None].expand(-1, self.refiners.config.num_ws, -1).contiguous()

    def draw_ws(self, ws: Tensor) -> Tensor:
        """G(ws): img [N, 3, R, R]."""
        return self.synthesis.upper(*self.synthesis.lower(ws, self._side), ws)

    def draw(self, latents: Latents, ws_hat: Tensor | None = None) -> Tensor:
        """G(ws_f, f), or G(ws_hat, f_hat) where an edit has moved `ws_f` to `ws_hat` [N, num_ws, w_dim]."""
        carrier = self.refiners.carrier
        a, below = self.synthesis.lower(latents.ws_f, self._side)
        if ws_hat is None:
            return self.synthesis.upper(carrier(latents.code, a), below, latents.ws_f)
        a_hat, below = self.synthesis.lower(ws_hat, self._side)
        return self.synthesis.upper(carrier.carry(latents.code, a, a_hat), below, ws_hat)

    @property
    def _side(self) -> int:
        return self.refiners.config.f_resolution
