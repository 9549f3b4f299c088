"""The whole chain in torch: img -> w -> ws -> code, and pictures of it before and after an edit."""

from dataclasses import dataclass

from torch import Tensor

from inversion.refiners import Refiners
from inversion.w_encoder import WEncoder
from stylegan2.generator import Generator
from stylegan2.image import shrink


@dataclass(frozen=True, kw_only=True)
class Latents:
    """What inversion finds of N pictures."""

    w: Tensor  # [N, w_dim]
    ws: Tensor  # [N, num_ws, w_dim]
    code: Tensor  # [N, code, R, R], see `FeatureRefiner`


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Encoder, refiners and generator that belong together; all on one device."""

    generator: Generator
    encoder: WEncoder
    refiners: Refiners

    def invert(self, img: Tensor) -> Latents:
        """Invert `img` [N, 3, R, R] in [-1, 1], R the generator's resolution."""
        w, levels = self.encoder.encode(shrink(img, self.encoder.config.in_resolution))
        ws = self.refiners.wplus(w, levels)
        drawn = self.generator.synthesis(ws).clamp(-1, 1)
        return Latents(w=w, ws=ws, code=self.refiners.feature(img, drawn, levels, ws))

    def draw(self, latents: Latents, ws_hat: Tensor | None = None) -> Tensor:
        """G(ws, f), or G(ws_hat, f_hat) where an edit has moved the styles to `ws_hat` [N, num_ws, w_dim]."""
        synthesis, carrier = self.generator.synthesis, self.refiners.carrier
        side = self.refiners.config.f_resolution
        a, below = synthesis.lower(latents.ws, side)
        if ws_hat is None:
            return synthesis.upper(carrier(latents.code, a), below, latents.ws)
        a_hat, below = synthesis.lower(ws_hat, side)
        return synthesis.upper(carrier.carry(latents.code, a, a_hat), below, ws_hat)
