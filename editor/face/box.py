"""PhotoBox: a part of a photo that is edited though no face is looked for in it."""

from dataclasses import dataclass

import numpy as np

from editor.errors import BoxError
from editor.face.crop import MAX_RESOLUTION, CroppedFace, cut_square, square_corners
from editor.face.mesh import Face
from editor.face.warp import Matrix
from editor.photo.colour import Pixels
from editor.photo.reading import check_pixels
from stylegan2.bundle.content import Content
from stylegan2.errors import ConfigError

LEAST_BOX = 64  # px of its longer side; smaller ones show a model next to nothing
_SLACK = 1  # px beyond the photo that are taken for rounding
_NOTED_ENLARGEMENT = 2.0  # crop px per photo px


@dataclass(frozen=True)
class PhotoBox:
    """Where a box lies, px of the photo; its height follows from what the model draws, see `Content`."""

    left: int
    top: int
    width: int

    def height(self, content: Content) -> float:
        """In px."""
        return self.width / content.aspect

    def to_photo(self, content: Content) -> Matrix:
        """Affine map [3, 3] from the model's square, corners (0, 0) and (1, 1), to px of the photo.

        The content of the square comes to lie on the box; the rest of the square reaches beyond it.
        """
        scale = self.width / content.width
        left = self.left - scale * (1 - content.width) / 2
        top = self.top - scale * (1 - content.height) / 2
        return np.array([[scale, 0, left], [0, scale, top], [0, 0, 1]])


def first_box(width: int, height: int, content: Content) -> PhotoBox:
    """The largest box in the middle of a photo of `width` x `height` px.

    Raises:
        BoxError: The photo holds none that is large enough.
    """
    wide = min(width, int(height * content.aspect))
    box = PhotoBox((width - wide) // 2, int((height - wide / content.aspect) / 2), wide)
    return check_box(box, width, height, content)


def check_box(box: PhotoBox, width: int, height: int, content: Content) -> PhotoBox:
    """The box, moved in by what rounding left of it outside.

    Args:
        box: Where it shall lie.
        width: Of the photo, px.
        height: Of the photo, px.
        content: What gives it its aspect.

    Raises:
        BoxError: It lies outside the photo, or is too small.
    """
    said = f"box: {box.width} x {box.height(content):.0f} px at ({box.left}, {box.top})"
    beyond = max(-box.left, -box.top, box.left + box.width - width, box.top + box.height(content) - height)
    if beyond > _SLACK:
        raise BoxError(f"{said}; must lie within the photo of {width} x {height} px")
    wide = min(box.width, width, int(height * content.aspect))
    if max(wide, wide / content.aspect) < LEAST_BOX:
        raise BoxError(f"{said}; its longer side must be at least {LEAST_BOX} px")
    left = min(max(box.left, 0), width - wide)
    top = min(max(box.top, 0), int(height - wide / content.aspect))
    return PhotoBox(left, top, wide)


def parse_box(text: str) -> PhotoBox:
    """A box from "LEFT,TOP,WIDTH" in whole px.

    Raises:
        BoxError: Not of this form.
    """
    try:
        left, top, width = map(int, text.split(","))
    except ValueError:
        raise BoxError(f"box {text!r}: must be LEFT,TOP,WIDTH in whole px, for example 40,0,640") from None
    return PhotoBox(left, top, width)


def box_face(box: PhotoBox, content: Content) -> Face:
    """The box in the place of a face: its corners are the points."""
    right, bottom = box.left + box.width, box.top + box.height(content)
    corners = [(box.left, box.top), (box.left, bottom), (right, bottom), (right, box.top)]
    return Face(
        points=np.array(corners, np.float32),
        box=(float(box.left), float(box.top), float(right), float(bottom)),
        size=float(max(box.width, box.height(content))),
    )


def crop_box(pixels: Pixels, box: PhotoBox, content: Content, resolution: int) -> CroppedFace:
    """Cut a box out of a photo as the model's pictures are: black beyond the content.

    Args:
        pixels: Photo [H, W, 3] uint8; not changed.
        box: Within the photo, see `check_box`.
        content: What the box fills of the square.
        resolution: Side R of the square, px, 1..2048.

    Raises:
        ImageInputError: `pixels` has another shape or type.
        ConfigError: `resolution` is out of range.
    """
    check_pixels("photo", pixels)
    if not 1 <= resolution <= MAX_RESOLUTION:
        raise ConfigError(f"resolution: got {resolution}, allowed are 1..{MAX_RESOLUTION} px")
    to_photo = box.to_photo(content)
    return CroppedFace(
        crop=content.on_black(cut_square(pixels, to_photo, resolution)),
        quad=square_corners(to_photo),
        transform=np.asarray(to_photo @ np.diag((1 / resolution, 1 / resolution, 1.0)), np.float64),
        padded=0.0,
    )


def notes_on_box(box: PhotoBox, content: Content, resolution: int) -> tuple[str, ...]:
    """What may make the result worse, in plain sentences."""
    enlarged = content.width * resolution / box.width
    if enlarged <= _NOTED_ENLARGEMENT:
        return ()
    return (
        f"The box is only {box.width} px wide and was enlarged {enlarged:.1f} times; expect a soft result.",
    )
