"""Measure the colours of a face: light, complexion, beard and lips."""

import cv2
import numpy as np
from numpy.typing import NDArray

from editor.face.mesh import FOREHEAD_CHIN, LIPS_INNER, LIPS_OUTER, NOSE_TIP, Points
from editor.photo.colour import Pixels

CHEEKS = (50, 280)  # below the eyes, where no beard grows
BEARD = (164, 199, 194, 418)  # above the lips, on the chin, and beside it
_DISC = 0.03  # radius of what is looked at around a point, as a share of the face's height


def _inside(points: Points, pixels: Pixels) -> NDArray[np.bool_]:
    """Which pixels [R, R] the face covers."""
    hull = cv2.convexHull(points.astype(np.float32)).round().astype(np.int32)
    inside: NDArray[np.bool_] = cv2.fillConvexPoly(np.zeros(pixels.shape[:2], np.uint8), hull, 1).astype(bool)
    return inside


def light(pixels: Pixels, points: Points) -> dict[str, float]:
    """Luminance inside the face, 0 to 1.

    Its mean, and as shares of that the right half less the left, and the brightest tenth less the darkest.
    """
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    mask = _inside(points, pixels)
    columns = np.arange(luma.shape[1])[None] > points[NOSE_TIP][0]
    right, left = luma[mask & columns], luma[mask & ~columns]
    mean = float(luma[mask].mean())
    dark, bright = np.percentile(luma[mask], (10, 90))
    found = {"brightness": mean, "contrast": float(bright - dark) / max(mean, 1e-3)}
    if not len(right) or not len(left):
        return {"light": 0.0, **found}
    return {"light": float(right.mean() - left.mean()) / max(mean, 1e-3), **found}


def complexion(pixels: Pixels, points: Points) -> dict[str, float]:
    """Colour of the face in CIELAB: medians of a* and b*, which lips, teeth and eyes hardly move."""
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    redness, yellowness = np.median(lab[_inside(points, pixels)][:, 1:], axis=0)
    return {"redness": float(redness), "yellowness": float(yellowness)}


def paint_of(pixels: Pixels, points: Points) -> dict[str, float]:
    """Beard and lips, against the cheeks.

    How much darker a beard makes chin and upper lip, as a share; how much redder lips are, in CIELAB's a*.
    """
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    radius = _DISC * float(np.linalg.norm(points[FOREHEAD_CHIN[0]] - points[FOREHEAD_CHIN[1]]))
    cheeks = np.mean([_around(lab, points[index], radius) for index in CHEEKS], axis=0)
    grown = np.mean([_around(lab, points[index], radius) for index in BEARD], axis=0)
    middles = [
        (points[outer] + points[inner]) / 2 for outer, inner in zip(LIPS_OUTER, LIPS_INNER, strict=True)
    ]
    lips = np.mean([_around(lab, middle, radius / 2) for middle in middles], axis=0)
    beard = float(cheeks[0] - grown[0]) / max(float(cheeks[0]), 1.0)
    return {"beard": beard, "lips": float(lips[1] - cheeks[1])}


def _around(lab: NDArray[np.float32], point: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Mean colour [3] of the square about a point; of the nearest pixel where that lies outside."""
    height, width = lab.shape[:2]
    reach = max(radius, 0.5)
    (x0, y0), (x1, y1) = np.floor(point - reach).astype(int), np.ceil(point + reach).astype(int)
    x0, x1 = sorted((min(max(x0, 0), width - 1), min(max(x1, 1), width)))
    y0, y1 = sorted((min(max(y0, 0), height - 1), min(max(y1, 1), height)))
    found: NDArray[np.float32] = lab[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].mean((0, 1))
    return found
