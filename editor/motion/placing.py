"""Placing: where a face's crop lies in a moving picture, steadied in time."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from editor.face.crop import face_quad, unit_square
from editor.face.ffhq import Square
from editor.face.mesh import Face
from editor.face.warp import Matrix
from editor.motion.one_euro import OneEuro
from stylegan2.bundle.folder import CropConfig

# Chosen on the example portrait under noise of 5 levels: at rest the crop trembles by 0.30 of what the
# landmarks do, and by 0.15 from frame to frame; one that crosses its face's width in half a second is
# followed within 0.021 of the crop's side at the worst, 0.008 in between.
LEAST, SLOPE = 0.5, 24.0  # Hz, and Hz for each side of the crop a second


def square_of(face: Face, crop_config: CropConfig) -> Matrix:
    """Affine map [3, 3] from a face's crop, corners (0, 0) and (1, 1), to px of its picture, unsteadied.

    Raises:
        FaceError: As `face_quad`.
    """
    return unit_square(face_quad(face.points, crop_config))


class Placing:
    """Follows one face's crop.

    Args:
        crop_config: Where the model expects the face.
    """

    def __init__(self, crop_config: CropConfig) -> None:
        self._crop_config = crop_config
        self._steady = OneEuro(LEAST, SLOPE)

    def __call__(self, face: Face, seconds: float) -> Matrix:
        """As `square_of`, steadied.

        Args:
            face: As it was found in the picture at this time.
            seconds: From any start, of the picture.

        Raises:
            FaceError: As `face_quad`.
        """
        raw = square_of(face, self._crop_config)
        x, y = raw[:2, 0] / 2, raw[:2, 1] / 2
        found = np.concatenate([raw[:2, 2] + x + y, x])
        steady = self._steady(found, seconds, unit=2 * float(np.hypot(*x)))
        return _map_of(Square(steady[:2], steady[2:], np.array([-steady[3], steady[2]])))

    def forget(self) -> None:
        """Begin anew with the next face."""
        self._steady.forget()

    def remember(self) -> dict[str, Any]:
        """Its state as plain values."""
        return self._steady.remember()

    def recall(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `remember` told."""
        self._steady.recall(state)


def _map_of(square: Square) -> Matrix:
    to_photo = np.eye(3)
    to_photo[:2, 0], to_photo[:2, 1] = 2 * square.x, 2 * square.y
    to_photo[:2, 2] = square.middle - square.x - square.y
    return to_photo
