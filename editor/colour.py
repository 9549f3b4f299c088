"""A decoded Pillow image of any mode -> 8-bit RGB pixels."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

Pixels = npt.NDArray[np.uint8]

# What Pillow's decoders are known to raise on damaged data; it has no common base class of its own.
DECODER_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_ALPHA_MODES = ("RGBA", "RGBa", "LA", "PA")
_MODE_OF_PROFILE = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def to_rgb(image: Image.Image) -> Pixels:
    """Convert a Pillow image to RGB; transparent parts are laid on white.

    16-bit, 32-bit and float images are scaled, never clipped: see `scale_to_8_bit`. Colours are taken to
    sRGB where the file carries a colour profile that fits its mode; a damaged or unfitting one is ignored.

    Args:
        image: An image of any mode; it is not changed.

    Returns:
        Pixels [H, W, 3] uint8 in 0..255.

    Raises:
        DECODER_ERRORS: The image was not loaded yet, and its data are damaged.
    """
    if image.mode.startswith(("I", "F")):
        grey = scale_to_8_bit(np.asarray(image), from_16_bit=image.mode.startswith("I;16"))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "La":  # Pillow takes premultiplied grey no further than to plain grey
        image = image.convert("LA")
    if image.mode in _ALPHA_MODES or image.has_transparency_data:
        rgba = image.convert("RGBA")
        colours = _to_srgb(rgba.convert("RGB"), image.info.get("icc_profile"))
        white = Image.new("RGB", rgba.size, "white")
        return np.array(Image.composite(colours, white, rgba.getchannel("A")), dtype=np.uint8)
    direct = image if image.mode in _MODE_OF_PROFILE.values() else image.convert("RGB")
    return np.array(_to_srgb(direct, image.info.get("icc_profile")).convert("RGB"), dtype=np.uint8)


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
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    clean = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=high, neginf=low)
    if from_16_bit:
        low, high = 0.0, 65535.0
    elif low >= 0:
        ranges = (1.0, 255.0, 65535.0) if np.issubdtype(values.dtype, np.floating) else (255.0, 65535.0)
        low, high = next(((0.0, top) for top in ranges if high <= top), (low, high))
    return np.rint((clean - low) * (255.0 / max(high - low, 1e-12))).clip(0, 255).astype(np.uint8)


def _to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """`image` in sRGB if `profile` is an ICC profile that fits its mode, else `image` itself."""
    if not isinstance(profile, bytes) or not profile:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        fits = _MODE_OF_PROFILE.get(source.profile.xcolor_space) == image.mode
        if not fits or "sRGB" in ImageCms.getProfileDescription(source):
            return image
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, ImportError, *DECODER_ERRORS):  # some Pillow builds lack LittleCMS
        return image
    return image if converted is None else converted
