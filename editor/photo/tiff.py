"""TIFFs whose samples Pillow would hand over wrong, or not at all: read right, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from editor.errors import DECODER_ERRORS, ImageInputError

_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANES, _EXTRA, _FORMAT = 258, 259, 262, 277, 284, 338, 339
_WHITE_IS_ZERO, _YCBCR = 0, 6  # of _PHOTOMETRIC
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3  # values of _FORMAT
_KINDS = {_UNSIGNED: "unsigned integer", _SIGNED: "signed integer", _FLOAT: "floating-point"}

_ADVICE = "export it as PNG or JPEG, or as a TIFF of 8 or 16 unsigned bits with its channels interleaved"


def check_tiff(name: str, image: Image.Image) -> None:
    """Refuse a TIFF that Pillow opens and then decodes to other values than it holds.

    Args:
        name: What to call the picture in the message.
        image: Any image, decoded or not; one that is no TIFF passes.

    Raises:
        ImageInputError: The samples are of such a kind; the message says which.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile) and not _decodes_right(image):
        raise ImageInputError(f"{name} is {_description(image.tag_v2)}, which cannot be read here; {_ADVICE}")


def describe_unreadable_tiff(stream: BinaryIO) -> str | None:
    """What kind of TIFF Pillow did not open, with what to do; None where its tags cannot be read either.

    Args:
        stream: The file, at its start.
    """
    try:
        header = stream.read(8)
        tags = TiffImagePlugin.ImageFileDirectory_v2(header + (stream.read(8) if 43 in header[2:4] else b""))
        stream.seek(tags.next)
        tags.load(stream)
        known = _BITS in tags and _PHOTOMETRIC in tags
        return f"{_description(tags)}, which cannot be read here; {_ADVICE}" if known else None
    except DECODER_ERRORS:  # it is damaged
        return None


def grey_values(image: Image.Image, rows: tuple[int, int]) -> npt.NDArray[Any]:
    """Some rows of a loaded image of one deep channel: more is brighter, and no sample wraps to below 0.

    Args:
        image: Mode I, I;16 (any byte order) or F.
        rows: First row, and the one after the last: an array of a whole large image takes twice its memory.

    Returns:
        The samples [rows, W].
    """
    values = np.asarray(image.crop((0, rows[0], image.width, rows[1])))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        if image.mode == "I" and _first(tags, _FORMAT, _UNSIGNED) == _UNSIGNED:
            return values.view(np.uint32)  # Pillow has no mode for them
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and image.mode.startswith("I;16"):
            return np.iinfo(np.uint16).max - values
    return values


def _decodes_right(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether Pillow gives these samples as they are, besides what `grey_values` mends."""
    tags = image.tag_v2
    bits, kind = _first(tags, _BITS, 1), _first(tags, _FORMAT, _UNSIGNED)
    in_planes = tags.get(_PLANES, 1) == 2 and tags.get(_SAMPLES, 1) > 1
    if in_planes and (bits != 8 or image.mode not in ("RGB", "RGBA", "CMYK") or _premultiplied(tags)):
        return False
    if bits not in (1, 2, 4, 8, 16, 32) or (kind == _SIGNED and bits < 32):
        return False  # 12 bits come out dark; signed samples wrap, or come out at half their brightness
    if kind == _FLOAT and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        return False  # negative; without a range there is nothing to turn it over in
    if tags.get(_PHOTOMETRIC) == _YCBCR and tags.get(_COMPRESSION, 1) == 1:
        return False  # only libtiff, which reads the compressed ones, turns them into RGB
    # Decompressed samples are in the machine's byte order, but are swapped once more.
    return not (image.mode in ("I", "F") and tags.prefix == b"MM" and tags.get(_COMPRESSION, 1) != 1)


def _premultiplied(tags: Mapping[int, Any]) -> bool:
    return _first(tags, _EXTRA, 0) == 1


def _description(tags: Mapping[int, Any]) -> str:
    count, bits = tags.get(_SAMPLES, 1), _first(tags, _BITS, 1)
    kind = _KINDS.get(_first(tags, _FORMAT, _UNSIGNED), "undefined")
    samples = f"{count} x {bits}-bit" if count > 1 else f"{bits}-bit"
    notes = []
    if count > 1 and tags.get(_PLANES, 1) == 2:
        notes.append("each channel in a plane of its own")
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        notes.append("white stored as 0")
    if tags.get(_PHOTOMETRIC) == _YCBCR:
        notes.append("YCbCr")
    if tags.get(_COMPRESSION, 1) != 1:
        notes.append("compressed")
    if getattr(tags, "prefix", b"") == b"MM":
        notes.append("big-endian")
    return f"a TIFF of {samples} {kind} samples" + (f" ({', '.join(notes)})" if notes else "")


def _first(tags: Mapping[int, Any], tag: int, default: int) -> int:
    """A tag that has a value for each channel, which are all alike in what Pillow opens."""
    value = tags.get(tag, default)
    return int(value[0]) if isinstance(value, tuple) else int(value)
