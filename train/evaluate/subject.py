"""Subject: the model that an evaluation measures, run by the engines that the product runs it by."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from editor.model.opening import OpenedModel
from inversion.chain.decoder import Edit
from inversion.chain.inversion import Inversion, Space
from inversion.directions.bank import DirectionBank
from stylegan2 import Generator
from stylegan2.image import to_uint8
from stylegan2.network.synthesis import draw_styles

Reconstruct = Callable[[Tensor], Tensor]  # pixels [N, R, R, 3] uint8 on the CPU -> the same
Redraw = Callable[[Edit], Tensor]  # edit -> such pixels
SPACES: tuple[Space, ...] = ("w", "w+", "f")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An opened model and its edits; all pictures are drawn with the stored noise."""

    model: OpenedModel
    directions: DirectionBank
    spaces: tuple[Space, ...] = SPACES  # that are measured, of those there are
    fit_colours: bool = True  # as the product does; else W+ is the refiners' answer

    @property
    def generator(self) -> Generator:
        """Makes faces whose latents are known, in float32."""
        return self.model.generator

    @torch.no_grad()
    def truth(self, ws: Tensor) -> Tensor:
        """G(ws) by torch in float32: what inversions and edits of invented faces are compared with."""
        return to_uint8(draw_styles(self.model.decoder.renderer.synthesis, ws)).cpu()

    def measured_spaces(self) -> list[Space]:
        """Those of `spaces` that the model inverts into."""
        return [space for space in self.spaces if space in self.model.spaces]

    def reconstructions(self) -> dict[str, Reconstruct]:
        """What reconstructs pictures in each of `spaces` that the model has."""

        def reconstruct(space: Space) -> Reconstruct:
            return lambda pixels: self.model.decoder.draw(self._invert(pixels), space)

        return {space: reconstruct(space) for space in self.measured_spaces()}

    def variants(self, pixels: Tensor) -> dict[str, Redraw]:
        """What draws inverted pictures under an edit, in each of `spaces`; beside them "none": the pictures.

        Args:
            pixels: [N, R, R, 3] uint8, R the generator's resolution.
        """
        found = self._invert(pixels)

        def redraw(space: Space) -> Redraw:
            return lambda edit: self.model.decoder.draw(found, space, edit)

        variants: dict[str, Redraw] = {"none": lambda edit: pixels}
        return variants | {space: redraw(space) for space in self.measured_spaces()}

    def _invert(self, pixels: Tensor) -> Inversion:
        found = self.model.inverter.invert(pixels)
        if self.fit_colours or found.plain_ws is None:
            return found
        return replace(found, ws=found.plain_ws)
