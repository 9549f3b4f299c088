"""Learn edits: ways of W+ that change what they are for, on every face, and as little else as may be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from editor.face.warp import resized
from editor.measure.attribute_network import AttributeNetwork
from editor.measure.texture import ZoneTextures, moments
from editor.parts.network import SIDE as PARSED_SIDE
from editor.parts.parser import FaceParser
from inversion.directions.zones import zone_shares
from stylegan2 import Generator
from stylegan2.image import to_uint8
from stylegan2.network.folded import FoldedSynthesis
from train.core.hardware import choose_precision, to_channels_last
from train.core.seeds import Stream, positioned_generator
from train.directions.fit import Array, components
from train.directions.surrogate import Surrogate, seen
from train.losses.identity import IdentityEmbedder

OWN, MEAN, TORN, PRIOR = 16.0, 4.0, 20.0, 0.01  # weights of the losses that are the same for every edit
CALM = 0.85  # distance of the texture from the model's faces, over the usual, that costs nothing
LR, DECAY = 0.02, 0.05
FRAME_VARIANCE = 0.98  # share of W's variance that edits may use
LOOKED_AT = 16  # faces at once
LENGTHENED = 3.0  # times, at most, is a way lengthened before it is learned


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an edit shall do, in deviations of each measure [K] per unit of strength."""

    change: Tensor  # [K]; what is not held counts only through `weight`
    weight: Tensor  # [K]: how much a change of each measure other than the wanted one counts
    identity: float  # how much it counts that the person stays
    held: Tensor  # [parts]: how much a pixel of each part counts that changes
    zones: Tensor | None  # [Z]: how much of it each zone takes; None: all of it everywhere
    reach: float  # strengths are drawn up to this, to either side

    def to(self, device: torch.device) -> "Wanted":
        """The same on a device."""
        change, weight, held = (each.to(device) for each in (self.change, self.weight, self.held))
        zones = None if self.zones is None else self.zones.to(device)
        return replace(self, change=change, weight=weight, held=held, zones=zones)

    def moved(self, ws: Tensor, steps: Tensor) -> Tensor:
        """Styles [N, num_ws, w_dim] moved by steps of the same shape; of zones where it has some."""
        if self.zones is None:
            return ws + steps
        return ws[:, None] + self.zones[:, None, None] * steps[:, None]


@dataclass(frozen=True, kw_only=True)
class Faces:
    """Faces that edits are learned on, as they are."""

    ws: Tensor  # [N, num_ws, w_dim]
    img: Tensor  # [N, 3, R, R] in [-1, 1]
    measures: Tensor  # [N, K]
    who: Tensor | None  # [N, D]
    parts: Tensor  # [N, R, R] int64


class LearnedWay(nn.Module):
    """strength -> step of W+: `s * a + s^2 * b`, a row for every layer.

    In coordinates in which W has unit variance, so that what is common among latents is learned first.

    Args:
        frame: Rows that span W, each as long as its standard deviation [C, w_dim].
        start: The step of one unit to start from [w_dim].
        num_ws: Layers.
    """

    frame: Tensor

    def __init__(self, frame: Tensor, start: Tensor, num_ws: int) -> None:
        super().__init__()
        self.register_buffer("frame", frame)
        first = start @ frame.T / frame.square().sum(1)
        self.slope = nn.Parameter(first.repeat(num_ws, 1))
        self.bend = nn.Parameter(torch.zeros_like(self.slope))

    def forward(self, strength: Tensor) -> Tensor:
        """Steps [N, num_ws, w_dim] for strengths [N]."""
        s = strength[:, None, None]
        steps: Tensor = (s * self.slope + s.square() * self.bend) @ self.frame
        return steps


class EditLessons:
    """What is asked of edits on a fixed set of faces.

    Args:
        synthesis: Draws; in bfloat16 or float32.
        surrogate: Tells measures.
        identity: Says who a face is; None leaves that out.
        faces: To learn on.
        torn: How far pictures are, in zones of which an edit takes shares [Z], or None for all of the face,
            from what the model's faces look like there, over what is usual [N].
    """

    def __init__(
        self,
        synthesis: FoldedSynthesis,
        surrogate: Surrogate,
        identity: IdentityEmbedder | None,
        faces: Faces,
        torn: Callable[[Tensor, Tensor | None], Tensor],
    ) -> None:
        self._synthesis, self._surrogate, self._identity = synthesis, surrogate, identity
        self.faces, self._torn = faces, torn

    @torch.no_grad()
    def fit_length(self, way: LearnedWay, wanted: Wanted) -> None:
        """Make a way that is not learned yet about as long as is wanted."""
        some = torch.arange(min(LOOKED_AT, len(self.faces.ws)))
        strength = torch.where(some % 2 == 0, 1.0, -1.0).to(self.faces.ws)
        img = drawn(self._synthesis, wanted.moved(self.faces.ws[some], way(strength)))
        moved = ((self._surrogate(img) - self.faces.measures[some]) * strength[:, None]).mean(0)
        reached = float((moved * wanted.change).sum() / wanted.change.square().sum())
        way.slope.div_(min(max(reached, 1 / LENGTHENED), LENGTHENED))

    def losses(self, way: LearnedWay, wanted: Wanted, chosen: Tensor, strength: Tensor) -> dict[str, Tensor]:
        """What is missing of an edit, on the chosen faces [N] at strengths [N]."""
        faces = self.faces
        img = drawn(self._synthesis, wanted.moved(faces.ws[chosen], way(strength)))
        moved = self._surrogate(img) - faces.measures[chosen]
        own = wanted.change != 0
        missing = moved[:, own] - strength[:, None] * wanted.change[own]
        aside = (moved.square() * wanted.weight)[:, ~own].sum(1)
        # What all faces change alike is what people see of an edit, and counts beside each face's own.
        s = strength[:, None]
        slope, even = (s * moved).sum(0) / s.square().sum(), moved.mean(0)
        alike = ((slope.square() + even.square()) * wanted.weight)[~own].sum()
        held = wanted.held[faces.parts[chosen]]
        pixels = ((img - faces.img[chosen]).abs().mean(1) * held).mean((1, 2))
        found = {
            "own": OWN * F.smooth_l1_loss(missing, torch.zeros_like(missing), beta=1.0),
            "aside": aside.mean(),
            "mean": MEAN * alike,
            "torn": TORN * F.relu(self._torn(img, wanted.zones) - CALM).square().mean(),
            "pixels": pixels.mean(),
            "prior": PRIOR * (way.slope.square().sum(1).mean() + way.bend.square().sum(1).mean()),
        }
        if self._identity is not None and faces.who is not None:
            same = (self._identity(img) * faces.who[chosen]).sum(1)
            found["identity"] = wanted.identity * (1 - same).mean()
        return found


def whitened(w: Array) -> Tensor:
    """Principal directions of latents [N, w_dim], each as long as its standard deviation [C, w_dim]."""
    scale, basis = components(w - w.mean(0), FRAME_VARIANCE)
    return torch.from_numpy(scale[:, None] * basis).float()


def torn_by(network: AttributeNetwork, textures: ZoneTextures) -> Callable[[Tensor, Tensor | None], Tensor]:
    """What tells how far img [N, 3, R, R] is from a model's faces as `textures` does, with gradient.

    Args:
        network: That of `textures`, on the device of the pictures.
        textures: What faces look like in zones.
    """
    device = next(network.parameters()).device
    network.eval().requires_grad_(False)

    def torn(img: Tensor, zones: Tensor | None) -> Tensor:
        where, texture = textures.usual(zone_shares({}) if zones is None else zones)
        mean, whitener = (torch.from_numpy(x).float().to(device) for x in (texture.mean, texture.whitener))
        apart: Tensor = ((moments(network, seen(img), where.to(device)) - mean) @ whitener).norm(dim=1)
        return apart / texture.limit

    return torn


def folded_synthesis(generator: Generator, zones: Tensor | None, device: torch.device) -> FoldedSynthesis:
    """The generator's synthesis as it is learned with: constants folded, in bfloat16 where that is native."""
    synthesis = FoldedSynthesis(generator.requires_grad_(False).synthesis, zones)
    synthesis = synthesis.to(device, choose_precision(device, "auto"))
    to_channels_last(synthesis)
    return synthesis


@torch.no_grad()
def lesson_faces(
    synthesis: FoldedSynthesis,
    surrogate: Surrogate,
    identity: IdentityEmbedder | None,
    parser: FaceParser,
    ws: Tensor,
) -> Faces:
    """Faces of styles [N, num_ws, w_dim], with all that edits of them are compared with."""
    img, measures, who, parts = [], [], [], []
    for some in torch.split(ws, LOOKED_AT):
        drawn_now = drawn(synthesis, some)
        img.append(drawn_now)
        measures.append(surrogate(drawn_now))
        if identity is not None:
            who.append(identity(drawn_now))
        for pixels in to_uint8(drawn_now).cpu().numpy():
            found = torch.from_numpy(parser.parts(resized(pixels, PARSED_SIDE)).astype(np.float32))
            side = drawn_now.shape[-1]
            parts.append(F.interpolate(found[None, None], size=(side, side))[0, 0].long())
    return Faces(
        ws=ws,
        img=torch.cat(img),
        measures=torch.cat(measures),
        who=torch.cat(who) if who else None,
        parts=torch.stack(parts).to(ws.device),
    )


def drawn(synthesis: FoldedSynthesis, ws: Tensor) -> Tensor:
    """Pictures [N, 3, R, R] in [-1, 1] of ws, also of zones', float32, whatever the network counts in."""
    ws = ws.to(synthesis.const.dtype)
    return synthesis.upper(*synthesis.lower(ws, synthesis.resolutions[-1]), ws).float().clamp(-1.1, 1.1)


def learn_edit(
    lessons: EditLessons,
    way: LearnedWay,
    wanted: Wanted,
    steps: int,
    batch: int,
    seed: Sequence[int],
    report: Callable[[dict[str, float]], object] = lambda losses: None,
) -> None:
    """Teach a way what is wanted.

    Args:
        lessons: Tell what is missing.
        way: Learns.
        wanted: What it shall do.
        steps: Of learning.
        batch: Edited faces a step.
        seed: Of the faces and strengths: a seed, and numbers that tell this way from others.
        report: Receives the losses of every step.
    """
    optimiser = torch.optim.Adam(way.parameters(), lr=LR, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, LR * DECAY)
    for step in range(steps):
        rng = positioned_generator(seed[0], Stream.EDIT_STEP, *seed[1:], step)
        chosen = torch.randperm(len(lessons.faces.ws), generator=rng)[:batch]  # on the CPU, as `rng`
        # Half of each side, spread over its length.
        size = (torch.arange(batch) // 2 + torch.rand(batch, generator=rng)) / (batch // 2)
        sign = torch.where(torch.arange(batch) % 2 == 0, 1.0, -1.0)
        strength = (wanted.reach * sign * size.clamp(max=1)).to(lessons.faces.ws)
        losses = lessons.losses(way, wanted, chosen.to(strength.device), strength)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        report({name: value.item() for name, value in losses.items()})
    way.requires_grad_(False)
