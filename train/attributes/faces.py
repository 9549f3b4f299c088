"""Faces with what is known of them: reading them once, and keeping them."""

import io
import json
import math
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from editor.errors import DECODER_ERRORS
from editor.face.warp import resized
from editor.measure.attribute_network import ATTRIBUTES, MOST_YEARS, NAMES, SIDE
from editor.parts.labels import Part
from editor.parts.network import SIDE as PARSED_SIDE
from editor.parts.parser import FaceParser
from editor.photo.colour import Pixels
from train.data.arrays import claim_arrays, open_array
from train.data.augment import flip, jitter
from train.errors import DatasetError

META_FILE = "faces.json"
SETTING = "cache"
# Share of the crop from which a part counts as there: what is smaller is a misread pixel or two.
LEAST = {"glasses": 0.004, "hat": 0.01, "earrings": 0.0004}
_PARTS = {"glasses": Part.GLASSES, "hat": Part.HAT, "earrings": Part.EARRING, "hair": Part.HAIR}
_PARTS["teeth"] = Part.MOUTH
_RATED = {"happy": "happy", "weight": "weight", "long_hair": "long-haired", "hair_colour": "hair-color"}


@dataclass(frozen=True)
class KnownFaces:
    """Faces, and what is known of them; arrays on disk."""

    pixels: np.ndarray  # [N, SIDE, SIDE, 3] uint8
    known: np.ndarray  # [N, len(ATTRIBUTES)] float32, as they are told; NaN where nobody says

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.pixels)


def keep_faces(
    folder: Path,
    shards: tuple[str, ...],
    parser: FaceParser,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> KnownFaces:
    """The faces of shards, read and parsed once and kept in a folder.

    Args:
        folder: Made where missing; one that holds other faces is refused.
        shards: Tar shards: pictures `KEY.webp`, and `KEY.json` with what is known: `age` in years, `male` 0
            or 1, `ratings` of 0 to 100.
        parser: Finds glasses, hats, earrings, hair and teeth.
        progress: Receives (done, total).

    Raises:
        DatasetError: A shard is missing or damaged, or all are empty.
        ConfigError: The folder holds other faces, is damaged, or cannot be written.
    """
    total = sum(_count(shard) for shard in shards)
    if total == 0:
        raise DatasetError(f"{', '.join(shards)}: no faces; expected pairs of KEY.webp and KEY.json")
    owner = {"shards": [Path(shard).name for shard in shards], "count": total, "names": list(NAMES)}
    claim_arrays(folder, META_FILE, owner, setting=SETTING, things="faces")
    pixels = open_array(folder / "pixels.npy", (total, SIDE, SIDE, 3), np.uint8, setting=SETTING)
    known = open_array(folder / "known.npy", (total, len(ATTRIBUTES)), np.float32, setting=SETTING)
    made = open_array(folder / "made.npy", (1,), np.int64, setting=SETTING)
    at = 0
    for shard in shards:
        for picture, told in read_known(shard) if made[0] < total else ():
            if at >= made[0]:
                large = resized(picture, PARSED_SIDE)
                pixels[at] = resized(picture, SIDE)
                known[at] = values_of({**told, **parts_of(parser.parts(large))})
                made[0] = at + 1  # last: a process that dies before leaves no false face
            at += 1
            progress(at, total)
    return KnownFaces(pixels, known)


def read_known(shard: str) -> Iterator[tuple[Pixels, dict[str, float]]]:
    """Pictures [S, S, 3] of a shard, and what its notes say of each.

    Raises:
        DatasetError: The shard is missing or damaged, or a picture is not square.
    """
    try:
        with tarfile.open(shard) as tar:
            waiting: dict[str, dict[str, bytes]] = {}
            for member in tar:
                key, _, suffix = member.name.rpartition(".")
                file = tar.extractfile(member)
                if file is None or suffix not in ("webp", "json"):
                    continue
                pair = waiting.setdefault(key, {})
                pair[suffix] = file.read()
                if len(pair) == 2:
                    del waiting[key]
                    with Image.open(io.BytesIO(pair["webp"]), formats=("WEBP",)) as image:
                        pixels = np.array(image.convert("RGB"))
                    if pixels.shape[0] != pixels.shape[1]:
                        raise DatasetError(f"{shard}: {key} is {pixels.shape[:2]} px; expected a square")
                    yield pixels, told_by(json.loads(pair["json"]))
    except (tarfile.TarError, ValueError, TypeError, AttributeError, *DECODER_ERRORS) as error:
        raise DatasetError(f"{shard}: missing, damaged or unreadable ({error})") from error


def told_by(note: Mapping[str, Any]) -> dict[str, float]:
    """What a face's notes say, by attribute."""
    ratings = note.get("ratings") or {}
    found = {name: float(note[name]) for name in ("age", "male") if name in note}
    found |= {name: float(ratings[key]) for name, key in _RATED.items() if key in ratings}
    if "age" in ratings:
        found["age"] = float(ratings["age"])
    return found


def parts_of(parts: np.ndarray) -> dict[str, float]:
    """What a map of parts [H, W] says, by attribute: whether there are glasses, and how much hair."""
    shares = np.bincount(parts.ravel(), minlength=len(Part)) / parts.size
    found = {name: float(shares[part]) for name, part in _PARTS.items()}
    return {name: float(value >= LEAST[name]) if name in LEAST else value for name, value in found.items()}


def values_of(told: Mapping[str, float]) -> np.ndarray:
    """[len(ATTRIBUTES)], NaN where nothing is told."""
    values = [told.get(name, math.nan) for name in NAMES]
    if not math.isnan(values[0]):
        values[0] = min(max(values[0], 0.0), MOST_YEARS)
    return np.array(values, np.float32)


def varied(img: Tensor, rng: torch.Generator) -> Tensor:
    """Turn, move, enlarge and mirror faces [N, 3, S, S] in [-1, 1]; vary their light and sharpness."""
    count, side = len(img), img.shape[2]
    turn, zoom, x, y, soft, gamma = torch.rand(6, count, generator=rng)
    angle = (turn - 0.5) * 2 * math.radians(12)
    scale = torch.exp((zoom - 0.5) * 2 * math.log(1.15))
    cos, sin = angle.cos() * scale, angle.sin() * scale
    rows = [[cos, -sin, (x - 0.5) * 0.16], [sin, cos, (y - 0.5) * 0.16]]
    theta = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = F.affine_grid(theta, [count, 1, side, side], align_corners=False)
    out = F.grid_sample(img, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    blurred = F.interpolate(F.avg_pool2d(out, 2), size=(side, side), mode="bilinear", align_corners=False)
    out = torch.lerp(out, blurred, ((soft - 0.6).clamp(min=0) * 2)[:, None, None, None])
    power = torch.exp((gamma - 0.5) * 0.7)[:, None, None, None]
    out = (((out + 1) / 2).clamp(0, 1) ** power) * 2 - 1
    return jitter(flip(out, rng), rng).clamp(-1, 1)


def _count(shard: str) -> int:
    try:
        with tarfile.open(shard) as tar:
            return sum(member.name.endswith(".webp") for member in tar)
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(f"{shard}: missing, damaged or unreadable ({error})") from error
