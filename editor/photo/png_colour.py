"""What a PNG says of its colours besides a profile, its gAMA and cHRM, written as a profile."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

_SRGB_GAMMA = 1 / 2.2  # what gAMA holds for sRGB: 0.45455
_TOLERANCE = 0.05  # of it, as libpng has it
_GAMMAS = (0.01, 100.0)  # beyond, libpng takes a gAMA for damaged
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # IEC 61966-2-1, as ICC.1 type 3
_SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # x, y of white, red, green, blue
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def profile_of_chunks(info: Mapping[Any, Any], *, grey: bool) -> bytes | None:
    """The ICC profile that a PNG's gAMA and cHRM chunks stand for.

    Args:
        info: `info` of a Pillow image.
        grey: Whether a profile of grey pictures is wanted, else one of RGB pictures.

    Returns:
        An ICC profile; None where there is no usable gAMA, or the chunks say sRGB: by an sRGB chunk, or by a
        gAMA of 1 / 2.2 without primaries.
    """
    gamma = info.get("gamma")
    if not isinstance(gamma, float) or "srgb" in info or not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        return None
    primaries = None if grey else _colorants(info.get("chromaticity"))
    is_srgb = abs(gamma / _SRGB_GAMMA - 1) < _TOLERANCE
    if is_srgb and primaries is None:
        return None
    curve = _parametric(3, *_SRGB_CURVE) if is_srgb else _parametric(0, 1 / gamma)
    if grey:
        return _profile(b"GRAY", {b"wtpt": _xyz(_D50), b"kTRC": curve})
    colorants = _colorants(_SRGB_PRIMARIES) if primaries is None else primaries
    if colorants is None:
        return None
    tags = {b"wtpt": _xyz(_D50)}
    for channel, colorant in zip((b"r", b"g", b"b"), colorants.T, strict=True):
        tags |= {channel + b"XYZ": _xyz(colorant), channel + b"TRC": curve}
    return _profile(b"RGB ", tags)


def _colorants(chromaticities: object) -> Matrix | None:
    """RGB -> XYZ seen under D50 [3, 3]; None for what are no primaries."""
    if not isinstance(chromaticities, tuple) or len(chromaticities) != 8:
        return None
    xy = np.array(chromaticities, np.float64).reshape(4, 2)
    if (xy[:, 1] <= 0).any():
        return None
    white, *primaries = np.column_stack([xy, 1 - xy.sum(1)]) / xy[:, 1:]
    matrix = np.array(primaries).T
    try:
        matrix = matrix * np.linalg.solve(matrix, white)
        gains = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    except np.linalg.LinAlgError:
        return None
    adapted: Matrix = np.linalg.solve(_BRADFORD, gains[:, None] * (_BRADFORD @ matrix))
    return adapted if (np.abs(adapted) < 2**15).all() else None  # NaN and what the file cannot hold fail


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 2**16) for value in values))


def _xyz(values: Matrix) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _text(words: str) -> bytes:
    body = words.encode("utf-16-be")
    tag = b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(body), 28) + body
    return tag.ljust(len(tag) + -len(tag) % 4, b"\0")


def _parametric(kind: int, *parameters: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _fixed(*parameters)


def _profile(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """A display profile of version 4.2 as ICC.1:2010 lays it out: header, table of tags, tags."""
    tags = {b"desc": _text("Colours as the photo described them"), b"cprt": _text("No copyright"), **tags}
    head, table = 128, 4 + 12 * len(tags)
    entries, body = b"", b""
    for name, data in tags.items():
        entries += name + struct.pack(">II", head + table + len(body), len(data))
        body += data
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x", head + table + len(body), 0x04200000, b"mntr", space, b"XYZ ", b"acsp"
    )
    return (header + _fixed(*_D50)).ljust(head, b"\0") + struct.pack(">I", len(tags)) + entries + body
