"""Subject: the model that an evaluation measures, and what it makes of a picture in each space."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from inversion.chain.chain import Chain, Synthesis
from inversion.directions.bank import DirectionBank
from inversion.networks.w_encoder import WEncoder
from inversion.optimise.search import Space
from stylegan2 import Generator
from stylegan2.image import shrink

Edit = Callable[[Tensor], Tensor]  # ws [N, num_ws, w_dim] -> ws_hat, the same shape
Reconstruct = Callable[[Tensor], Tensor]  # img [N, 3, R, R] in [-1, 1] -> its reconstruction, the same shape
Redraw = Callable[[Edit], Tensor]  # edit -> img [N, 3, R, R] under it
SPACES: tuple[Space, ...] = ("w", "w+", "f")


def draw_styles(synthesis: Synthesis, ws: Tensor) -> Tensor:
    """G(ws): img [N, 3, R, R]."""
    return synthesis.upper(*synthesis.lower(ws, 4), ws)


def unedited(ws: Tensor) -> Tensor:
    """The edit that changes nothing."""
    return ws


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Networks that belong together, on one device; all pictures are drawn with the stored noise."""

    generator: Generator
    synthesis: Synthesis  # draws for it, and in `chain`
    encoder: WEncoder
    chain: Chain | None = None  # finds ws and f; None measures w alone
    directions: DirectionBank
    spaces: tuple[Space, ...] = SPACES  # that are measured, of those there are

    def drawn_by(self, synthesis: Synthesis) -> "Subject":
        """The same model, drawing by other means."""
        chain = None if self.chain is None else replace(self.chain, synthesis=synthesis)
        return replace(self, synthesis=synthesis, chain=chain)

    def draw(self, ws: Tensor) -> Tensor:
        """G(ws): img [N, 3, R, R]."""
        return draw_styles(self.synthesis, ws)

    def reconstructions(self) -> dict[str, Reconstruct]:
        """What reconstructs a picture in each of `spaces`: "w", and with a chain "w+" and "f"."""
        chain = self.chain
        found: dict[str, Reconstruct] = {"w": lambda img: self.draw(self.generator.broadcast(self._w(img)))}
        if chain is not None:
            found["w+"] = lambda img: chain.draw_ws(chain.invert_ws(img))
            found["f"] = lambda img: chain.draw(chain.invert(img))
        return {name: reconstruct for name, reconstruct in found.items() if name in self.spaces}

    def variants(self, img: Tensor) -> dict[str, Redraw]:
        """What draws an inverted picture under an edit, in each of `spaces`; beside them "none": the picture.

        Args:
            img: Pictures [N, 3, R, R] in [-1, 1], R the generator's resolution.
        """
        chain = None if self.spaces == ("w",) else self.chain
        latents = None if chain is None else chain.invert(img)
        foundation = self.generator.broadcast(self._w(img) if latents is None else latents.w)
        found: dict[str, Redraw] = {"w": lambda edit: self.draw(edit(foundation))}
        if chain is not None and latents is not None:
            found["w+"] = lambda edit: self.draw(edit(latents.ws))
            found["f"] = lambda edit: chain.draw(latents, edit(latents.ws_f))
        variants: dict[str, Redraw] = {"none": lambda edit: img}
        return variants | {name: redraw for name, redraw in found.items() if name in self.spaces}

    def _w(self, img: Tensor) -> Tensor:
        if self.chain is not None:
            return self.chain.invert_w(img)
        w: Tensor = self.encoder(shrink(img, self.encoder.config.in_resolution))
        return w
