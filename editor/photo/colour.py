"""A decoded Pillow image of any mode -> 8-bit RGB pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from editor.photo.png_colour import profile_of_chunks
from editor.photo.profile import grey_table, mode_of, to_srgb
from editor.photo.tiff import grey_values

Pixels = npt.NDArray[np.uint8]

BAND = 4_000_000  # pixels that are converted at once
_GREY_MODES = ("1", "L", "LA")
_ALPHA_MODES = ("RGBA", "RGBa", "LA", "PA")


def to_rgb(image: Image.Image) -> Pixels:
    """Convert a Pillow image to RGB; transparent parts are laid on white.

    16-bit, 32-bit and float images are scaled, never clipped: see `scale_to_8_bit`. Colours are taken to
    sRGB where the file carries a colour profile that fits its mode, or a PNG's gAMA and cHRM in its place; a
    damaged or unfitting profile is ignored.

    Args:
        image: An image of any mode; it is not changed.

    Returns:
        Pixels [H, W, 3] uint8 in 0..255.

    Raises:
        DECODER_ERRORS: The image was not loaded yet, and its data are damaged.
    """
    if image.mode.startswith(("I", "F")):
        return _deep_grey_to_rgb(image)
    width, height = image.size
    rows = max(1, BAND // width)
    if rows >= height or _is_judged_whole(image):
        return _shallow_to_rgb(image)
    # Band by band: a large picture in three or four forms at once takes a gigabyte.
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(height, top + rows)))
        pixels[top : top + rows] = _shallow_to_rgb(band)
    return pixels


def _is_judged_whole(image: Image.Image) -> bool:
    """Whether all pixels together decide on each: a profile of greys, on what may have colours."""
    return image.mode not in _GREY_MODES and mode_of(profile_of(image, grey=False)) == "L"


def _shallow_to_rgb(image: Image.Image) -> Pixels:
    opaque, alpha = split_alpha(image)
    colours = _follow(opaque, profile_of(image, grey=opaque.mode == "L"))
    if alpha is not None:
        colours = Image.composite(colours, Image.new("RGB", colours.size, "white"), alpha)
    return np.array(colours, dtype=np.uint8)


def scale_to_8_bit(values: npt.NDArray[Any], *, from_16_bit: bool) -> Pixels:
    """Scale grey values of a deep image to 0..255.

    A 16-bit mode is divided by 257. Wider modes do not say their range, so the smallest usual one that holds
    all values is taken: 0..1 (floats only), 0..255, 0..65535; values that fit none of them are stretched from
    least to greatest.

    Args:
        values: Grey values [H, W], integer or floating point; NaN counts as 0, an infinity as the finite
            extreme on its side.
        from_16_bit: The range is 0..65535 by declaration, however dark the image is.

    Returns:
        [H, W] uint8.
    """
    return _Scale([values], from_16_bit=from_16_bit).to(values, 255).astype(np.uint8)


class _Scale:
    """What `scale_to_8_bit` makes of the values of one image; its rows can then be scaled a few at a time."""

    def __init__(self, bands: Iterable[npt.NDArray[Any]], *, from_16_bit: bool) -> None:
        floats = False
        self._least, self._most = (0.0, 65535.0) if from_16_bit else (np.inf, -np.inf)
        for rows in () if from_16_bit else bands:
            floats = np.issubdtype(rows.dtype, np.floating)
            finite = rows[np.isfinite(rows)]
            if finite.size:
                self._least = min(self._least, float(finite.min()))
                self._most = max(self._most, float(finite.max()))
        if self._least > self._most:  # not one finite value
            self._least = self._most = 0.0
        self._low, self._high = self._least, self._most
        if not from_16_bit and self._low >= 0:
            ranges = (1.0, 255.0, 65535.0) if floats else (255.0, 65535.0)
            fitting = ((0.0, most) for most in ranges if self._high <= most)
            self._low, self._high = next(fitting, (self._low, self._high))

    def to(self, values: npt.NDArray[Any], top: int) -> npt.NDArray[np.float64]:
        """`values` as whole numbers in 0..top."""
        with np.errstate(invalid="ignore"):  # numpy warns of some NaN
            clean = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=self._most, neginf=self._least)
        factor = top / max(self._high - self._low, 1e-12)
        scaled: npt.NDArray[np.float64] = np.rint((clean - self._low) * factor).clip(0, top)
        return scaled


def _deep_bands(image: Image.Image) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    step = max(1, BAND // image.width)
    for top in range(0, image.height, step):
        rows = top, min(image.height, top + step)
        yield slice(*rows), grey_values(image, rows)


def _deep_grey_to_rgb(image: Image.Image) -> Pixels:
    from_16_bit = image.mode.startswith("I;16")
    profile = profile_of(image, grey=True)
    table = grey_table(profile, 65536) if profile is not None and mode_of(profile) == "L" else None
    scale = _Scale((values for _, values in _deep_bands(image)), from_16_bit=from_16_bit)
    key = image.info.get("transparency")  # a PNG's transparent grey
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows, values in _deep_bands(image):
        if table is None:
            pixels[rows] = scale.to(values, 255).astype(np.uint8)[:, :, None]
        else:
            pixels[rows] = table[scale.to(values, 65535).astype(np.uint16)]
        if from_16_bit and isinstance(key, int):
            pixels[rows][values == key] = 255
    return pixels


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """What `image` shows, in mode L, RGB or CMYK, and its alpha in mode L, if it has any."""
    if image.mode == "La":  # Pillow takes premultiplied grey no further than to plain grey
        image = image.convert("LA")
    grey = image.mode in _GREY_MODES
    if image.mode in _ALPHA_MODES or image.has_transparency_data:
        image = image.convert("LA" if grey else "RGBA")
        alpha = image.getchannel("A")
        return image.convert("L" if grey else "RGB"), alpha
    if image.mode in ("L", "RGB", "CMYK"):
        return image, None
    return image.convert("L" if grey else "RGB"), None


def profile_of(image: Image.Image, *, grey: bool) -> bytes | None:
    """What says how the image's numbers are meant; None where they are sRGB."""
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile else profile_of_chunks(image.info, grey=grey)


def _follow(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An image of mode L, RGB or CMYK in sRGB, as mode RGB."""
    mode = mode_of(profile)
    if profile is not None and mode == "L":
        greys = _greys(image)
        table = None if greys is None else grey_table(profile, 256)
        if greys is not None and table is not None:
            return Image.fromarray(table[greys])
    elif profile is not None and mode == image.mode:
        image = to_srgb(image, profile)
    return image.convert("RGB")


def _greys(image: Image.Image) -> Pixels | None:
    """The greys [H, W] of an image that has no colours, whatever its mode; else None."""
    if image.mode == "L":
        return np.asarray(image)
    # Pillow has no 16-bit grey with alpha and makes it RGBA.
    pixels = np.asarray(image)
    equal = image.mode == "RGB" and (pixels == pixels[..., :1]).all()
    return pixels[..., 0] if equal else None
