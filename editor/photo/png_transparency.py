"""The transparent colour of a PNG (tRNS), which Pillow compares with samples of another depth."""

from __future__ import annotations

from PIL import Image

from editor.errors import ImageInputError

_FACTORS = {"L;2": 85, "L;4": 17}  # Pillow's raw mode -> what it multiplies the samples by, but not the key


def check_transparency(name: str, image: Image.Image) -> int | None:
    """Look at a picture before it is decoded: afterwards Pillow has forgotten the depth of its samples.

    Args:
        name: What to call the picture in the message.
        image: Any image.

    Returns:
        The grey in 0..255 that is transparent, where Pillow's own is wrong; see `with_key`.

    Raises:
        ImageInputError: A transparent colour of 16-bit RGB: Pillow drops the lower bytes that tell it.
    """
    key = image.info.get("transparency")
    tiles = getattr(image, "tile", None)
    raw = tiles[0].args if tiles else None
    if isinstance(key, tuple) and (raw == "RGB;16B" or max(key) > 255):
        raise ImageInputError(
            f"{name} is a PNG of 16-bit RGB with a transparent colour (tRNS), which cannot be read here; "
            "export it with an alpha channel, without transparency, or with 8 bits"
        )
    return key * _FACTORS[raw] if isinstance(key, int) and raw in _FACTORS else None


def with_key(image: Image.Image, key: int | None) -> Image.Image:
    """A loaded `image` with the transparent grey that `check_transparency` found, itself not changed."""
    if key is None:
        return image
    mended = image.copy()
    mended.info["transparency"] = key
    return mended
