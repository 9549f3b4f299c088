"""A face of a photo as points, and what its mesh tells: where it is, how large, which way it looks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from editor.face.tiles import Box

Points = npt.NDArray[np.float32]

# Indices of MediaPipe's mesh. Right and left are the subject's, so the right eye is the one on the left.
MOUTH_CORNERS = (61, 291)
LIPS_OUTER = (0, 17)  # middle of the upper and of the lower lip, outside
LIPS_INNER = (13, 14)  # the same inside
EYES = (((159, 145), (33, 133)), ((386, 374), (362, 263)))  # (upper, lower lid), (corners), right then left
FACE_SIDES = (234, 454)  # where the cheek meets the ear
FOREHEAD_CHIN = (10, 152)
JAW = (172, 397)  # corners of the jaw
NOSE_TIP = 1
RIGHT_EYE = (33, 160, 158, 133, 153, 144)  # contours
LEFT_EYE = (362, 385, 387, 263, 373, 380)
IRISES = ((468, (33, 133)), (473, (362, 263)))  # (middle, corners of the eye), right then left
BROWS = ((105, (33, 133)), (334, (362, 263)))  # (middle of the brow, corners of the eye), right then left
# Nose tip in front of the middle between the cheeks, in units of half their distance: the regression of the
# nose cue on the depth cue over 1969 cropped photographs of faces turned by up to 50 degrees.
_NOSE_REACH = 1.55


@dataclass(frozen=True, eq=False)
class Face:
    """One face of a photo; coordinates in pixels, pixel (i, j) covering [i, i+1] x [j, j+1]."""

    points: Points  # [478, 2] x, y of the face mesh; may lie outside the photo
    box: tuple[float, float, float, float]  # x0, y0, x1, y1: bounds of the points
    size: float  # px, the longer side of the box
    yaw: float = 0.0  # degrees, rough: see `estimate_yaw`
    pitch: float = 0.0  # degrees, rough: see `estimate_pitch`


def estimate_yaw(mesh: npt.NDArray[Any]) -> float:
    """Estimate how far a face is turned to the side.

    Mean of two cues, both free of roll: the difference in depth between the cheeks, and how far the nose tip
    is off the middle between them. Rough, and it saturates: MediaPipe's mesh hardly turns further than 50
    degrees, which is what a half profile and a full profile both read as.

    Args:
        mesh: Face mesh [478, 3] x, y, z in one unit, z growing away from the camera.

    Returns:
        Degrees in -90..90; 0 looks into the camera, positive towards the right edge of the picture.
    """
    right, left, nose = (mesh[index].astype(np.float64) for index in (*FACE_SIDES, NOSE_TIP))
    across = left - right
    width = max(math.hypot(across[0], across[1]), 1e-6)
    depth_cue = math.atan2(across[2], width)
    aside = float((nose - (left + right) / 2)[:2] @ across[:2]) / width
    nose_cue = math.atan2(aside / _NOSE_REACH, width / 2)
    return math.degrees((depth_cue + nose_cue) / 2)


def estimate_pitch(mesh: npt.NDArray[Any]) -> float:
    """Estimate how far a face looks up or down, from the depth of its forehead against that of its chin.

    Free of roll. Foreheads and chins differ, so that only differences between pictures of one face mean much.

    Args:
        mesh: Face mesh [478, 3] x, y, z in one unit, z growing away from the camera.

    Returns:
        Degrees in -90..90; 0 has forehead and chin equally far away, positive looks up.
    """
    forehead, chin = (mesh[index].astype(np.float64) for index in FOREHEAD_CHIN)
    down = chin - forehead
    return math.degrees(math.atan2(-down[2], max(math.hypot(down[0], down[1]), 1e-6)))


def face_of_mesh(mesh: npt.NDArray[np.float64]) -> Face:
    """The face whose mesh is [478, 3] x, y, z, px, z growing away from the camera."""
    points = mesh[:, :2].astype(np.float32)
    box = _bounds(points)
    return Face(
        points=points, box=box, size=Box(*box).size, yaw=estimate_yaw(mesh), pitch=estimate_pitch(mesh)
    )


def turned_back(face: Face, turns: int, height: int, width: int) -> Face:
    """A face of a photo that had been turned, in the photo as it was before.

    Args:
        face: In the turned photo.
        turns: Quarter turns counterclockwise, as `np.rot90` counts them, 0 or more.
        height: Of the turned photo, px.
        width: Of the turned photo, px.
    """
    points = face.points
    for _ in range(turns):  # undoes one of them
        points = np.stack([height - points[:, 1], points[:, 0]], axis=1)
        height, width = width, height
    return replace(face, points=points, box=_bounds(points))


def _bounds(points: Points) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x0, y0, x1, y1
