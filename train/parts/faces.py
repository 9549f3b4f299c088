"""Faces with drawn parts: reading them, and varying them."""

import io
import math
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from editor.errors import DECODER_ERRORS
from editor.parts.labels import Part
from editor.parts.network import SIDE
from train.data.augment import jitter
from train.errors import DatasetError

# Parts by their number in celeba-parts. It tells left from right, though not the same way in every picture:
# here they are one.
_LABELS = (
    *(Part.BACKGROUND, Part.SKIN, Part.NOSE, Part.GLASSES, Part.EYES, Part.EYES, Part.BROWS, Part.BROWS),
    *(Part.EARS, Part.EARS, Part.MOUTH, Part.UPPER_LIP, Part.LOWER_LIP, Part.HAIR, Part.HAT, Part.EARRING),
    *(Part.NECKLACE, Part.NECK, Part.CLOTHES),
)
UNKNOWN = 255  # label of what lies outside a varied picture


@dataclass(frozen=True)
class PartFaces:
    """Faces and their parts."""

    pixels: Tensor  # [N, SIDE, SIDE, 3] uint8
    labels: Tensor  # [N, SIDE, SIDE] uint8, a `Part` each

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.pixels)


def read_faces(shard: str | Path) -> PartFaces:
    """Read a tar shard of celeba-parts: `KEY.webp` pictures and `KEY.png` masks of `SIDE` px, as stored.

    Raises:
        DatasetError: It is missing or damaged, holds no faces, or a mask does not fit its picture.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    try:
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, suffix = member.name.rpartition(".")
                file = tar.extractfile(member)
                if file is None or suffix not in ("webp", "png"):
                    continue
                with Image.open(io.BytesIO(file.read()), formats=("WEBP", "PNG")) as image:
                    picture = image.convert("RGB") if suffix == "webp" else image
                    found.setdefault(key, {})[suffix] = np.array(picture)
    except (tarfile.TarError, *DECODER_ERRORS) as error:
        raise DatasetError(f"{shard}: missing, damaged or unreadable ({error})") from error
    if not found:
        raise DatasetError(f"{shard}: no faces; expected pairs of KEY.webp and KEY.png")
    for key, face in found.items():
        shapes = [face[suffix].shape for suffix in ("webp", "png") if suffix in face]
        if shapes != [(SIDE, SIDE, 3), (SIDE, SIDE)] or face["png"].max() >= len(_LABELS):
            raise DatasetError(
                f"{shard}: {key} has shapes {shapes}; expected a picture of {SIDE} px and a mask of as many, "
                f"with labels below {len(_LABELS)}"
            )
    table = np.array(_LABELS, np.uint8)
    return PartFaces(
        torch.from_numpy(np.stack([face["webp"] for face in found.values()])),
        torch.from_numpy(table[np.stack([face["png"] for face in found.values()])]),
    )


def vary(img: Tensor, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn, move, enlarge and mirror faces; vary their light, colours and sharpness.

    Args:
        img: [N, 3, S, S] in [-1, 1].
        labels: [N, S, S] uint8.
        rng: A CPU generator.

    Returns:
        The same shapes; labels [N, S, S] int64, `UNKNOWN` outside the picture.
    """
    count, side = len(img), img.shape[2]
    turn, zoom, x, y, mirrored, grey, soft, gamma = torch.rand(8, count, generator=rng)
    angle = (turn - 0.5) * 2 * math.radians(25)
    scale = torch.exp((zoom - 0.5) * 2 * math.log(1.6))
    cos, sin = angle.cos() * scale, angle.sin() * scale
    flipped = torch.where(mirrored < 0.5, -1.0, 1.0)
    rows = [[cos * flipped, -sin, (x - 0.5) * 0.5], [sin * flipped, cos, (y - 0.5) * 0.5]]
    theta = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = F.affine_grid(theta, [count, 1, side, side], align_corners=False)
    varied = F.grid_sample(img, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    shifted = labels.float()[:, None] - UNKNOWN  # what lies outside is then UNKNOWN, as its zero
    cut = F.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    target = (cut[:, 0] + UNKNOWN).round().long()
    small = F.avg_pool2d(varied, 4)
    blurred = F.interpolate(small, size=(side, side), mode="bilinear", align_corners=False)
    varied = torch.lerp(varied, blurred, ((soft - 0.5).clamp(min=0) * 1.8)[:, None, None, None])
    colourless = varied.mean(1, keepdim=True)
    varied = torch.where((grey < 0.1)[:, None, None, None], colourless.expand_as(varied), varied)
    tint = (torch.rand(count, 3, 1, 1, generator=rng) - 0.5) * 0.3
    power = torch.exp((gamma - 0.5) * 1.2)[:, None, None, None]
    varied = (((varied + 1) / 2).clamp(0, 1) ** power) * 2 - 1
    return jitter(varied + tint, rng).clamp(-1, 1), target
