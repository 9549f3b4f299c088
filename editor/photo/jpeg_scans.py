"""Progressive JPEGs, whose every scan goes over the whole picture: those of very many are refused."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image

from editor.errors import ImageInputError

MAX_SCANNED = 1_000_000_000  # pixels of all scans together, about a second and a half of decoding
MARKER = b"\xff\xda"  # start of a scan; in the compressed data a zero follows every 0xff
_PIECE = 1 << 20


def check_scans(name: str, image: Image.Image) -> None:
    """Refuse a JPEG that would take too long to decode, before it is.

    Encoders write up to about a dozen scans; the format sets no limit.

    Args:
        name: What to call the picture in the message.
        image: Any image, not decoded yet.

    Raises:
        ImageInputError: It is a progressive JPEG whose scans together have more than `MAX_SCANNED` pixels.
    """
    if image.format not in ("JPEG", "MPO") or not image.info.get("progressive"):
        return
    stream = getattr(image, "fp", None)
    if stream is None:
        return
    pixels = image.width * image.height
    allowed = max(1, MAX_SCANNED // pixels)
    scans = _count(stream, allowed)
    if scans > allowed:
        raise ImageInputError(
            f"{name} is a JPEG of {pixels / 1e6:.1f} megapixels in more than {allowed} scans, which takes "
            "too long to decode; export it again, not as a progressive one"
        )


def _count(stream: BinaryIO, enough: int) -> int:
    """Scans in a JPEG, counted until there are more than `enough`; the stream is left where it was."""
    place, found, end = stream.tell(), 0, b""
    stream.seek(0)
    while found <= enough and (piece := stream.read(_PIECE)):
        found += (end + piece).count(MARKER)
        end = piece[-1:]
    stream.seek(place)
    return found
