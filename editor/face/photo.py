"""FacePhoto: a photo and every face in it, or a box on it, ready to be inverted one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from editor.errors import FaceError
from editor.face.box import PhotoBox, box_face, check_box, crop_box, first_box, notes_on_box
from editor.face.choice import check_turn, find_faces, notes_on
from editor.face.crop import CroppedFace, crop_face
from editor.face.landmarks import FaceDetector
from editor.face.mesh import Face
from editor.face.warp import Matrix
from editor.photo.colour import Pixels
from editor.photo.original import PhotoFile
from stylegan2.bundle.content import Content
from stylegan2.bundle.folder import CropConfig


@dataclass(frozen=True, eq=False)
class PhotoFace:
    """One face of a photo, or the box that stands for it, cut out."""

    number: int  # from 1, the largest first
    face: Face  # in px of the photo
    cropped: CroppedFace | None  # None where it cannot be used
    large: Pixels | None  # the same crop at another size; None where it cannot be used
    notes: tuple[str, ...] = ()  # what may make the result worse, in plain sentences
    refusal: str = ""  # why it cannot be used
    content: Content | None = None  # of a box: what it fills of the crop; None: it is a face

    @property
    def to_photo(self) -> Matrix:
        """Affine map [3, 3] from the crop, whose corners are (0, 0) and (1, 1), to px of the photo.

        Raises:
            FaceError: The face cannot be used.
        """
        if self.cropped is None:
            raise FaceError(self.refusal)
        side = len(self.cropped.crop)
        return np.asarray(self.cropped.transform @ np.diag((side, side, 1.0)), np.float64)


@dataclass(frozen=True, eq=False)
class FacePhoto:
    """A photo, or a view of it, and its faces."""

    file: PhotoFile | None  # None where the pixels are a view
    source: Path | bytes | None  # the file, or its bytes
    pixels: Pixels  # [H, W, 3] uint8
    scale: tuple[float, float]  # px of `pixels` per px of the photo, across and down
    width: int  # of the photo, px
    height: int
    faces: tuple[PhotoFace, ...]  # the largest first, at least one
    box: PhotoBox | None = None  # that was drawn; its entry is the only one of `faces`

    def face(self, number: int) -> PhotoFace:
        """The face with this number, from 1.

        Raises:
            FaceError: There is none, or it cannot be used.
        """
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(self.faces):
            found = number if isinstance(number, int) else type(number).__name__
            raise FaceError(f"face: got {found}; the photo has {len(self.faces)}, numbered from 1")
        face = self.faces[number - 1]
        if face.cropped is None:
            raise FaceError(face.refusal)
        return face

    @property
    def first(self) -> int:
        """Number of the largest face that can be used."""
        return next(face.number for face in self.faces if face.cropped is not None)

    def to_pixels(self, face: PhotoFace) -> Matrix:
        """Affine map [3, 3] from a face's crop, corners (0, 0) and (1, 1), to `pixels`."""
        return np.diag((*self.scale, 1.0)) @ face.to_photo

    def others(self, face: PhotoFace) -> Sequence[Face]:
        """All faces but one."""
        return [other.face for other in self.faces if other.number != face.number]


def open_faces(
    file: PhotoFile,
    detector: FaceDetector,
    crop_config: CropConfig,
    resolution: int,
    *,
    large: int,
    most_pixels: int | None = None,
) -> FacePhoto:
    """Find and cut out every face of a photo.

    Args:
        file: The photo.
        detector: Finds the faces.
        crop_config: `scale` and `center` of the model.
        resolution: Side of the crops, px.
        large: Side of the second crop of each face, px.
        most_pixels: Keep no more than a view of so many pixels; None keeps the photo as it is.

    Raises:
        FaceError: There is no face, or none that can be used.
        ConfigError: As `crop_face`.
        CheckpointError: The detector's model is missing or damaged.
    """
    pixels = file.pixels
    faces = cut_faces(pixels, detector, crop_config, resolution, large=large)
    if all(face.cropped is None for face in faces):
        raise FaceError(faces[0].refusal)
    return _kept(file, faces, most_pixels)


def open_box(
    file: PhotoFile,
    content: Content,
    resolution: int,
    *,
    large: int,
    most_pixels: int | None = None,
    box: PhotoBox | None = None,
) -> FacePhoto:
    """Cut a box out of a photo in which no face is looked for.

    Args:
        file: The photo.
        content: What the box fills of the model's square.
        resolution: As of `open_faces`, like `large` and `most_pixels`.
        large: Side of the second crop, px.
        most_pixels: Keep no more than a view of so many pixels.
        box: Where; None for the largest in the middle.

    Raises:
        BoxError: It does not lie within the photo, or is too small.
        ConfigError: As `crop_box`.
    """
    pixels = file.pixels
    height, width = pixels.shape[:2]
    box = first_box(width, height, content) if box is None else check_box(box, width, height, content)
    entry = PhotoFace(
        number=1,
        face=box_face(box, content),
        cropped=crop_box(pixels, box, content, resolution),
        large=crop_box(pixels, box, content, large).crop,
        notes=notes_on_box(box, content, resolution),
        content=content,
    )
    return _kept(file, (entry,), most_pixels, box)


def cut_again(photo: FacePhoto, face: PhotoFace, crop_config: CropConfig, side: int) -> Pixels:
    """The crop of a face or of a box at another size: [side, side, 3] uint8 of `photo.pixels`.

    Args:
        photo: At its own size.
        face: One of its faces.
        crop_config: `scale` and `center` of the model.
        side: px.
    """
    if photo.box is not None and face.content is not None:
        return crop_box(photo.pixels, photo.box, face.content, side).crop
    return crop_face(photo.pixels, face.face, crop_config, side).crop


def cut_faces(
    pixels: Pixels, detector: FaceDetector, crop_config: CropConfig, resolution: int, *, large: int
) -> tuple[PhotoFace, ...]:
    """Every face of a photo [H, W, 3] uint8, cut out where it can be used; arguments as of `open_faces`.

    Raises:
        FaceError: There is no face.
        ConfigError: As `crop_face`.
        CheckpointError: The detector's model is missing or damaged.
    """
    found = find_faces(detector, pixels)
    return tuple(
        _cut(number, face, pixels, crop_config, resolution, large, len(found))
        for number, face in enumerate(found, 1)
    )


def describe_face(face: PhotoFace) -> dict[str, Any]:
    """A face as plain values.

    Returns:
        "number"; "box", left, top, right, bottom in px of the photo; "yaw" and "pitch" in degrees, see
        `Face`; "usable", and "refusal", why not.
    """
    return {
        "number": face.number,
        "box": [round(side, 1) for side in face.face.box],
        "yaw": round(face.face.yaw, 1),
        "pitch": round(face.face.pitch, 1),
        "usable": face.cropped is not None,
        "refusal": face.refusal,
    }


def face_line(described: Mapping[str, Any]) -> str:
    """What `describe_face` says, in one line."""
    x0, y0, x1, y1 = (round(side) for side in described["box"])
    place = f"{described['number']}: {x1 - x0}x{y1 - y0} px at ({x0}, {y0})"
    return place if described["usable"] else f"{place}, cannot be edited: {described['refusal']}"


def _cut(
    number: int, face: Face, pixels: Pixels, crop_config: CropConfig, resolution: int, large: int, count: int
) -> PhotoFace:
    try:
        check_turn(face, pixels)
        cropped = crop_face(pixels, face, crop_config, resolution)
        larger = crop_face(pixels, face, crop_config, large).crop
    except FaceError as error:
        return PhotoFace(number, face, None, None, refusal=str(error))
    return PhotoFace(number, face, cropped, larger, notes_on(cropped, face, count, number))


def _kept(
    file: PhotoFile, faces: tuple[PhotoFace, ...], most_pixels: int | None, box: PhotoBox | None = None
) -> FacePhoto:
    """What is known of an opened photo, itself or a view of it."""
    height, width = file.pixels.shape[:2]
    view, scale = _view(file.pixels, most_pixels)
    return FacePhoto(
        file=file if view is file.pixels else None,
        source=file.source,
        pixels=view,
        scale=scale,
        width=width,
        height=height,
        faces=faces,
        box=box,
    )


def _view(pixels: Pixels, most_pixels: int | None) -> tuple[Pixels, tuple[float, float]]:
    height, width = pixels.shape[:2]
    if most_pixels is None or height * width <= most_pixels:
        return pixels, (1.0, 1.0)
    shrink = (most_pixels / (height * width)) ** 0.5
    size = max(1, int(width * shrink)), max(1, int(height * shrink))
    view = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return view, (size[0] / width, size[1] / height)
