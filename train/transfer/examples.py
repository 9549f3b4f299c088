"""Examples for `transfer`: invented photos with their inversions, edits of both, and what is true."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from editor.model.opening import OpenedModel
from inversion.chain.decoder import Edit, unedited
from inversion.chain.inversion import Inversion, Space
from inversion.transfer.compose import moved
from stylegan2.image import from_uint8, to_uint8
from train.core.seeds import Stream, positioned_generator
from train.data.pairs import sample_w
from train.refiners.edits import EditSampler, RandomEdits

PLAIN_LOOKS = 0.2  # share of the faces that look as the model draws them
WARP = 0.03  # of the side: deviation of a warp's knots, at the most
WARP_KNOTS = 6  # a side
MOST_SHARPENED = 1.0
EDITS = 3  # of every face
PSI = (0.6, 1.0)  # truncation of the faces
MOST_EDITS = 3  # that are combined in one
PLAIN = 0.4  # share of the faces that have one w for all layers
# Of the others: the first layer that may come from another face, and how far single layers stray to others.
MIXED_FROM, STRAY = 5, 0.45
SPACES: tuple[Space, ...] = ("w+", "w")  # beside F
# Pictures of an unedited face: F and the styles below it, W+ and W; beside an edit the truth comes first.
DRAWN = 4


@dataclass(frozen=True)
class Example:
    """One invented photo; pixels uint8, R the generator's resolution."""

    photo: Tensor  # [R, R, 3]
    drawn: Tensor  # [DRAWN, R, R, 3] in F, of the styles that F starts from, in W+ and in W
    truth: Tensor  # [EDITS, R, R, 3]
    edited: Tensor  # [EDITS, DRAWN, R, R, 3]


class ExampleMaker:
    """Examples, each a pure function of the model, the seed and the example's number.

    The photos are what the generator draws from styles that its inversion does not find again: those of one
    w, and more of faces whose layers come from two faces, or stray each to another one. A face is inverted
    by the product's own chain, then moved by the same edits as the true styles.

    Args:
        model: With refiners.
        edits: What is drawn from.
        seed: Of all examples.
    """

    def __init__(self, model: OpenedModel, edits: EditSampler, seed: int) -> None:
        self._model, self._edits, self._seed = model, edits, seed

    @torch.no_grad()
    def make(self, number: int) -> Example:
        """Example `number`."""
        rng = positioned_generator(self._seed, Stream.TRANSFER_EXAMPLES, number)
        true, edits = self._styles(rng), [self._edit(rng) for _ in range(EDITS)]
        render = self._model.decoder.renderer.render
        shown = torch.cat([render(true), *(render(edit(true)) for edit in edits)])
        photo, *truth = estranged(shown, rng)
        found = self._model.inverter.invert(photo[None])
        edited = [self.draw(found, edit) for edit in edits]
        return Example(photo, self.draw(found, unedited), torch.stack(truth), torch.stack(edited))

    def draw(self, found: Inversion, edit: Edit) -> Tensor:
        """The pictures [DRAWN, R, R, 3] of what was found of one photo, moved by an edit."""
        decoder = self._model.decoder
        others = [decoder.draw(found, space, edit) for space in SPACES]
        return torch.cat([decoder.draw_ways(found, "f", edit)[0], *others])

    def _styles(self, rng: torch.Generator) -> Tensor:
        """True styles [1, num_ws, w_dim]."""
        generator = self._model.generator
        kind, first = float(torch.rand((), generator=rng)), generator.num_ws
        w, *others = sample_w(generator, 1 + generator.num_ws, PSI, rng)
        ws = generator.broadcast(w[None]).clone()
        if kind < PLAIN:
            return ws
        if kind < (1 + PLAIN) / 2:
            first = MIXED_FROM + int(torch.randint(generator.num_ws - MIXED_FROM, (), generator=rng))
            ws[:, first:] = others[0]
        shares = STRAY * torch.rand(generator.num_ws, 1, generator=rng)
        ws[0, :first] += (shares.to(w) * (torch.stack(others) - w))[:first]
        return ws

    def _edit(self, rng: torch.Generator) -> Edit:
        count = 1 + int(torch.randint(MOST_EDITS, (), generator=rng) * torch.rand((), generator=rng).round())
        parts = [self._edits.sample(1, rng) for _ in range(count)]
        return lambda ws: _apply(parts, ws)


def estranged(pixels: Tensor, rng: torch.Generator) -> Tensor:
    """Invented pictures of one face [N, R, R, 3] uint8, made strange to the model, all in the same way.

    Real faces have shapes, contrasts and grain that no latent has. A smooth random warp, a change of contrast
    and sharpness stand for them; the model's inversion then misses as much as it does of real faces.
    """
    img = from_uint8(pixels)
    side = img.shape[2]
    sharp, contrast, bright, strength, kind = torch.rand(5, generator=rng)
    if kind < PLAIN_LOOKS:
        return pixels
    knots = torch.randn(1, 2, WARP_KNOTS, WARP_KNOTS, generator=rng) * strength * WARP
    flow = F.interpolate(knots, size=(side, side), mode="bicubic", align_corners=True)
    img = moved(img, flow.expand(len(img), -1, -1, -1) * side)
    blurred = F.avg_pool2d(F.pad(img, (1, 1, 1, 1), mode="replicate"), 3, 1)
    img = img + sharp * MOST_SHARPENED * (img - blurred)
    img = img * (0.8 + 0.4 * contrast) + 0.3 * (bright - 0.5)
    return to_uint8(img)


def _apply(parts: list[RandomEdits], ws: Tensor) -> Tensor:
    for part in parts:
        ws = part.apply(ws)
    return ws
