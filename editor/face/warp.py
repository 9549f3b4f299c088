"""Resample an image through an affine map, without aliasing and without an end of the picture."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from editor.photo.colour import Pixels

Matrix = npt.NDArray[np.float64]
Scalar = TypeVar("Scalar", np.uint8, np.float32)

_MAX_OVERSAMPLING = 8  # side of the grid of samples per output pixel; beyond, the source is shrunk first
_KERNEL_REACH = 3  # px around the sampled part that a bicubic kernel may touch, with one to spare


def warp(pixels: Pixels, transform: Matrix, width: int, height: int) -> Pixels:
    """Draw an image of `width` x `height` px whose point p shows the point `transform` p of `pixels`.

    Coordinates are continuous: pixel (i, j) covers [i, i+1] x [j, j+1], its centre is (i + 0.5, j + 0.5).
    Where the map enlarges, a bicubic kernel is used; where it shrinks, the mean over about the area of each
    output pixel: a grid of bilinear samples, then an area filter. Beyond its borders the source goes on
    mirrored, as often as needed (the border pixel itself is not repeated).

    Args:
        pixels: Source [H, W, 3] uint8.
        transform: Affine map [3, 3] from output to source coordinates, close to a similarity.
        width: Output width, px.
        height: Output height, px.

    Returns:
        [height, width, 3] uint8.
    """
    shrink = math.sqrt(abs(float(np.linalg.det(transform[:2, :2]))))  # source px per output px
    source, to_source = _preshrunk(pixels, transform, int(2 * shrink / _MAX_OVERSAMPLING + 1e-6))
    finer = max(1, math.ceil(math.sqrt(abs(float(np.linalg.det(to_source[:2, :2])))) - 1e-6))
    to_source = to_source @ np.diag((1 / finer, 1 / finer, 1.0))
    part, left, top = _part(source, to_source, width * finer, height * finer)
    # OpenCV puts the coordinate origin at the centre of the first pixel, half a pixel from ours.
    centers = shift(-0.5 - left, -0.5 - top) @ to_source @ shift(0.5, 0.5)
    kernel = cv2.INTER_LINEAR if finer > 1 else cv2.INTER_CUBIC  # of many samples, linear ones are the truer
    samples = cv2.warpAffine(
        part.astype(np.float32),  # in uint8 each of the two steps would round, and the second one upwards
        centers[:2],
        (width * finer, height * finer),
        flags=kernel | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    if finer > 1:
        samples = cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(samples).clip(0, 255), dtype=np.uint8)


def resized(field: npt.NDArray[Scalar], side: int) -> npt.NDArray[Scalar]:
    """A square picture or field [S, S, C] at another size: the mean over areas, or bicubic where it grows.

    Args:
        field: uint8 or float32; `field` itself is answered where it has that size.
        side: px.
    """
    if len(field) == side:
        return field
    kernel = cv2.INTER_AREA if len(field) > side else cv2.INTER_CUBIC
    # OpenCV answers one channel without its axis.
    return np.asarray(cv2.resize(field, (side, side), interpolation=kernel), field.dtype)


def shift(x: float, y: float) -> Matrix:
    """Affine map [3, 3] that moves by x and y."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _preshrunk(pixels: Pixels, transform: Matrix, factor: int) -> tuple[Pixels, Matrix]:
    """`pixels` shrunk `factor` times, and the map to its coordinates, if that is a gain."""
    if factor < 2:
        return pixels, transform
    height, width = pixels.shape[:2]
    size = math.ceil(width / factor), math.ceil(height / factor)
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return small, np.diag((size[0] / width, size[1] / height, 1.0)) @ transform


def _part(pixels: Pixels, transform: Matrix, width: int, height: int) -> tuple[Pixels, int, int]:
    """The part of the endless mirrored source that the map touches, with the place of its first pixel."""
    corners = transform @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    left, top = (math.floor(low) - _KERNEL_REACH for low in corners[:2].min(axis=1))
    right, bottom = (math.ceil(high) + _KERNEL_REACH for high in corners[:2].max(axis=1))
    rows, columns = np.arange(top, bottom), np.arange(left, right)
    inside = top >= 0 and left >= 0 and bottom <= pixels.shape[0] and right <= pixels.shape[1]
    if inside:
        return pixels[top:bottom, left:right], left, top
    mirrored = pixels[reflect(rows, pixels.shape[0])][:, reflect(columns, pixels.shape[1])]
    return np.ascontiguousarray(mirrored), left, top


def reflect(index: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """Fold indices into 0..length-1 by mirroring at the first and last element, which are not repeated.

    For length 4: ..., 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, ...

    Args:
        index: Integers of any shape and sign.
        length: Elements of the axis, at least 1.

    Returns:
        Integers of the shape of `index`.
    """
    if length == 1:
        return np.zeros_like(index)
    folded = np.abs(index) % (2 * length - 2)
    return np.asarray(np.minimum(folded, 2 * length - 2 - folded))
