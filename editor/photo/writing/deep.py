"""The samples of 16-bit pictures, of which Pillow keeps only the upper bytes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from editor.photo.reading import OpenedPhoto
from editor.photo.tiff import grey_values

Deep = npt.NDArray[np.uint16]


def is_deep(image: Image.Image) -> bool:
    """Whether an image that is not decoded yet has 16 bits a sample, in a form that can be written again.

    Args:
        image: Of any format.
    """
    if image.format not in ("PNG", "TIFF"):
        return False
    if image.mode.startswith("I;16"):
        return True
    tiles = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else ""
    raw = arguments if isinstance(arguments, str) else next(iter(arguments or ()), "")
    return isinstance(raw, str) and raw.startswith(("RGB;16", "RGBA;16", "LA;16"))


def deep_samples(opened: OpenedPhoto, data: bytes) -> Deep | None:
    """All bits of a picture for which `is_deep` holds.

    Args:
        opened: It; it is decoded, to compare with.
        data: The file.

    Returns:
        [H, W, C] uint16 as Pillow lays the picture (a TIFF upright); grey, RGB or RGBA, greys with alpha as
        the last. None where they cannot be had: for a transparent grey, and should OpenCV see another picture
        than Pillow does.
    """
    image = opened.load()
    if image.mode.startswith("I;16"):
        if "transparency" in image.info:
            return None
        return np.ascontiguousarray(grey_values(image, (0, image.height)), np.uint16)[..., None]
    # OpenCV turns a TIFF by its tag whatever the flags say, and Pillow does, too; neither turns a PNG.
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if samples is None or samples.dtype != np.uint16 or samples.shape[2:] not in ((3,), (4,)):
        return None
    order = cv2.COLOR_BGR2RGB if samples.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    samples = cv2.cvtColor(samples, order)
    return samples if _same_picture(samples, image) else None


def _same_picture(samples: Deep, image: Image.Image) -> bool:
    """Whether the upper bytes are what Pillow decoded."""
    if (samples.shape[1], samples.shape[0]) != image.size or len(image.getbands()) != samples.shape[2]:
        return False
    rows = max(1, 1_000_000 // image.width)
    for top in range(0, image.height, rows):
        band = np.asarray(image.crop((0, top, image.width, min(image.height, top + rows))))
        if not np.array_equal(samples[top : top + rows] >> 8, band):
            return False
    return True
