"""PNGs of 8 and 16 bits, with what they say of themselves."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy.typing as npt
from PIL import Image

from editor.photo.writing.exif import HEADER

Samples = npt.NDArray[Any]  # [H, W, C], uint8 or uint16: grey, grey and alpha, RGB, RGBA
Chunk = tuple[bytes, bytes]  # name, body

_HEAD = 8 + 25  # bytes of the signature and IHDR, behind which all other chunks come
_TO_OPENCV = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}


def write_png(
    samples: Samples,
    *,
    texts: Mapping[str, str],
    xmp: str,
    exif: bytes = b"",
    profile: bytes | None = None,
    others: Iterable[Chunk] = (),
) -> bytes:
    """A PNG.

    Args:
        samples: [H, W, C], uint8 or uint16, C of 1 to 4; grey with alpha of 8 bits only.
        texts: Keywords of 1..79 Latin-1 characters, and what they say.
        xmp: An XMP packet.
        exif: A block, with or without its header; b"" for none.
        profile: An ICC profile that fits the samples.
        others: More chunks, of kinds that may stand before the pixels.
    """
    chunks = list(others)
    if profile is not None:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if exif:
        chunks.append((b"eXIf", exif.removeprefix(HEADER)))
    chunks += [_text(keyword, text) for keyword, text in texts.items()]
    chunks.append(_international("XML:com.adobe.xmp", xmp))
    bare = _pixels(samples)
    said = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    return b"".join((bare[:_HEAD], said, bare[_HEAD:]))


def colour_chunks(info: Mapping[Any, Any]) -> list[Chunk]:
    """gAMA, cHRM and sRGB of a PNG that says by them how its numbers are meant, from its Pillow `info`."""
    chunks: list[Chunk] = []
    if "srgb" in info:
        chunks.append((b"sRGB", bytes([info["srgb"]])))
    if isinstance(gamma := info.get("gamma"), float):
        chunks.append((b"gAMA", struct.pack(">I", round(gamma * 100_000))))
    if isinstance(places := info.get("chromaticity"), tuple) and len(places) == 8:
        chunks.append((b"cHRM", struct.pack(">8I", *(round(place * 100_000) for place in places))))
    return chunks


def density_chunk(dots_per_inch: tuple[float, float]) -> Chunk:
    """The chunk of a density."""
    return b"pHYs", struct.pack(">IIB", *(round(dots / 0.0254) for dots in dots_per_inch), 1)


def _text(keyword: str, text: str) -> Chunk:
    try:
        return b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1")
    except UnicodeEncodeError:
        return _international(keyword, text)


def _international(keyword: str, text: str) -> Chunk:
    return b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()


def _pixels(samples: Samples) -> bytes:
    """A PNG that says nothing of itself. OpenCV writes 16 bits, and 8 bits four times as fast as Pillow."""
    channels = samples.shape[2]
    if channels == 2:
        buffer = io.BytesIO()
        Image.fromarray(samples, "LA").save(buffer, "PNG")
        return buffer.getvalue()
    ordered = cv2.cvtColor(samples, _TO_OPENCV[channels]) if channels in _TO_OPENCV else samples
    done, data = cv2.imencode(".png", ordered)
    if not done:
        raise OSError("the PNG encoder failed")
    return bytes(data)
