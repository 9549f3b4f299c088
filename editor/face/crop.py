"""Photo and face points -> the square crop that a model expects, with the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from editor.face.ffhq import ffhq_square
from editor.face.fill import fill_outside
from editor.face.mesh import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE, Face
from editor.face.warp import Matrix, warp
from editor.photo.colour import Pixels
from editor.photo.reading import check_pixels
from stylegan2.bundle.folder import CropConfig
from stylegan2.errors import ConfigError

Quad = npt.NDArray[np.float64]

MAX_RESOLUTION = 2048  # px; the largest published generators make 1024


@dataclass(frozen=True, eq=False)
class CroppedFace:
    """A face crop and where it came from; coordinates in px, pixel (i, j) covering [i, i+1] x [j, j+1]."""

    crop: Pixels  # [R, R, 3] RGB
    quad: Quad  # [4, 2] corners of the crop in the photo: top left, bottom left, bottom right, top right
    transform: Matrix  # [3, 3] crop -> photo, px
    padded: float  # part of the crop that lies outside the photo and was filled in, 0..1

    @property
    def inverse(self) -> Matrix:
        """Affine map [3, 3] photo -> crop, px."""
        return np.asarray(np.linalg.inv(self.transform))


def face_quad(points: npt.NDArray[Any], crop_config: CropConfig) -> Quad:
    """Place the square that a model expects around a face, see `ffhq_square`.

    Args:
        points: Face mesh [478, 2], px.
        crop_config: `scale` and `center` of the model.

    Returns:
        Corners [4, 2], px: top left, bottom left, bottom right, top right of an upright face.

    Raises:
        FaceError: Eyes and mouth do not span a plane, or a point is not finite.
    """
    points = np.asarray(points, dtype=np.float64)
    right, left, mouth = (points[list(ids)].mean(axis=0) for ids in (RIGHT_EYE, LEFT_EYE, MOUTH_CORNERS))
    square = ffhq_square(right, left, mouth, crop_config)
    c, x, y = square.middle, square.x, square.y
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y])


def crop_face(pixels: Pixels, face: Face, crop_config: CropConfig, resolution: int) -> CroppedFace:
    """Cut a face out of a photo, upright and at the size that a model expects.

    Args:
        pixels: Photo [H, W, 3] uint8 RGB; not changed.
        face: Where the face is, in pixels of the photo.
        crop_config: `scale` and `center` of the model.
        resolution: Side R of the crop, px, 1..2048.

    Returns:
        The crop with its transform; parts outside the photo are filled, see `fill_outside`.

    Raises:
        ImageInputError: `pixels` has another shape or type.
        ConfigError: `resolution` is out of range.
        FaceError: As `face_quad`.
    """
    check_pixels("photo", pixels)
    if not 1 <= resolution <= MAX_RESOLUTION:
        raise ConfigError(f"resolution: got {resolution}, allowed are 1..{MAX_RESOLUTION} px")
    quad = face_quad(face.points, crop_config)
    to_photo = unit_square(quad)
    height, width = pixels.shape[:2]
    padded = _part_outside(quad, width, height)
    crop = cut_square(pixels, to_photo, resolution)
    transform = np.asarray(to_photo @ np.diag((1 / resolution, 1 / resolution, 1.0)), np.float64)
    return CroppedFace(crop=crop, quad=quad, transform=transform, padded=padded)


def unit_square(quad: Quad) -> Matrix:
    """Affine map [3, 3] from the square with corners (0, 0) and (1, 1) onto a crop's corners [4, 2]."""
    to_photo = np.eye(3)
    to_photo[:2, 0], to_photo[:2, 1], to_photo[:2, 2] = quad[3] - quad[0], quad[1] - quad[0], quad[0]
    return to_photo


def square_corners(to_photo: Matrix) -> Quad:
    """Corners [4, 2] of a crop, as `CroppedFace.quad` has them: what `unit_square` was made from."""
    corners = to_photo @ np.array([[0, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1]])
    return np.asarray(corners[:2].T, np.float64)


def points_in_crop(face: Face, to_photo: Matrix) -> npt.NDArray[np.float32]:
    """A face's points [478, 2] in parts of the side of a crop, whose square `to_photo` leads to the photo."""
    inverse = np.linalg.inv(to_photo)
    return np.asarray(face.points @ inverse[:2, :2].T + inverse[:2, 2], np.float32)


def cut_square(pixels: Pixels, to_photo: Matrix, resolution: int) -> Pixels:
    """Cut a square out of a photo.

    Args:
        pixels: Photo [H, W, 3] uint8.
        to_photo: Affine map [3, 3] from the square, corners (0, 0) and (1, 1), to px of the photo.
        resolution: Side R of the crop, px.

    Returns:
        [R, R, 3] uint8; parts outside the photo are filled, see `fill_outside`.
    """
    transform = to_photo @ np.diag((1 / resolution, 1 / resolution, 1.0))
    height, width = pixels.shape[:2]
    return fill_outside(warp(pixels, transform, resolution, resolution), transform, width, height)


def _part_outside(quad: Quad, width: int, height: int) -> float:
    """Part of the quad's area outside the photo, counted on a grid of 128 x 128 points."""
    steps = (np.arange(128) + 0.5) / 128
    u, v = steps[None, :, None], steps[:, None, None]
    places = quad[0] + u * (quad[3] - quad[0]) + v * (quad[1] - quad[0])  # [128, 128, 2]
    inside = ((places >= 0) & (places <= (width, height))).all(axis=2)
    return float(1 - inside.mean())
