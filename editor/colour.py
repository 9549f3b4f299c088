"""A decoded Pillow image of any mode -> 8-bit RGB pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from editor.png_colour import profile_of_chunks
from editor.profile import grey_table, mode_of, to_srgb
from editor.tiff import grey_values

Pixels = npt.NDArray[np.uint8]

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
    opaque, alpha = _split(image)
    colours = _follow(opaque, _profile(image, grey=opaque.mode == "L"))
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
    return _scaled(values, 255, from_16_bit=from_16_bit).astype(np.uint8)


def _scaled(values: npt.NDArray[Any], top: int, *, from_16_bit: bool) -> npt.NDArray[np.float64]:
    """As `scale_to_8_bit`, to whole numbers in 0..top."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    clean = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=high, neginf=low)
    if from_16_bit:
        low, high = 0.0, 65535.0
    elif low >= 0:
        ranges = (1.0, 255.0, 65535.0) if np.issubdtype(values.dtype, np.floating) else (255.0, 65535.0)
        low, high = next(((0.0, most) for most in ranges if high <= most), (low, high))
    scaled: npt.NDArray[np.float64] = np.rint((clean - low) * (top / max(high - low, 1e-12))).clip(0, top)
    return scaled


def _deep_grey_to_rgb(image: Image.Image) -> Pixels:
    values, from_16_bit = grey_values(image), image.mode.startswith("I;16")
    profile = _profile(image, grey=True)
    table = grey_table(profile, 65536) if profile is not None and mode_of(profile) == "L" else None
    if table is None:
        pixels = np.repeat(scale_to_8_bit(values, from_16_bit=from_16_bit)[:, :, None], 3, axis=2)
    else:
        pixels = table[_scaled(values, 65535, from_16_bit=from_16_bit).astype(np.uint16)]
    key = image.info.get("transparency")  # a PNG's transparent grey
    if from_16_bit and isinstance(key, int):
        pixels[values == key] = 255
    return pixels


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
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


def _profile(image: Image.Image, *, grey: bool) -> bytes | None:
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
