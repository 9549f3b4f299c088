"""Stage `parts`: the face parser, from faces whose parts were drawn by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from editor.parts.checkpoint import save_face_parser
from editor.parts.labels import HEAD, Part
from editor.parts.network import FaceParserNetwork
from stylegan2.image import from_uint8, picture_grid
from train.core.checkpoint import write_weights
from train.core.hardware import autocast, choose_precision, laid_out
from train.core.optim import Optimiser, learning_rate
from train.core.processes import own_seed
from train.core.seeds import Stream, positioned_generator
from train.parts.config import PartsConfig
from train.parts.faces import UNKNOWN, PartFaces, vary

PARTS_FILE = "face_parser.safetensors"
BATCH = 16  # faces parsed at once in validation
GRID_COLUMNS = 8


class PartsStage:
    """One step: vary faces, parse them, compare per pixel.

    Args:
        config: Settings.
        network: On the device.
        faces: All of the shard; the last are kept for validation.
        device: Where to compute.
    """

    def __init__(
        self, config: PartsConfig, network: FaceParserNetwork, faces: PartFaces, device: torch.device
    ) -> None:
        self.phases = config.phases
        self._config, self._device = config, device
        self._dtype = choose_precision(device, config.hardware.precision)
        kept = max(1, round(len(faces) * config.validation_fraction))
        self._trained = PartFaces(faces.pixels[:-kept], faces.labels[:-kept])
        self.validation = PartFaces(faces.pixels[-kept:], faces.labels[-kept:])
        self.network, self.optimiser = network, Optimiser(network, config.optim)
        self.enter_phase(0)

    def enter_phase(self, index: int) -> None:
        """Take the phase's settings."""
        self._index, phase = index, self.phases[index]
        self._weights = _weights(self._trained.labels, phase.rare, phase.most_weight).to(self._device)

    def prepare(self, progress: Any) -> None:  # noqa: ANN401 (see the protocol)
        """Nothing is needed beforehand."""

    def step(self, step: int, fraction: float) -> dict[str, Tensor]:
        """One optimiser step; returns the cross entropy and the gradient's norm."""
        phase = self.phases[self._index]
        rng = positioned_generator(own_seed(self._config.seed), Stream.PARTS_STEP, self._index, step)
        chosen = torch.randint(len(self._trained), (phase.batch,), generator=rng)
        img, target = vary(from_uint8(self._trained.pixels[chosen]), self._trained.labels[chosen], rng)
        self.network.train()
        with autocast(self._device, self._dtype):
            logits = self.network(laid_out(img.to(self._device), self._config.hardware))
        logits = F.interpolate(logits.float(), size=target.shape[1:], mode="bilinear", align_corners=False)
        loss = F.cross_entropy(logits, target.to(self._device), self._weights, ignore_index=UNKNOWN)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = self.optimiser.update(learning_rate(phase, step, fraction), phase.ema)
        return {"cross_entropy": loss.detach(), "gradient_norm": norm}

    def validate(self) -> dict[str, float]:
        """Overlap of every part, and of the head as a whole, on faces that are never trained on."""
        found = parse(self.optimiser.average, self.validation.pixels, self._device, self._dtype)
        overlaps = part_overlaps(found, self.validation.labels)
        return {"mean_iou": float(np.nanmean(list(overlaps.values()))), **overlaps}

    def grid(self) -> Tensor:
        """Faces, drawn parts and found parts, pixels [3 SIDE, 8 SIDE, 3]."""
        pixels = self.validation.pixels[:GRID_COLUMNS]
        found = parse(self.optimiser.average, pixels, self._device, self._dtype)
        drawn = self.validation.labels[:GRID_COLUMNS]
        return picture_grid(torch.stack([pixels, _colours()[drawn.long()], _colours()[found.long()]]))

    def export(self, folder: Path, steps: int) -> None:
        """Write the averaged network as `face_parser.safetensors`."""
        average = self.optimiser.average
        write_weights(
            folder / PARTS_FILE, {"steps": steps}, lambda path, told: save_face_parser(average, path, told)
        )

    def state_dict(self) -> dict[str, Any]:
        """Weights, their average, and the optimiser."""
        return {"optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.optimiser.load_state_dict(state["optimiser"])


@torch.no_grad()
def parse(
    network: FaceParserNetwork, pixels: Tensor, device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The likeliest part of every pixel [N, S, S] uint8 of faces [N, S, S, 3] uint8, on the CPU."""
    found = []
    for part in torch.split(pixels, BATCH):
        with autocast(device, dtype):
            logits = network(from_uint8(part).to(device))
        logits = F.interpolate(logits.float(), size=part.shape[1:3], mode="bilinear", align_corners=False)
        found.append(logits.argmax(1).to(torch.uint8).cpu())
    return torch.cat(found)


def part_overlaps(found: Tensor, drawn: Tensor) -> dict[str, float]:
    """Intersection over union of every part, by its name in small letters, and of the whole "head".

    Over all pixels of all pictures together; NaN for a part that neither shows.

    Args:
        found: Parts [N, H, W].
        drawn: The true ones, the same shape.
    """
    sets = {part.name.lower(): (part,) for part in Part} | {"head": HEAD}
    overlaps = {}
    for name, parts in sets.items():
        a, b = (torch.isin(x, torch.tensor(parts, dtype=x.dtype)) for x in (found, drawn))
        union = int((a | b).sum())
        overlaps[name] = int((a & b).sum()) / union if union else float("nan")
    return overlaps


def _weights(labels: Tensor, rare: float, most: float) -> Tensor:
    """What a pixel of each part counts for [len(Part)]: more where the part is rare."""
    share = torch.bincount(labels.flatten().long(), minlength=len(Part)).double() / labels.numel()
    weights = (share.clamp(min=1e-6) ** -rare).clamp(max=most)
    return weights.float()


def _colours() -> Tensor:
    """A colour for each part [len(Part), 3] uint8."""
    numbers = torch.arange(len(Part))
    return torch.stack([(numbers * 67) % 256, (numbers * 151 + 60) % 256, (numbers * 29 + 90) % 256], 1).to(
        torch.uint8
    )
