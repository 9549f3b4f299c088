"""paint: an edit onto the pixels of a photo, a view of it, or a crop."""

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from editor.face.warp import Matrix, resized, shift
from editor.photo.colour import Pixels
from editor.transfer.fields import EditFields, Field

BAND_ROWS = 256  # of the canvas that are painted at a time, to bound the memory
_FINEST, _MOST_ENLARGED = 1024, 4  # px a side, and times as fine, that fields are made beforehand
_UNSEEN = 1 / 1024  # share of a place that changes no level
_REACH = 2  # places that an enlarged field reaches beyond its own


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
        What the edit's region, or without one the crop, covers of the canvas; None where that is nothing.
    """
    onto = canvas if onto is None else onto
    where = _Box.of(fields.region, to_canvas, canvas)
    if where is None:
        return None
    painter = _Painter(canvas, to_canvas, fields)
    pixels = np.empty((where.bottom - where.top, where.right - where.left, 3), np.uint8)
    for top in range(where.top, where.bottom, BAND_ROWS):
        band = replace(where, top=top, bottom=min(top + BAND_ROWS, where.bottom))
        pixels[band.slices(where.left, where.top)] = painter.band(band, onto[band.slices()])
    return Patch(where.left, where.top, pixels)


def paint_crop(crop: Pixels, fields: EditFields) -> Pixels:
    """Paint an edit onto a crop of any size [S, S, 3] uint8, which is not changed; see `paint`."""
    side = len(crop)
    patch = paint(crop, np.diag((side, side, 1.0)), fields)
    painted = crop.copy()
    if patch is not None:
        patch.put(painted)
    return painted


@dataclass(frozen=True)
class _Box:
    """Pixels of a canvas, right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(cls, field: Field | None, to_canvas: Matrix, canvas: Pixels) -> "_Box | None":
        """Where a field [G, G] is seen; the whole crop where it is None, and None where it is nowhere."""
        low, high = np.zeros(2), np.ones(2)
        if field is not None:
            y, x = np.nonzero(field > _UNSEEN)
            if not len(x):
                return None
            # An enlarged field reaches farther, by the places that are interpolated between.
            low = np.maximum((np.array([x.min(), y.min()]) - _REACH) / len(field), 0)
            high = np.minimum((np.array([x.max(), y.max()]) + 1 + _REACH) / len(field), 1)
        corners = np.array([[low[0], high[0], low[0], high[0]], [low[1], low[1], high[1], high[1]], [1] * 4])
        there = (to_canvas @ corners)[:2]
        left, top = (max(0, math.floor(x)) for x in there.min(1))
        right, bottom = (math.ceil(x) for x in there.max(1))
        right, bottom = min(right, canvas.shape[1]), min(bottom, canvas.shape[0])
        return cls(left, top, right, bottom) if left < right and top < bottom else None

    def within(self, other: "_Box") -> "_Box | None":
        """What lies in both."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return _Box(left, top, right, bottom) if left < right and top < bottom else None

    def slices(self, left: int = 0, top: int = 0) -> tuple[slice, slice]:
        """Its rows and columns in a picture whose first pixel is at (left, top) of the canvas."""
        return slice(self.top - top, self.bottom - top), slice(self.left - left, self.right - left)


class _Painter:
    def __init__(self, canvas: Pixels, to_canvas: Matrix, fields: EditFields) -> None:
        self._canvas, self._to_canvas = canvas, to_canvas
        self._to_unit: Matrix = np.asarray(np.linalg.inv(to_canvas), np.float64)
        # px of the canvas that the crop spans
        self._size = math.sqrt(abs(float(np.linalg.det(to_canvas[:2, :2]))))
        self._everywhere = fields.region is None
        ones = np.ones(fields.flow.shape[:2], np.float32)
        region = ones if fields.region is None else fields.region
        # OpenCV moves four channels as fast as one.
        self._moving = self._fitted(fields.flow, region, resized(fields.kept, len(ones)))
        self._added = self._fitted(fields.added)
        self._gap: _Box | None = None  # where anything is uncovered
        if fields.uncovered is not None and fields.behind is not None:
            self._gap = _Box.of(fields.uncovered, to_canvas, canvas)
            if self._gap is not None:
                self._behind = self._fitted(fields.behind, fields.uncovered)

    def band(self, box: _Box, under: Pixels) -> Pixels:
        """A part of the canvas, painted over `under`."""
        moving = self._at(self._moving, box)
        photo = self._moved(moving, box)
        kept = cv2.merge([moving[..., 3]] * 3)
        edited = cv2.multiply(photo, kept, dtype=cv2.CV_32F)
        edited = cv2.add(edited, self._at(self._added, box), dst=edited)
        np.clip(edited, 0, 255, out=edited)
        mixed = edited if self._everywhere else _mixed(under, edited, moving[..., 2])
        gap = None if self._gap is None else self._gap.within(box)
        if gap is not None:
            there = gap.slices(box.left, box.top)
            behind = self._at(self._behind, gap)
            beyond = self._moved(behind, gap)
            mixed[there] = _mixed(mixed[there], beyond, behind[..., 2] * moving[there][..., 2])
        return np.asarray(cv2.convertScaleAbs(mixed), np.uint8)  # rounds

    def _fitted(self, *parts: Field) -> Field:
        """Fields beside each other, about as fine as the canvas: what is left to do is then linear."""
        joined = np.dstack(parts)
        side = max(1, min(round(self._size), _FINEST, _MOST_ENLARGED * len(joined)))
        return resized(joined, side).reshape(side, side, -1)

    def _at(self, field: Field, box: _Box) -> Field:
        """A field at the pixels of a box."""
        side = len(field)
        to_field = np.diag((side, side, 1.0)) @ self._to_unit
        # OpenCV counts from the middle of the first pixel.
        matrix = shift(-0.5, -0.5) @ to_field @ shift(box.left + 0.5, box.top + 0.5)
        if np.array_equal(matrix, shift(box.left, box.top)):
            return field[box.slices()]  # a crop, whose pixels are those of the field
        size = box.right - box.left, box.bottom - box.top
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        found = cv2.warpAffine(field, matrix[:2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found, np.float32)

    def _moved(self, path: Field, box: _Box) -> Pixels:
        """The photo where the paths from a box, the first two channels of [h, w, C], lead."""
        linear = self._to_canvas[:2, :2].astype(np.float32)
        x = path[..., 0] * linear[0, 0] + path[..., 1] * linear[0, 1]
        y = path[..., 0] * linear[1, 0] + path[..., 1] * linear[1, 1]
        x += np.arange(box.left, box.right, dtype=np.float32)
        y += np.arange(box.top, box.bottom, dtype=np.float32)[:, None]
        moved = cv2.remap(self._canvas, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.uint8)


def _mixed(a: npt.NDArray[Any], b: npt.NDArray[Any], share: npt.NDArray[np.float32]) -> Field:
    """`a` + `share` (`b` - `a`), share in 0..1: `a` itself, bit for bit, where the share is 0."""
    weight = cv2.merge([np.clip(share, 0, 1)] * 3)
    change = cv2.subtract(b, a, dtype=cv2.CV_32F)
    change = cv2.multiply(change, weight, dst=change)
    return np.asarray(cv2.add(change, a, dtype=cv2.CV_32F), np.float32)
