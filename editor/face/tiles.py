"""Boxes in a picture: overlapping tiles to search, and which boxes mean the same face."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in picture coordinates, where pixel (i, j) covers [i, i+1] x [j, j+1]."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def size(self) -> float:
        """Longer side, px."""
        return max(self.x1 - self.x0, self.y1 - self.y0)

    @property
    def center(self) -> tuple[float, float]:
        """Middle (x, y), px."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def scaled(self, factor: float) -> Box:
        """The same box in a picture drawn `factor` times as large."""
        return Box(self.x0 * factor, self.y0 * factor, self.x1 * factor, self.y1 * factor)

    def contains(self, point: tuple[float, float]) -> bool:
        """Whether `point` (x, y) lies inside."""
        return self.x0 <= point[0] <= self.x1 and self.y0 <= point[1] <= self.y1


def tile_starts(length: int, tile: int) -> list[int]:
    """First pixels of tiles that cover an axis, neighbours sharing at least a third.

    A third is enough: what needs small tiles at all is less than a quarter of one, larger faces are found in
    larger tiles.

    Args:
        length: Pixels of the axis, at least 1.
        tile: Pixels of a tile, at least 2; one at least as long as the axis gives a single start, 0.

    Returns:
        Increasing starts, evenly spread, the last tile ending with the axis.
    """
    if tile >= length:
        return [0]
    stride = tile * 2 // 3
    steps = -(-(length - tile) // stride)
    return [round(step * (length - tile) / steps) for step in range(steps + 1)]


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - shared)


def same_face(a: Box, b: Box) -> bool:
    """Whether two boxes mean one face: overlap above 0.3, or the middle of the smaller inside the larger.

    The second case is a face found in part, or once with and once without the forehead: no second face fits
    there.
    """
    smaller, larger = sorted((a, b), key=lambda box: box.size)
    return overlap(a, b) > 0.3 or larger.contains(smaller.center)


def distinct(boxes: list[Box]) -> list[int]:
    """Greedy non-maximum suppression.

    Args:
        boxes: Best first.

    Returns:
        Indices of the boxes to keep, in order: each that means another face than all kept before it.
    """
    kept: list[int] = []
    for index, box in enumerate(boxes):
        if not any(same_face(box, boxes[other]) for other in kept):
            kept.append(index)
    return kept
