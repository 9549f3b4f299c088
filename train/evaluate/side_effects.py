"""Side effects: what else an edit changes, of invented faces and of photos."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from editor.face.warp import resized
from editor.parts.labels import Part
from editor.parts.network import SIDE as PARSED_SIDE
from editor.parts.parser import FaceParser
from editor.photo.colour import Pixels
from inversion.directions.bank import DirectionBank
from stylegan2.image import from_uint8
from train.evaluate.metrics import MeasureFace
from train.evaluate.retention import own_attribute
from train.losses.identity import IdentityEmbedder

END = 1.5  # units to either side, at which side effects are told
STRENGTHS = (-END, -END / 2, END / 2, END)  # beside the unedited face: whether change follows the slider
EXPRESSION = "Expression"  # group of edits that people use together
CORNER = 8  # the corners are this part of the side
WORN = {"glasses": (Part.GLASSES, 0.004), "hat": (Part.HAT, 0.01)}  # share of the crop from which it is worn
Edited = Callable[[Mapping[str, float]], Pixels]  # strengths -> one face [S, S, 3] under them


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is seen of one picture of a face."""

    attributes: Mapping[
        str, float
    ]  # as `editor.measure.attributes.measure` names them; "masculine": log odds
    worn: Mapping[str, bool]
    who: Tensor | None  # embedding [D] of unit length
    corners: np.ndarray  # [4, C, C, 3]


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """What looks at faces."""

    measure_face: MeasureFace
    parser: FaceParser
    identity: IdentityEmbedder | None = None

    @torch.no_grad()
    def see(self, pixels: Pixels) -> Seen | None:
        """Look at a cropped face [S, S, 3] uint8; None where none is found."""
        attributes = self.measure_face(pixels)
        if attributes is None:
            return None
        parts = self.parser.parts(resized(pixels, PARSED_SIDE))
        worn = {name: bool((parts == part).mean() >= least) for name, (part, least) in WORN.items()}
        who = None
        if self.identity is not None:
            who = self.identity(from_uint8(torch.from_numpy(pixels.copy())[None]))[0].cpu()
        return Seen(attributes=attributes, worn=worn, who=who, corners=_corners(pixels))


def _own_attributes(directions: DirectionBank) -> dict[str, str]:
    return {name: own for name, edit in directions.items() if (own := own_attribute(edit)) is not None}


def measure_side_effects(
    directions: DirectionBank,
    faces: Iterable[Edited],
    watcher: Watcher,
    count: Callable[[int], object] = lambda done: None,
) -> dict[str, Any]:
    """Move every face by every edit, and look what becomes of it.

    Args:
        directions: Those whose own attribute is known are measured.
        faces: Each answers its pictures.
        watcher: Looks at them.
        count: Receives the number of faces done since its last call.

    Returns:
        {edit: {"own", "rank", "uneven", "-": ends, "+": ends}}. `rank`: median over faces of Spearman's
        correlation of the own attribute with the strength. `uneven`: of the mean changes over the four
        quarters of the way, the largest deviation from their mean, as a share of it. Ends, at +-1.5
        standard deviations or as many times the unit's size: `flips` share of
        faces whose predicted sex changes, `years` median change of the predicted age, `identity` median
        cosine with the unedited face, `corners` mean change in levels, `worn` share of the faces of which
        something appears or vanishes, `others` mean change of every other attribute in standard deviations
        of the unedited faces.
    """
    edits = _own_attributes(directions)
    path = {name: [{name: directions[name].unit_size * s} for s in STRENGTHS] for name in edits}
    plain, moved, spread = _watched(faces, watcher, lambda number: path, count)
    return {name: _told(own, plain, moved[name], spread) for name, own in edits.items()}


def measure_combinations(
    directions: DirectionBank,
    faces: Iterable[Edited],
    watcher: Watcher,
    count: Callable[[int], object] = lambda done: None,
) -> dict[str, dict[str, Any]]:
    """Move faces by two edits at once, every pair at a deviation each, and by all expressions together.

    Signs change from face to face, so that over four faces each pair meets in every way.

    Args:
        directions: Those whose own attribute is known are combined.
        faces: Each answers its pictures.
        watcher: Looks at them.
        count: Receives the number of faces done since its last call.

    Returns:
        {"smile+age": end, ..., "expressions": end}, ends as `measure_side_effects` has them; `others` are all
        attributes but the edits' own.
    """
    edits = _own_attributes(directions)
    sets: dict[str, tuple[str, ...]] = {"+".join(pair): pair for pair in combinations(edits, 2)}
    together = tuple(name for name in edits if directions[name].group == EXPRESSION)
    if len(together) > 1:
        sets["expressions"] = together

    def asked(number: int) -> dict[str, list[dict[str, float]]]:
        signs = ((key, number + place) for place, key in enumerate(sets))
        return {
            key: [
                {
                    name: (1 if bits >> bit & 1 else -1) * directions[name].unit_size
                    for bit, name in enumerate(sets[key])
                }
            ]
            for key, bits in signs
        }

    plain, moved, spread = _watched(faces, watcher, asked, count)
    ends = {}
    for key, names in sets.items():
        end = _end(edits[names[0]], plain, [row[0] for row in moved[key]], spread)
        owned = {edits[name] for name in names}
        ends[key] = {**end, "others": {k: v for k, v in end.get("others", {}).items() if k not in owned}}
    return ends


def _watched(
    faces: Iterable[Edited],
    watcher: Watcher,
    asked: Callable[[int], Mapping[str, Sequence[Mapping[str, float]]]],
    count: Callable[[int], object],
) -> tuple[list[Seen], dict[str, list[list[Seen | None]]], dict[str, float]]:
    """Faces as they are and under strengths, by what asks for them; the unedited attributes' deviations.

    Args:
        faces: Each answers its pictures; those in which no face is found are left out.
        watcher: Looks at them.
        asked: Number of a face, from 0 -> what is looked at: rows of strengths by name.
        count: Receives the number of faces done since its last call.
    """
    plain: list[Seen] = []
    moved: dict[str, list[list[Seen | None]]] = {name: [] for name in asked(0)}
    for face in faces:
        before = watcher.see(face({}))
        if before is not None:
            for name, rows in asked(len(plain)).items():
                moved[name].append([watcher.see(face(strengths)) for strengths in rows])
            plain.append(before)
        count(1)
    names = plain[0].attributes if plain else ()
    return plain, moved, {name: float(np.std([seen.attributes[name] for seen in plain])) for name in names}


def _told(
    own: str, plain: list[Seen], rows: list[list[Seen | None]], spread: Mapping[str, float]
) -> dict[str, Any]:
    ranks, steps = [], []
    for before, (far_low, low, high, far_high) in zip(plain, rows, strict=True):
        path = [far_low, low, before, high, far_high]
        if all(seen is not None for seen in path):
            values = [seen.attributes[own] for seen in path if seen is not None]
            ranks.append(rank_correlation(values))
            steps.append(np.diff(values))
    mean = np.mean(steps, 0) if steps else np.full(4, math.nan)
    whole = float(mean.mean())
    return {
        "own": own,
        "rank": float(np.median(ranks)) if ranks else math.nan,
        "uneven": float(np.abs(mean / whole - 1).max()) if whole else math.nan,
        "-": _end(own, plain, [row[0] for row in rows], spread),
        "+": _end(own, plain, [row[-1] for row in rows], spread),
    }


def _end(own: str, plain: list[Seen], ends: list[Seen | None], spread: Mapping[str, float]) -> dict[str, Any]:
    pairs = [(a, b) for a, b in zip(plain, ends, strict=True) if b is not None]
    if not pairs:
        return {"found": 0.0}

    def changes(name: str) -> np.ndarray:
        return np.array([b.attributes[name] - a.attributes[name] for a, b in pairs])

    flips = [(a.attributes["masculine"] > 0) != (b.attributes["masculine"] > 0) for a, b in pairs]
    same = [float(a.who @ b.who) for a, b in pairs if a.who is not None and b.who is not None]
    corners = [np.abs(a.corners.astype(float) - b.corners).mean() for a, b in pairs]
    return {
        "found": len(pairs) / len(plain),
        "flips": float(np.mean(flips)),
        "years": float(np.median(changes("age"))),
        "identity": float(np.median(same)) if same else math.nan,
        "corners": float(np.mean(corners)),
        "worn": {name: float(np.mean([a.worn[name] != b.worn[name] for a, b in pairs])) for name in WORN},
        "change": float(changes(own).mean() / max(spread[own], 1e-9)),
        "others": {
            name: float(changes(name).mean() / max(value, 1e-9))
            for name, value in spread.items()
            if name != own
        },
    }


def _corners(pixels: Pixels) -> Pixels:
    size = max(1, len(pixels) // CORNER)
    ends = (slice(None, size), slice(-size, None))
    return np.array([pixels[y, x] for y in ends for x in ends])


def rank_correlation(values: list[float]) -> float:
    """Spearman's, of values with their places in the row."""
    ranks = np.argsort(np.argsort(values)).astype(float)
    return float(np.corrcoef(ranks, np.arange(len(values)))[0, 1])
