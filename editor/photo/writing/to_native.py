"""sRGB colours as the numbers of another colour profile: the way back of `editor.photo.profile`."""

from __future__ import annotations

import io
import struct
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from editor.photo.colour import Pixels
from editor.photo.profile import PROFILE_ERRORS, even_colours, grey_table
from editor.photo.writing.png import Samples

_Table = npt.NDArray[np.float64]

_LEVELS = 65536
_TOLERANCE = 2  # levels between the fast way and LittleCMS's, which itself rounds in between
# IEC 61966-2-1's primaries as XYZ under D50, as ICC profiles of sRGB have them.
_SRGB_COLORANTS = np.array(
    [[0.436066, 0.385147, 0.143066], [0.222488, 0.716873, 0.060608], [0.013916, 0.097076, 0.714096]]
)


class NativeColours:
    """sRGB -> the numbers of a profile of RGB or grey pictures.

    Each pixel by itself: two that are equal come out equal, so that what was not edited does not move.
    """

    def __init__(self, profile: bytes | None, *, grey: bool = False) -> None:
        """Prepare the way.

        Args:
            profile: An ICC profile that fits; None where the numbers are sRGB's.
            grey: Whether the numbers are greys.

        Raises:
            PROFILE_ERRORS: The profile only leads away from its numbers, as some of scanners do.
        """
        self._grey = grey
        self._tables = self._transform = self._greys = None
        if profile is None:
            return
        if grey:
            self._greys = _grey_inverse(profile)
            return
        self._tables = _matrix_and_curves(profile)
        if self._tables is None:
            self._transform = _transform(profile)

    def of(self, pixels: Pixels, top: int) -> Samples:
        """The numbers of sRGB colours.

        Args:
            pixels: [H, W, 3] uint8, contiguous; greys where this is a way to greys.
            top: The greatest number: 255, or 65535 for 16 bits.

        Returns:
            [H, W, 3], or [H, W, 1] for greys, in 0..top; uint8, or uint16 for 16 bits.
        """
        if self._grey:
            greys = np.ascontiguousarray(pixels[..., :1])
            if self._greys is None:
                return greys if top == 255 else greys.astype(np.uint16) * 257
            return _rounded(self._greys[greys], top)
        if self._tables is not None:
            return self._tables.of(pixels, top)
        if self._transform is not None:
            pixels = np.asarray(self._transform.apply(Image.fromarray(pixels)))
        return pixels if top == 255 else pixels.astype(np.uint16) * 257


class _Tables:
    """A profile that is a matrix and a curve a channel, by lookup: some four times as fast as LittleCMS."""

    def __init__(self, matrix: _Table, curves: list[_Table]) -> None:
        levels = np.arange(256) / 255
        light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        self._light = np.rint(light * (_LEVELS - 1)).astype(np.uint16)  # 20 steps in a level, at the darkest
        self._matrix = np.linalg.solve(matrix, _SRGB_COLORANTS).astype(np.float32)
        inverse = [_inverse(curve) for curve in curves]  # [65536] each
        self._numbers = {
            top: np.stack([_rounded(table, top) for table in inverse], -1)[None] for top in (255, 65535)
        }

    def of(self, pixels: Pixels, top: int) -> Samples:
        light = cv2.transform(cv2.LUT(pixels, self._light), self._matrix)  # rounds, and clips at both ends
        numbers: Samples = cv2.LUT(light, self._numbers[top])
        return numbers


def _rounded(values: _Table, top: int) -> Samples:
    rounded: Samples = np.rint(values * top).astype(np.uint8 if top == 255 else np.uint16)
    return rounded


def _inverse(curve: _Table) -> _Table:
    """Of a rising curve on an even grid of 0..1: the place where it takes each of 65536 even values."""
    rising = np.maximum.accumulate(curve)
    return np.interp(np.linspace(0, 1, _LEVELS), rising, np.linspace(0, 1, len(curve)))


def _grey_inverse(profile: bytes) -> _Table | None:
    """[256]: the number in 0..1 that looks like each sRGB grey; None where they are the same."""
    table = grey_table(profile, _LEVELS)
    if table is None:
        return None
    return np.interp(np.arange(256), np.maximum.accumulate(table[:, 1]), np.linspace(0, 1, _LEVELS))


def _transform(profile: bytes) -> ImageCms.ImageCmsTransform:
    target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    source = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.buildTransform(source, target, "RGB", "RGB")


@lru_cache(maxsize=4)
def _matrix_and_curves(profile: bytes) -> _Tables | None:
    """The fast way, where the profile is of that kind and LittleCMS agrees."""
    try:
        tags = _tags(profile)
        if any(name in tags for name in (b"A2B0", b"B2A0", b"A2B1", b"B2A1")):
            return None
        colorants = [struct.unpack(">3i", tags[name][8:20]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        found = _Tables(np.array(colorants).T / 65536, curves)
        colours = even_colours()
        expected = np.asarray(_transform(profile).apply(Image.fromarray(colours)))
        off = np.abs(found.of(colours, 255).astype(int) - expected)
    except (np.linalg.LinAlgError, cv2.error, *PROFILE_ERRORS):
        return None
    return found if off.max() <= _TOLERANCE else None


def _tags(profile: bytes) -> dict[bytes, bytes]:
    count = min(100, struct.unpack(">I", profile[128:132])[0])
    table = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])
    return {name: profile[start : start + size] for name, start, size in table}


def _curve(tag: bytes) -> _Table:
    """A curve of ICC.1:2010, 10.5 and 10.15, as its values on an even grid."""
    grid = np.linspace(0, 1, 4096)
    if tag[:4] == b"curv":
        count = struct.unpack(">I", tag[8:12])[0]
        if count == 0:
            return grid
        values = np.frombuffer(tag[12 : 12 + 2 * count], ">u2").astype(np.float64)
        return np.power(grid, values[0] / 256) if count == 1 else values / 65535
    kind = struct.unpack(">H", tag[8:10])[0]
    count = (1, 3, 4, 5, 7)[kind]
    given = np.frombuffer(tag[12 : 12 + 4 * count], ">i4") / 65536
    g, a, b, c, d, e, f = (float(value) for value in (*given, *[0.0] * (7 - count)))
    if kind == 0:
        return np.power(grid, g)
    power = np.power(np.maximum(a * grid + b, 0), g)
    if kind in (1, 2):  # c is added to both parts
        return np.where(grid >= -b / a, power + c, c)
    return np.where(grid >= d, power + e, c * grid + f)
