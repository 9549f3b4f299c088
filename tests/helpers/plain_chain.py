"""The chain as the papers and docstrings tell it, in plain torch: what the product's own is held against."""

from dataclasses import dataclass

from torch import Tensor

from inversion.chain.colour_fit import ColourFit, compared_colours
from stylegan2.image import shrink


@dataclass(frozen=True, kw_only=True)
class Latents:
    w: Tensor
    ws: Tensor
    ws_f: Tensor  # before its colours were fitted
    code: Tensor


@dataclass(frozen=True, kw_only=True)
class PlainChain:
    synthesis: object
    encoder: object
    refiners: object
    colours: ColourFit | None = None

    def invert(self, img):
        w, levels = self.encoder.encode(shrink(img, self.encoder.config.in_resolution))
        told, look, missing = levels, self.refiners.look, None
        if look is not None:
            side = self.refiners.config.look_resolution
            seen = look(img, *self.synthesis.lower(self.broadcast(w), side), w, levels)
            w, told, missing = seen.w, seen.levels, seen.missing
        ws_f = ws = self.refiners.wplus(w, told, missing)
        drawn = self.draw_ws(ws).clamp(-1, 1)
        if self.colours is not None:
            activations, _ = self.synthesis.trace(*self.synthesis.lower(ws, self.colours.first), ws)
            ws = self.colours(*compared_colours(img, drawn, activations, self.colours.side), ws)
        return Latents(w=w, ws=ws, ws_f=ws_f, code=self.refiners.feature(img, drawn, levels, ws_f))

    def broadcast(self, w):
        return w[:, None].expand(-1, self.refiners.config.num_ws, -1).contiguous()

    def draw_ws(self, ws):
        return self.synthesis.upper(*self.synthesis.lower(ws, 4), ws)

    def draw(self, latents, ws_hat=None):
        side, carrier = self.refiners.config.f_resolution, self.refiners.carrier
        a, below = self.synthesis.lower(latents.ws_f, side)
        if ws_hat is None:
            return self.synthesis.upper(carrier(latents.code, a), below, latents.ws_f)
        a_hat, below = self.synthesis.lower(ws_hat, side)
        return self.synthesis.upper(carrier.carry(latents.code, a, a_hat), below, ws_hat)
