"""paint: an edit onto the pixels of a photo, a view of it, or a crop."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from editor.face.warp import Matrix, resized, shift
from editor.photo.colour import Pixels
from editor.transfer.fields import EditFields, Field

BAND_ROWS = 256  # of the canvas that are painted at a time, to bound the memory
_FINEST, _MOST_ENLARGED = 1024, 4  # px a side, and times as fine, that fields are made beforehand
_UNSEEN = 1 / 1024  # of a place that is given to what lies behind: less is no level


@dataclass(frozen=True, eq=False)
class Patch:
    """The part of a canvas that an edit may have changed; pixel (0, 0) is at (left, top) of the canvas."""

    left: int
    top: int
    pixels: Pixels  # [h, w, 3]

    def put(self, canvas: Pixels) -> None:
        """Write it into a canvas of the size that it was painted for."""
        height, width = self.pixels.shape[:2]
        canvas[self.top : self.top + height, self.left : self.left + width] = self.pixels


def paint(
    canvas: Pixels, to_canvas: Matrix, fields: EditFields, *, onto: Pixels | None = None
) -> Patch | None:
    """Paint an edit.

    Every pixel of the canvas is computed at its own place, and what the photo shows is moved once: where
    nothing flows and nothing is added, it is the photo's own pixel, bit for bit. Rows are worked on in bands.

    Args:
        canvas: The photo [H, W, 3] uint8, or a smaller or larger view of it; not changed.
        to_canvas: Affine map [3, 3] from the crop, whose corners are (0, 0) and (1, 1), to canvas px.
        fields: The edit.
        onto: The canvas with the edits of other faces [H, W, 3]; None for `canvas`. Not changed.

    Returns:
        What the crop covers of the canvas; None where that is nothing.
    """
    onto = canvas if onto is None else onto
    height, width = canvas.shape[:2]
    corners = to_canvas @ np.array([[0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]], np.float64)
    left, top = (max(0, math.floor(low)) for low in corners[:2].min(1))
    right, bottom = (math.ceil(high) for high in corners[:2].max(1))
    right, bottom = min(width, right), min(height, bottom)
    if right <= left or bottom <= top:
        return None
    painter = _Painter(canvas, to_canvas, fields)
    pixels = np.empty((bottom - top, right - left, 3), np.uint8)
    for start in range(top, bottom, BAND_ROWS):
        rows = min(BAND_ROWS, bottom - start)
        under = onto[start : start + rows, left:right]
        pixels[start - top : start - top + rows] = painter.band(left, start, under)
    return Patch(left, top, pixels)


def paint_crop(crop: Pixels, fields: EditFields) -> Pixels:
    """Paint an edit onto a crop of any size [S, S, 3] uint8, which is not changed; see `paint`."""
    side = len(crop)
    patch = paint(crop, np.diag((side, side, 1.0)), fields)
    return crop if patch is None else patch.pixels


class _Painter:
    def __init__(self, canvas: Pixels, to_canvas: Matrix, fields: EditFields) -> None:
        self._canvas, self._to_canvas = canvas, to_canvas
        self._to_unit: Matrix = np.asarray(np.linalg.inv(to_canvas), np.float64)
        # px of the canvas that the crop spans
        self._size = math.sqrt(abs(float(np.linalg.det(to_canvas[:2, :2]))))
        ones = np.ones(fields.flow.shape[:2], np.float32)
        region = ones if fields.region is None else fields.region
        # OpenCV moves four channels as fast as one.
        self._moving = self._fitted(fields.flow, region, resized(fields.kept, len(ones)))
        self._added = self._fitted(fields.added)
        self._behind = None
        if fields.uncovered is not None and fields.behind is not None and fields.uncovered.max() > _UNSEEN:
            self._behind = self._fitted(fields.behind, fields.uncovered)

    def band(self, left: int, top: int, under: Pixels) -> Pixels:
        """The canvas from (left, top) on, painted over `under`."""
        moving = self._at(self._moving, left, top, under)
        photo = self._moved(moving, left, top)
        kept = cv2.merge([moving[..., 3]] * 3)
        edited = cv2.multiply(photo, kept, dtype=cv2.CV_32F)
        edited = cv2.add(edited, self._at(self._added, left, top, under), dst=edited)
        np.clip(edited, 0, 255, out=edited)
        mixed = _mixed(under, edited, moving[..., 2])
        if self._behind is not None:
            behind = self._at(self._behind, left, top, under)
            if behind[..., 2].max() > _UNSEEN:
                beyond = self._moved(behind, left, top)
                mixed = _mixed(mixed, beyond, behind[..., 2] * moving[..., 2])
        return np.asarray(cv2.convertScaleAbs(mixed), np.uint8)  # rounds

    def _fitted(self, *parts: Field) -> Field:
        """Fields beside each other, about as fine as the canvas: what is left to do is then linear."""
        joined = np.dstack(parts)
        side = max(1, min(round(self._size), _FINEST, _MOST_ENLARGED * len(joined)))
        return resized(joined, side).reshape(side, side, -1)

    def _at(self, field: Field, left: int, top: int, like: Pixels) -> Field:
        """A field at the pixels of a band."""
        side = len(field)
        to_field = np.diag((side, side, 1.0)) @ self._to_unit
        # OpenCV counts from the middle of the first pixel.
        matrix = shift(-0.5, -0.5) @ to_field @ shift(left + 0.5, top + 0.5)
        size = like.shape[1], like.shape[0]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        found = cv2.warpAffine(field, matrix[:2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found, np.float32)

    def _moved(self, path: Field, left: int, top: int) -> Pixels:
        """The photo where the paths, the first two channels of [h, w, C], lead."""
        linear = self._to_canvas[:2, :2].astype(np.float32)
        x = path[..., 0] * linear[0, 0] + path[..., 1] * linear[0, 1]
        y = path[..., 0] * linear[1, 0] + path[..., 1] * linear[1, 1]
        x += np.arange(left, left + x.shape[1], dtype=np.float32)
        y += np.arange(top, top + y.shape[0], dtype=np.float32)[:, None]
        moved = cv2.remap(self._canvas, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.uint8)


def _mixed(a: npt.NDArray[Any], b: npt.NDArray[Any], share: npt.NDArray[np.float32]) -> Field:
    """`a` + `share` (`b` - `a`), share in 0..1: `a` itself, bit for bit, where the share is 0."""
    weight = cv2.merge([np.clip(share, 0, 1)] * 3)
    change = cv2.subtract(b, a, dtype=cv2.CV_32F)
    change = cv2.multiply(change, weight, dst=change)
    return np.asarray(cv2.add(change, a, dtype=cv2.CV_32F), np.float32)
