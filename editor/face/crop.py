"""Photo and face points -> the square crop that a model expects, with the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from editor.errors import FaceError
from editor.face.fill import fill_outside
from editor.face.landmarks import FaceDetector
from editor.face.mesh import Face
from editor.face.search import MIN_FACE_PART
from editor.face.warp import Matrix, warp
from editor.photo.colour import Pixels
from editor.photo.reading import check_pixels
from stylegan2.bundle.folder import CropConfig
from stylegan2.errors import ConfigError

Quad = npt.NDArray[np.float64]

MAX_YAW = 45.0  # degrees of `Face.yaw`; a half profile reads as this, and a generator of portraits has none
MAX_RESOLUTION = 2048  # px; the largest published generators make 1024
_NOTED_YAW = 30.0  # degrees
_NOTED_ENLARGEMENT = 2.0  # crop px per photo px
_NOTED_PADDING = 0.1  # of the crop's area

# Eye contours of MediaPipe's mesh; right and left are the subject's, so the right eye is the one on the left.
_RIGHT_EYE = (33, 160, 158, 133, 153, 144)
_LEFT_EYE = (362, 385, 387, 263, 373, 380)
_MOUTH_CORNERS = (61, 291)


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


@dataclass(frozen=True, eq=False)
class CroppedPhoto:
    """The chosen face of a photo, cut out, and what else there is to say about the photo."""

    cropped: CroppedFace
    face: Face  # the one that was cut out
    faces: tuple[Face, ...]  # every face of the photo, largest first
    notes: tuple[str, ...]  # plain sentences for the user; empty when all is well


def face_quad(points: npt.NDArray[Any], crop_config: CropConfig) -> Quad:
    """Place the square that a model expects around a face.

    The recipe of CelebA-HQ (Karras et al. 2018, arXiv:1710.10196, appendix C) and FFHQ. With `ea` the middle
    of the eyes, `e2e` from the right to the left eye and `e2m` from `ea` to the middle of the mouth corners:

        x = e2e - rot90(e2m), scaled to length max(2 |e2e|, 1.8 |e2m|) * scale,   rot90((a, b)) = (-b, a)
        y = rot90(x),   c = ea + center * e2m,   corners c - x - y, c - x + y, c + x + y, c + x - y

    Args:
        points: Face mesh [478, 2], px.
        crop_config: `scale` and `center` of the model; FFHQ itself has 1.0 and 0.1.

    Returns:
        Corners [4, 2], px: top left, bottom left, bottom right, top right of an upright face.

    Raises:
        FaceError: Eyes and mouth do not span a plane, or a point is not finite.
    """
    points = np.asarray(points, dtype=np.float64)
    right_eye, left_eye = points[list(_RIGHT_EYE)].mean(axis=0), points[list(_LEFT_EYE)].mean(axis=0)
    eyes = (right_eye + left_eye) / 2
    eye_to_eye = left_eye - right_eye
    eyes_to_mouth = points[list(_MOUTH_CORNERS)].mean(axis=0) - eyes
    x = eye_to_eye - _rot90(eyes_to_mouth)
    length = float(np.hypot(*x))
    if not (np.isfinite(length) and length > 1e-3):
        raise FaceError("face: its eyes and mouth fall on one point; expected the points of a face")
    half = max(2.0 * np.hypot(*eye_to_eye), 1.8 * np.hypot(*eyes_to_mouth)) * crop_config.scale
    x *= half / length
    y = _rot90(x)
    center = eyes + crop_config.center * eyes_to_mouth
    return np.stack([center - x - y, center - x + y, center + x + y, center + x - y])


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
    transform = np.eye(3)
    transform[:2, 0] = (quad[3] - quad[0]) / resolution
    transform[:2, 1] = (quad[1] - quad[0]) / resolution
    transform[:2, 2] = quad[0]
    height, width = pixels.shape[:2]
    crop = fill_outside(warp(pixels, transform, resolution, resolution), transform, width, height)
    padded = _part_outside(quad, width, height)
    return CroppedFace(crop=crop, quad=quad, transform=transform, padded=padded)


def find_and_crop(
    detector: FaceDetector, pixels: Pixels, crop_config: CropConfig, resolution: int
) -> CroppedPhoto:
    """Find the faces of a photo and cut out the largest.

    Args:
        detector: Finds the faces.
        pixels: Photo [H, W, 3] uint8 RGB; not changed.
        crop_config: `scale` and `center` of the model.
        resolution: Side of the crop, px.

    Returns:
        The largest face, cut out; all faces; and notes on what may make the result worse.

    Raises:
        FaceError: No face was found, or the largest is turned to the side by more than `MAX_YAW`.
        ImageInputError, ConfigError: As `crop_face`.
        CheckpointError: The detector's model is missing or damaged.
    """
    faces = tuple(detector.detect(pixels))
    height, width = pixels.shape[:2]
    if not faces:
        raise FaceError(
            f"no face found in the {width}x{height} photo; one is needed, both eyes and the mouth in view, "
            f"at least {MIN_FACE_PART:.0%} of the longer side. A closer or better lit photo helps"
        )
    face = faces[0]
    if abs(face.yaw) > MAX_YAW:
        raise FaceError(
            f"the face in the {width}x{height} photo is a profile, turned by {abs(face.yaw):.0f} degrees or "
            f"more; at most {MAX_YAW:.0f} are allowed, with both eyes in view"
        )
    cropped = crop_face(pixels, face, crop_config, resolution)
    return CroppedPhoto(cropped=cropped, face=face, faces=faces, notes=_notes(cropped, face, len(faces)))


def _rot90(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.array([-vector[1], vector[0]])


def _part_outside(quad: Quad, width: int, height: int) -> float:
    """Part of the quad's area outside the photo, counted on a grid of 128 x 128 points."""
    steps = (np.arange(128) + 0.5) / 128
    u, v = steps[None, :, None], steps[:, None, None]
    places = quad[0] + u * (quad[3] - quad[0]) + v * (quad[1] - quad[0])  # [128, 128, 2]
    inside = ((places >= 0) & (places <= (width, height))).all(axis=2)
    return float(1 - inside.mean())


def _notes(cropped: CroppedFace, face: Face, count: int) -> tuple[str, ...]:
    notes = []
    if count > 1:
        notes.append(f"{count} faces found; the largest was taken.")
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
