"""Put an edited face back where it was cut out of the photo."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from editor.errors import ImageInputError
from editor.face.crop import CroppedFace
from editor.face.warp import Matrix, warp
from editor.photo.colour import Pixels
from editor.photo.reading import check_pixels

_BAND_ROWS = 512  # of the photo that are blended at a time, to bound the memory


def paste_back(pixels: Pixels, edited_crop: Pixels, cropped: CroppedFace, *, feather: float = 0.15) -> Pixels:
    """Blend an edited crop into the photo through the inverse of its transform.

    Args:
        pixels: The photo [H, W, 3] uint8 that `cropped` was cut from; not changed.
        edited_crop: Square picture [S, S, 3] uint8 of any size that shows what `cropped.crop` showed, edited.
        cropped: What was cut out, and from where.
        feather: Width of the soft edge in parts of the crop's side, 0..0.5, all of it inside the quad; 0 is a
            hard edge.

    Returns:
        New photo [H, W, 3] uint8; every pixel whose centre is outside the quad is that of `pixels`.

    Raises:
        ImageInputError: A picture of another shape or type, or `feather` outside its range.
    """
    check_pixels("photo", pixels)
    check_pixels("edited crop", edited_crop)
    side = edited_crop.shape[0]
    if edited_crop.shape[1] != side:
        raise ImageInputError(f"edited crop is {edited_crop.shape[1]}x{side} px; it must be square")
    if not 0 <= feather <= 0.5:
        raise ImageInputError(f"feather: got {feather}, allowed are 0..0.5")
    resize = side / cropped.crop.shape[0]
    to_crop = np.diag((resize, resize, 1.0)) @ cropped.inverse  # photo -> edited crop, both px
    height, width = pixels.shape[:2]
    left, top = (max(0, math.floor(low)) for low in cropped.quad.min(axis=0))
    right, bottom = (math.ceil(high) for high in cropped.quad.max(axis=0))
    right, bottom = min(width, right), min(height, bottom)
    pasted = pixels.copy()
    if right <= left:
        return pasted
    for start in range(top, bottom, _BAND_ROWS):
        rows = min(_BAND_ROWS, bottom - start)
        band = pasted[start : start + rows, left:right]
        shift = np.array([[1.0, 0.0, left], [0.0, 1.0, start], [0.0, 0.0, 1.0]])
        mask = _mask(to_crop @ shift / side, right - left, rows, feather)
        face = warp(edited_crop, to_crop @ shift, right - left, rows)
        band[:] = np.rint(band + mask[:, :, None] * (face.astype(np.float32) - band))
    return pasted


def _mask(to_unit: Matrix, width: int, height: int, feather: float) -> npt.NDArray[np.float32]:
    """Weights [height, width] of the crop, 0..1: 0 outside the unit square, a smooth step inside its edge."""
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    u = to_unit[0, 0] * x + to_unit[0, 1] * y + to_unit[0, 2]
    v = to_unit[1, 0] * x + to_unit[1, 1] * y + to_unit[1, 2]
    depth = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))  # distance to the nearest edge
    ramp = np.clip(depth / max(feather, 1e-9), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)
