"""The square that a model of faces expects, by the rule of FFHQ."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from editor.errors import FaceError
from stylegan2.bundle.folder import CropConfig

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Square:
    """A square by its middle and its half sides; coordinates in pixels of the picture that the face is in."""

    middle: Vector  # [2] x, y
    x: Vector  # [2] from the middle to the middle of the right side
    y: Vector  # [2] and of the lower side: `x`, turned by a quarter


def ffhq_square(right_eye: Vector, left_eye: Vector, mouth: Vector, crop_config: CropConfig) -> Square:
    """Place the square around a face.

    The recipe of CelebA-HQ (Karras et al. 2018, arXiv:1710.10196, appendix C) and FFHQ (Karras et al. 2019,
    arXiv:1812.04948, appendix). With `ea` the middle of the eyes, `e2e` from the right to the left eye and
    `e2m` from `ea` to the middle of the mouth:

        x = e2e - rot90(e2m), scaled to length max(2 |e2e|, 1.8 |e2m|) * scale,   rot90((a, b)) = (-b, a)
        y = rot90(x),   middle = ea + center * e2m

    Args:
        right_eye: Middle of the subject's right eye [2].
        left_eye: And of the left one.
        mouth: Middle between the corners of the mouth.
        crop_config: `scale` and `center` of the model; FFHQ itself has 1.0 and 0.1.

    Raises:
        FaceError: Eyes and mouth do not span a plane, or a point is not finite.
    """
    eyes = (right_eye + left_eye) / 2
    eye_to_eye, eyes_to_mouth = left_eye - right_eye, mouth - eyes
    x = eye_to_eye - _rot90(eyes_to_mouth)
    length = float(np.hypot(*x))
    if not (np.isfinite(length) and length > 1e-3):
        raise FaceError("face: its eyes and mouth fall on one point; expected the points of a face")
    half = max(2.0 * np.hypot(*eye_to_eye), 1.8 * np.hypot(*eyes_to_mouth)) * crop_config.scale
    x = x * (half / length)
    return Square(eyes + crop_config.center * eyes_to_mouth, x, _rot90(x))


def _rot90(vector: npt.NDArray[Any]) -> Vector:
    return np.array([-vector[1], vector[0]])
