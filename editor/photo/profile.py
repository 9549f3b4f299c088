"""ICC colour profiles: pixels that follow one -> sRGB."""

from __future__ import annotations

import io
from functools import cache, lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from editor.errors import DECODER_ERRORS

Table = npt.NDArray[np.uint8]

# Profiles of sRGB are rounded each in its own way. Nearer than this they are sRGB, and the pixels stay.
SAME = 2  # levels
_STEP = 15  # levels between the colours that a profile is judged by
_KEPT = 8  # profiles that are judged once: pictures of one data set have one or two
PROFILE_ERRORS = (ImageCms.PyCMSError, ImportError, *DECODER_ERRORS)  # some Pillow builds lack LittleCMS
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # colour space of a profile -> mode that it fits


def mode_of(profile: bytes | None) -> str | None:
    """The mode of the images that `profile` is for, "RGB", "L" or "CMYK"; None for an unusable profile."""
    if not profile:
        return None
    try:
        return _MODES.get(ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space)
    except PROFILE_ERRORS:
        return None


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Colours taken to sRGB.

    Args:
        image: Of mode RGB or CMYK, which is that of the profile, see `mode_of`.
        profile: An ICC profile.

    Returns:
        An image of mode RGB; `image` itself where the profile is that of sRGB, by what it does and not by its
        name, or cannot be followed.
    """
    try:
        if image.mode == "RGB" and is_srgb(profile):
            return image
        converted = _transform(profile, image.mode).apply(image)
    except PROFILE_ERRORS:
        return image
    return image if converted is None else converted


@lru_cache(maxsize=_KEPT)
def grey_table(profile: bytes, levels: int) -> Table | None:
    """The sRGB colours of all greys.

    Args:
        profile: An ICC profile of greys, see `mode_of`.
        levels: How many there are: 256 or 65536.

    Returns:
        [levels, 3] uint8; None where these are the greys themselves within `SAME`, or the profile cannot be
        followed.
    """
    mode, dtype = ("L", np.uint8) if levels == 256 else ("I;16", np.uint16)
    ramp = np.arange(levels, dtype=dtype)
    try:
        # LittleCMS's shortened pipelines are up to 10 levels off in the dark; a table is made but once.
        transform = _transform(profile, mode, ImageCms.Flags.NOOPTIMIZE)
        table = np.array(transform.apply(Image.fromarray(ramp[None])))[0]
    except PROFILE_ERRORS:
        return None
    plain = np.rint(np.linspace(0, 255, levels))
    return None if np.abs(table - plain[:, None]).max() <= SAME else table


def _transform(
    profile: bytes, mode: str, flags: ImageCms.Flags = ImageCms.Flags.NONE
) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.buildTransform(source, target, mode, "RGB", flags=flags)


def changes_colours(profile: bytes | None, mode: str) -> bool:
    """Whether `editor.photo.colour` follows a profile and comes to other numbers.

    Args:
        profile: An ICC profile, or None.
        mode: Of the picture: "RGB", "L" or "CMYK".
    """
    if profile is None or mode_of(profile) != mode:
        return False
    if mode == "L":
        return grey_table(profile, 256) is not None
    try:
        return mode != "RGB" or not is_srgb(profile)
    except PROFILE_ERRORS:
        return False


@lru_cache(maxsize=_KEPT)
def is_srgb(profile: bytes) -> bool:
    """Whether a profile of RGB pictures does no more than `SAME` levels to any colour.

    Raises:
        PROFILE_ERRORS: It cannot be followed.
    """
    colours = even_colours()
    found = np.asarray(_transform(profile, "RGB").apply(Image.fromarray(colours))).astype(int)
    return bool(np.abs(found - colours).max() <= SAME)


@cache
def even_colours() -> Table:
    """An even sample of all colours [1, N, 3]."""
    levels = range(0, 256, _STEP)
    return np.array([list(product(levels, repeat=3))], np.uint8)
