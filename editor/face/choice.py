"""Which faces of a photo can be used, and what is to be said of them."""

from __future__ import annotations

import numpy as np

from editor.errors import FaceError, NoFaceError
from editor.face.crop import CroppedFace
from editor.face.landmarks import FaceDetector
from editor.face.mesh import Face
from editor.face.search import MIN_FACE_PART
from editor.photo.colour import Pixels

MAX_YAW = 45.0  # degrees of `Face.yaw`; a half profile reads as this, and a generator of portraits has none
_NOTED_YAW = 30.0  # degrees
_NOTED_ENLARGEMENT = 2.0  # crop px per photo px
_NOTED_PADDING = 0.1  # of the crop's area


def find_faces(detector: FaceDetector, pixels: Pixels) -> tuple[Face, ...]:
    """Every face of a photo [H, W, 3] uint8, the largest first; at least one.

    Raises:
        NoFaceError: There is none.
        CheckpointError: The detector's model is missing or damaged.
    """
    faces = tuple(detector.detect(pixels))
    if not faces:
        height, width = pixels.shape[:2]
        raise NoFaceError(
            f"no face found in the {width}x{height} photo; one is needed, both eyes and the mouth in view, "
            f"at least {MIN_FACE_PART:.0%} of the longer side. A closer or better lit photo helps"
        )
    return faces


def check_turn(face: Face, pixels: Pixels) -> None:
    """Refuse a face that is turned to the side by more than `MAX_YAW`.

    Raises:
        FaceError: It is.
    """
    if abs(face.yaw) > MAX_YAW:
        height, width = pixels.shape[:2]
        raise FaceError(
            f"the face in the {width}x{height} photo is a profile, turned by {abs(face.yaw):.0f} degrees or "
            f"more; at most {MAX_YAW:.0f} are allowed, with both eyes in view"
        )


def notes_on(cropped: CroppedFace, face: Face, count: int, number: int = 1) -> tuple[str, ...]:
    """What may make the result worse, in plain sentences: that there are others, and how this face lies."""
    notes = []
    if count > 1:
        which = "the largest was taken" if number == 1 else f"this is number {number}"
        notes.append(f"{count} faces found; {which}.")
    enlarged = cropped.crop.shape[0] / float(np.hypot(*(cropped.quad[3] - cropped.quad[0])))
    if enlarged > _NOTED_ENLARGEMENT:
        notes.append(
            f"The face is only {face.size:.0f} px tall and was enlarged {enlarged:.1f} times; "
            "expect a soft result."
        )
    if cropped.padded > _NOTED_PADDING:
        notes.append(
            f"{cropped.padded:.0%} of the crop lies outside the photo and was filled with blurred colour; "
            "a photo with more room around the face works better."
        )
    if abs(face.yaw) > _NOTED_YAW:
        notes.append(f"The face is turned by about {abs(face.yaw):.0f} degrees; frontal faces work better.")
    return tuple(notes)
