"""Anything a visitor may hand over as a photo -> upright RGB pixels, or an error in plain words."""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, features

from editor.errors import DECODER_ERRORS, ImageInputError
from editor.photo import heif
from editor.photo.colour import Pixels, to_rgb
from editor.photo.jpeg_scans import check_scans
from editor.photo.png_transparency import check_transparency, with_key
from editor.photo.tiff import check_tiff, describe_unreadable_tiff

Samples = TypeVar("Samples", bound=npt.NDArray[Any])

MAX_PIXELS = 50_000_000
# Decoders that hold the whole picture several times over: at the limit above they take more than a gigabyte.
# 25: telephones' photos "of 24 megapixels" have 24.5.
COSTLY_PIXELS = 25_000_000
_COSTLY = ("WEBP", "GIF", "AVIF")
MIN_SIDE = 32  # px; no face can be made out below
MAX_ASPECT = 8  # longer over shorter side

# Pillow opens some forty formats; each decoder is attack surface, so only those of photos are let in.
_AVIF = ("AVIF",) if features.check("avif") else ()  # Pillow 11.3 on
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", *_AVIF)  # the JPEG reader also takes MPO
_HEIF = ("HEIC",) if heif.can_read_heif() else ()
_ALLOWED = ", ".join(("allowed are JPEG, PNG, WebP, GIF, BMP, TIFF", *_AVIF, *_HEIF))
# How the files of these formats are called; those of a folder are chosen by it.
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif"),
    *(".bmp", ".dib", ".tif", ".tiff", ".avif", ".avifs"),
    *heif.SUFFIXES,
)
_HEAD_BYTES = 512
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIGNATURES = (  # how files begin that are no readable picture: (pattern, what to call them)
    (rb"%PDF", "a PDF document"),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg", "an SVG drawing"),
    (rb"\s*<(!doctype html|html|head|body)", "an HTML page"),
    (rb"....ftypavi[fs]", "an AVIF picture that cannot be read here (export it as JPEG)"),
    (rb"....ftyp", "a video"),
    (rb"PK\x03\x04", "a zip archive or office document"),
    (rb"\xff\xd8\xff", "a damaged or truncated JPEG"),
    (rb"\x89PNG", "a damaged or truncated PNG"),
    (rb"GIF8", "a damaged or truncated GIF"),
    (rb"RIFF....WEBP", "a damaged or truncated WebP"),
    (rb"BM", "a damaged or truncated BMP"),
    (rb"II[*+]\x00|MM\x00[*+]", "a damaged or truncated TIFF"),
)


def load_photo(
    source: str | Path | bytes | Image.Image | npt.NDArray[Any],
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int = MIN_SIDE,
    name: str = "photo",
) -> Pixels:
    """Read a photo, turn it upright by its EXIF tag, and give it as RGB.

    The one reader of pictures: the app, training and evaluation see the same pixels of a file. Of an
    animation or a multi-picture file the first frame is taken. Transparency is laid on white, deep greyscale
    is scaled, an embedded colour profile is followed where it is usable (`editor.photo.colour.to_rgb`).

    Args:
        source: A file's path, the bytes of a file, a Pillow image, or an array [H, W], [H, W, 3] or
            [H, W, 4] uint8 (grey, RGB, RGBA). It is not changed.
        max_pixels: Largest width times height; a larger picture is refused from its header, undecoded.
        min_side: Smallest width and height, pixels.
        name: What to call the picture in a message; the name of a file is added.

    Returns:
        Pixels [H, W, 3] uint8 RGB, contiguous, sharing no memory with `source`; both sides at least
        `min_side`, the longer at most 8 times the shorter.

    Raises:
        ImageInputError: There is no such file, it is no picture of an allowed format, it is damaged, its
            samples are of a kind that cannot be read right, or its size is outside the bounds above.
    """
    with open_checked(source, max_pixels=max_pixels, min_side=min_side, name=name) as opened:
        return opened.read()


@dataclass(frozen=True, eq=False)
class OpenedPhoto:
    """A picture whose header has been read and found allowed."""

    image: Image.Image
    """Not decoded, unless it was before."""
    called: str
    """What to call it in messages."""
    grey_key: int | None
    """See `check_transparency`."""

    def load(self) -> Image.Image:
        """Decode the picture; to be called within `decoding`."""
        self.image.load()
        return with_key(self.image, self.grey_key)

    def read(self) -> Pixels:
        """What `load_photo` answers.

        Raises:
            ImageInputError: The picture is damaged.
        """
        with self.decoding():
            image = self.load()
            return upright(to_rgb(image), orientation_of(image))

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Turn what decoders raise on damaged data into an `ImageInputError`."""
        try:
            yield
        except ImageInputError:
            raise
        except DECODER_ERRORS as error:
            kind = f"{self.image.format or 'image'} of mode {self.image.mode}"
            found = " ".join(str(error).split())  # libheif's texts have several lines
            advice = "it is damaged, truncated or of a rare kind; export it again as JPEG or PNG"
            raise ImageInputError(f"{self.called} cannot be decoded ({kind}: {found}); {advice}") from error


@contextmanager
def open_checked(
    source: object, *, max_pixels: int = MAX_PIXELS, min_side: int = MIN_SIDE, name: str = "photo"
) -> Iterator[OpenedPhoto]:
    """Open what `load_photo` takes and check all that is checked before decoding; arguments as there."""
    with _opened(source, max_pixels, name) as (image, called):
        if image.format in _COSTLY or heif.is_costly(image):
            max_pixels = min(max_pixels, COSTLY_PIXELS)
        _check_size(called, image.size, max_pixels, min_side)
        check_scans(called, image)
        check_tiff(called, image)
        heif.check_heif(called, image)
        key = check_transparency(called, image)
        yield OpenedPhoto(image, called, key)


def check_pixels(name: str, pixels: npt.NDArray[Any]) -> None:
    """Raise `ImageInputError` unless `pixels` is [H, W, 3] uint8 with at least one pixel.

    Args:
        name: What to call the array in the message.
        pixels: The array to look at.
    """
    if not isinstance(pixels, np.ndarray):
        raise ImageInputError(f"{name}: got {type(pixels).__name__}, expected an array [H, W, 3] uint8")
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ImageInputError(f"{name}: got {_describe_array(pixels)}, expected [H, W, 3] uint8")


def _describe_array(pixels: npt.NDArray[Any]) -> str:
    return f"an array {list(pixels.shape)} {pixels.dtype}"


def _image_of_array(pixels: npt.NDArray[Any], name: str) -> Image.Image:
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype != np.uint8 or not fits or pixels.size == 0:
        allowed = "[H, W], [H, W, 3] or [H, W, 4] uint8"
        raise ImageInputError(f"{name}: got {_describe_array(pixels)}, expected {allowed}")
    return Image.fromarray(np.ascontiguousarray(pixels))


@contextmanager
def _opened(source: object, max_pixels: int, name: str) -> Iterator[tuple[Image.Image, str]]:
    """The image of `source`, header read only, and its name in messages; closed here if opened here."""
    if isinstance(source, np.ndarray):
        yield _image_of_array(source, name), name
    elif isinstance(source, Image.Image):
        yield source, name
    elif isinstance(source, bytes):
        if not source:
            raise ImageInputError(f"{name} is empty (0 bytes); {_ALLOWED}")
        with _open_header(name, io.BytesIO(source), source[:_HEAD_BYTES], max_pixels) as image:
            yield image, name
    elif isinstance(source, str | Path):
        called = f"{name} '{Path(source).name or source}'"
        head = _read_head(called, Path(source))
        with Path(source).open("rb") as file, _open_header(called, file, head, max_pixels) as image:
            yield image, called
    else:
        found = type(source).__name__
        raise ImageInputError(f"{name}: got {found}, expected a path, bytes, a Pillow image or an array")


def _open_header(name: str, stream: BinaryIO, head: bytes, max_pixels: int) -> Image.Image:
    try:
        if heif.is_heif(head) and heif.can_read_heif():
            return heif.open_heif(stream)
        return Image.open(stream, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit, three times ours, comes before the size can be asked for: only its text has it.
        pixels = re.search(r"\d+", str(error))
        megapixels = f"{int(pixels.group()) / 1e6:.0f}" if pixels else "too many"
        limit = f"at most {max_pixels / 1e6:g} megapixels are allowed"
        raise ImageInputError(f"{name} has {megapixels} megapixels; {limit}") from error
    except DECODER_ERRORS as error:  # UnidentifiedImageError among them
        stream.seek(0)
        found = describe_unreadable_tiff(stream) if head.startswith(_TIFF_HEADS) else None
        raise ImageInputError(f"{name} is {found or f'{_describe(head)}; {_ALLOWED}'}") from error


def _read_head(name: str, path: Path) -> bytes:
    """The first bytes of a file that can be read, is an ordinary one and is not empty."""
    if "\0" in str(path):  # the system functions raise a bare ValueError
        raise ImageInputError(f"{name}: no such file")
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe or a device could block or never end
            kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise ImageInputError(f"{name} is {kind}, expected a picture file; {_ALLOWED}")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise ImageInputError(f"{name}: no such file") from error
    except OSError as error:  # no permission, an over-long name
        raise ImageInputError(f"{name} cannot be opened ({error.strerror})") from error
    if not head:
        raise ImageInputError(f"{name} is empty (0 bytes); {_ALLOWED}")
    return head


def _describe(head: bytes) -> str:
    if heif.is_heif(head):
        damaged = "a damaged or truncated HEIC, or one of a rare kind (export it as JPEG)"
        return damaged if heif.can_read_heif() else "a HEIC photo (export it as JPEG)"
    for pattern, what in _SIGNATURES:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            return what
    printable = sum(byte >= 0x20 or byte in b"\t\r\n" for byte in head)
    is_text = b"\0" not in head and printable == len(head) and _is_utf8(head)
    return "text" if is_text else "no picture that can be recognised"


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # a character cut at the end of the head
    return True


def _check_size(name: str, size: tuple[int, int], max_pixels: int, min_side: int) -> None:
    width, height = size
    found = f"{name} is {width}x{height} px"
    if width * height > max_pixels:
        limit = f"at most {max_pixels / 1e6:g} megapixels are allowed"
        raise ImageInputError(f"{found}, {width * height / 1e6:.1f} megapixels; {limit}")
    if min(size) < min_side:
        raise ImageInputError(f"{found}; both sides must be at least {min_side} px")
    if max(size) > MAX_ASPECT * min(size):
        limit = f"the longer side may be at most {MAX_ASPECT} times the shorter"
        raise ImageInputError(f"{found}, {max(size) / min(size):.3g} to 1; {limit}")


def orientation_of(image: Image.Image) -> int:
    """The EXIF tag of a decoded image, 1..8: of a TIFF, which Pillow turns itself, 1 once it is decoded."""
    try:
        found = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DECODER_ERRORS:  # damaged EXIF data say nothing about the picture itself
        return 1
    return found if 1 <= found <= 8 else 1


def upright(samples: Samples, orientation: int) -> Samples:
    """Undo EXIF orientation 2..8.

    Args:
        samples: [H, W, C], uint8 or uint16; not changed.
        orientation: 1..8. To undo this function, give `turned_back` of it.

    Returns:
        [H, W, C] or [W, H, C], contiguous; `samples` itself where there is nothing to do.
    """
    shape = samples.shape[:2] if orientation < 5 else samples.shape[1::-1]
    turned: Any = _turned(samples, orientation).reshape(*shape, -1)  # OpenCV drops an axis of one channel
    found: Samples = turned
    return found


def turned_back(orientation: int) -> int:
    """The orientation that undoes another."""
    return {6: 8, 8: 6}.get(orientation, orientation)


def _turned(samples: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    if orientation == 1:
        return np.ascontiguousarray(samples)
    # Here and not at the top: OpenCV wants libraries of the system that a machine for training may lack.
    try:
        import cv2
    except ImportError:  # a copy of a view takes several times as long
        views: dict[int, Callable[[Any], Any]] = {
            2: np.fliplr,
            3: partial(np.rot90, k=2),
            4: np.flipud,
            5: _transposed,
            6: partial(np.rot90, k=3),
            7: lambda x: _transposed(np.rot90(x, 2)),
            8: np.rot90,
        }
        return np.ascontiguousarray(views[orientation](samples))
    turns: dict[int, Callable[[Any], Any]] = {
        2: partial(cv2.flip, flipCode=1),
        3: partial(cv2.flip, flipCode=-1),
        4: partial(cv2.flip, flipCode=0),
        5: cv2.transpose,
        6: partial(cv2.rotate, rotateCode=cv2.ROTATE_90_CLOCKWISE),
        7: lambda x: cv2.flip(cv2.transpose(x), -1),
        8: partial(cv2.rotate, rotateCode=cv2.ROTATE_90_COUNTERCLOCKWISE),
    }
    return np.asarray(turns[orientation](samples))


def _transposed(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return samples.swapaxes(0, 1)
