"""What a photo's file holds, read again when the photo is saved: its own values, and what it says."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin

from editor.photo.colour import profile_of, split_alpha
from editor.photo.original import PhotoFile
from editor.photo.profile import changes_colours, mode_of
from editor.photo.reading import OpenedPhoto, orientation_of, upright
from editor.photo.writing.deep import deep_samples, is_deep
from editor.photo.writing.exif import Exif, read_exif
from editor.photo.writing.iptc import Captions, read_iptc
from editor.photo.writing.planes import Planes, read_planes
from editor.photo.writing.png import Chunk, Samples, colour_chunks
from editor.photo.writing.xmp import Properties, read_xmp

_TEXTS = ("Title", "Author", "Description", "Copyright", "Creation Time")  # of a PNG's, those that are kept
_MAX_TEXT = 2000
_PLAIN_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX")
_LOSSY = ("JPEG", "MPO", "HEIF", "AVIF")


@dataclass(frozen=True, eq=False)
class Colours:
    """How the numbers of samples are meant."""

    profile: bytes | None = None
    """An ICC profile that fits them; None for sRGB."""
    changes: bool = False
    """Whether the profile says other colours than the same numbers of sRGB are."""
    own: bool = False
    """Whether they are meant as in the photo's file."""
    chunks: tuple[Chunk, ...] = ()
    """What a PNG says in place of a profile; `profile` is then made of them."""


@dataclass(frozen=True, eq=False)
class Values:
    """A picture's values."""

    samples: Samples
    """Upright."""
    colours: Colours


@dataclass(frozen=True, eq=False)
class Coding:
    """How a JPEG was encoded, so that it can be again with next to no loss."""

    tables: dict[int, list[int]]
    subsampling: int
    is_rgb: bool


@dataclass(frozen=True, eq=False)
class Original:
    """A photo's file, for the time of saving."""

    values: Values | None = None
    """Its own; None where it has none that could be kept: then they are `PhotoFile.pixels`."""
    planes: Planes | None = None
    """Its own, of a JPEG, in place of values."""
    colours: Colours = field(default_factory=Colours)
    """Those of the values, of the planes, or of `PhotoFile.pixels`."""
    orientation: int = 1
    """How the file lays the picture, 1..8."""
    exif: Exif = field(default_factory=Exif)
    xmp: Properties = field(default_factory=dict)
    captions: Captions = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    density: tuple[float, float] | None = None
    """Dots per inch."""
    coding: Coding | None = None
    lossy: bool = False


def read_original(photo: PhotoFile, *, deep: bool, in_planes: bool) -> Original:
    """Read a photo's file once more.

    It has values of its own for grey and RGB with or without alpha, of 8 bits and, if asked for, 16; palettes
    become RGB or RGBA. It has none for CMYK, Lab and YCbCr, greys of 32 bits and floating point, and colours
    whose profile is one of greys: these are saved as they are shown, in 8-bit sRGB.

    Args:
        photo: The photo.
        deep: Whether 16 bits are wanted where there are.
        in_planes: Whether planes are wanted of a JPEG, instead of values.

    Raises:
        ImageInputError: The file is gone, has changed since it was opened, or is damaged.
    """
    if photo.source is None:
        return Original()
    with photo.reopened() as opened, opened.decoding():
        image = opened.image
        if image.format in ("PNG", "TIFF"):
            deep = deep and is_deep(image)  # it cannot be told of a decoded image
            opened.load()  # a PNG may have its texts behind the pixels; a TIFF is turned when it is decoded
        else:
            deep = False
        orientation = orientation_of(image)
        coding, values, planes = _coding(image), None, None
        if in_planes and coding is not None and _has_planes(image, coding):
            planes = read_planes(photo.source, coding.subsampling)
        elif deep:
            values = _deep(opened, photo.source, orientation)
        if planes is None and values is None:
            values = _values(opened, orientation)
        return Original(
            values=values,
            planes=planes,
            colours=_plain_colours(image) if values is None else values.colours,
            orientation=orientation,
            exif=_exif(image, photo.source),
            xmp=read_xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")),
            captions=read_iptc(image.info.get("photoshop")),
            texts=_texts(image),
            density=_density(image.info.get("dpi")),
            coding=coding,
            lossy=image.format in _LOSSY
            or (image.format == "WEBP" and not _is_lossless(_head(photo.source))),
        )


def _values(opened: OpenedPhoto, orientation: int) -> Values | None:
    if _is_as_shown(opened.image) or opened.image.mode not in _PLAIN_MODES:
        return None
    opaque, alpha = split_alpha(opened.load())
    if opaque.mode == "RGB" and mode_of(profile_of(opened.image, grey=False)) == "L":
        return None
    samples = np.asarray(opaque) if alpha is None else np.dstack([np.asarray(opaque), np.asarray(alpha)])
    return _with_colours(samples, opaque.mode, opened.image, orientation)


def _deep(opened: OpenedPhoto, source: Path | bytes, orientation: int) -> Values | None:
    samples = deep_samples(opened, source if isinstance(source, bytes) else source.read_bytes())
    if samples is None:
        return None
    mode = "L" if samples.shape[2] == 1 else "RGB"
    if mode == "RGB" and mode_of(profile_of(opened.image, grey=False)) == "L":
        return None
    return _with_colours(samples, mode, opened.image, orientation)


def _with_colours(samples: Samples, mode: str, image: Image.Image, orientation: int) -> Values:
    samples = upright(samples.reshape(*samples.shape[:2], -1), orientation)
    return Values(
        samples if samples.flags.writeable else samples.copy(),
        _colours(image, mode, changes=_changes(profile_of(image, grey=mode == "L"), mode)),
    )


def _is_as_shown(image: Image.Image) -> bool:
    """Whether the values, decoded, would be the pixels that were read before, but for how they lie."""
    has_alpha = image.has_transparency_data or image.mode in ("RGBa", "PA")
    return image.mode in ("RGB", "P") and not has_alpha and not _changes(profile_of(image, grey=False), "RGB")


def _has_planes(image: Image.Image, coding: Coding | None) -> bool:
    """Whether a JPEG is one of light and colour, meant as the file says."""
    if coding is None or coding.is_rgb or image.mode != "RGB":
        return False
    return mode_of(profile_of(image, grey=False)) != "L"


def _plain_colours(image: Image.Image) -> Colours:
    """The colours of what is not decoded here."""
    if _is_as_shown(image) or _has_planes(image, _coding(image)):
        return _colours(image, "RGB", changes=_changes(profile_of(image, grey=False), "RGB"))
    return Colours()


def _colours(image: Image.Image, mode: str, *, changes: bool) -> Colours:
    profile = profile_of(image, grey=mode == "L")
    if profile is not None and mode_of(profile) != mode:
        return Colours(own=True)  # damaged, or one of other samples, which nothing follows
    in_chunks = image.format == "PNG" and not image.info.get("icc_profile")
    chunks = tuple(colour_chunks(image.info)) if in_chunks else ()
    return Colours(profile, changes, own=True, chunks=chunks)


def _changes(profile: bytes | None, mode: str) -> bool:
    # In a picture of colours a profile of greys is followed where all of them are grey.
    return changes_colours(profile, mode) or (mode == "RGB" and mode_of(profile) == "L")


def _exif(image: Image.Image, source: Path | bytes) -> Exif:
    if image.format != "TIFF":
        block = image.info.get("exif")
        return read_exif(block) if isinstance(block, bytes) else Exif()
    if isinstance(source, bytes):
        return read_exif(io.BytesIO(source))
    with source.open("rb") as stream:
        return read_exif(stream)


def _texts(image: Image.Image) -> dict[str, str]:
    if not isinstance(image, PngImagePlugin.PngImageFile):
        return {}
    found = ((key, image.info.get(key)) for key in _TEXTS)
    return {key: text[:_MAX_TEXT] for key, text in found if isinstance(text, str) and text}


def _density(found: object) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in found)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 1 <= across < 65535 and 1 <= down < 65535 else None


def _coding(image: Image.Image) -> Coding | None:
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in ("L", "RGB"):
        return None
    tables = {key: list(table) for key, table in image.quantization.items()}
    if not tables or any(
        len(table) != 64 or not 1 <= min(table) <= max(table) <= 255 for table in tables.values()
    ):
        return None  # of 12 bits or damaged
    # Only these three can be written; of the others no colour shall be lost.
    sampling = JpegImagePlugin.get_sampling(image)
    is_rgb = image.mode == "RGB" and image.info.get("adobe_transform") == 0
    return Coding(tables, sampling if sampling in (0, 1, 2) else 0, is_rgb)


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:_HEAD]
    with source.open("rb") as stream:
        return stream.read(_HEAD)


_HEAD = 1 << 16


def _is_lossless(head: bytes) -> bool:
    """Whether a WebP's first picture is: its chunk VP8L comes before any VP8, behind a profile at most."""
    found = re.search(rb"VP8[L ]", head)
    return found is not None and found.group() == b"VP8L"
