"""The whole chain in torch: img -> w -> ws -> code, and pictures of it before and after an edit."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from inversion.refiners import Levels, Refiners, Seen
from inversion.w_encoder import WEncoder
from stylegan2.image import shrink


@dataclass(frozen=True, kw_only=True)
class Latents:
    """What inversion finds of N pictures."""

    w: Tensor  # [N, w_dim]
    ws: Tensor  # [N, num_ws, w_dim]
    code: Tensor  # [N, code, R, R], see `FeatureRefiner`


class Synthesis(Protocol):
    """ws -> img in two parts: `SynthesisNetwork`, or `FoldedSynthesis` where nothing is trained."""

    def lower(self, ws: Tensor, resolution: int) -> tuple[Tensor, Tensor | None]:
        """See `SynthesisNetwork.lower`."""

    def upper(self, f: Tensor, img: Tensor | None, ws: Tensor) -> Tensor:
        """See `SynthesisNetwork.upper`."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Encoder, refiners and generator that belong together; all on one device."""

    synthesis: Synthesis
    encoder: WEncoder
    refiners: Refiners

    def invert(self, img: Tensor) -> Latents:
        """Invert `img` [N, 3, R, R] in [-1, 1], R the generator's resolution."""
        w, ws, levels = self.invert_ws(img)
        drawn = self.draw_ws(ws).clamp(-1, 1)
        return Latents(w=w, ws=ws, code=self.refiners.feature(img, drawn, levels, ws))

    def invert_ws(self, img: Tensor) -> tuple[Tensor, Tensor, Levels]:
        """The part of `invert` before f: w, ws, and the levels that the refiners look at."""
        w, levels = self._encode(img)
        seen = self._look(img, w, levels)
        return seen.w, self.refiners.wplus(seen.w, seen.levels, seen.missing), levels

    def invert_w(self, img: Tensor) -> Tensor:
        """The part of `invert` before ws: w, after a second look at the encoder's answer if there is one."""
        return self._look(img, *self._encode(img)).w

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

    def draw_w(self, w: Tensor) -> Tensor:
        """G(w), the same style in every layer: img [N, 3, R, R]."""
        return self.draw_ws(self._broadcast(w))

    def draw_ws(self, ws: Tensor) -> Tensor:
        """G(ws): img [N, 3, R, R]."""
        return self.synthesis.upper(*self.synthesis.lower(ws, self._side), ws)

    def draw(self, latents: Latents, ws_hat: Tensor | None = None) -> Tensor:
        """G(ws, f), or G(ws_hat, f_hat) where an edit has moved the styles to `ws_hat` [N, num_ws, w_dim]."""
        carrier = self.refiners.carrier
        a, below = self.synthesis.lower(latents.ws, self._side)
        if ws_hat is None:
            return self.synthesis.upper(carrier(latents.code, a), below, latents.ws)
        a_hat, below = self.synthesis.lower(ws_hat, self._side)
        return self.synthesis.upper(carrier.carry(latents.code, a, a_hat), below, ws_hat)

    @property
    def _side(self) -> int:
        return self.refiners.config.f_resolution
