"""What a crop shows where the photo has ended: smooth colour that repeats nothing of the face."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from editor.face.warp import Matrix
from editor.photo.colour import Pixels

_SPREAD = 1.0  # px of blur per px of distance from the photo
_FADE = 0.7  # of the crop's side: distance from the photo at which the median colour is reached
_NEAR = 1e-3  # weight of the median colour beside that of the pixels around


def fill_outside(crop: Pixels, transform: Matrix, width: int, height: int) -> Pixels:
    """Replace what lies outside the photo by colour that flows out of it.

    FFHQ (Karras et al. 2019, arXiv:1812.04948) mirrors the photo, then blurs and fades it towards the median
    colour with the distance from the edge. Mirrored, a mouth close to the edge shows twice. Here each pixel
    at a distance d takes the mean of the crop's pixels inside the photo instead, under a Gaussian around it
    with a deviation of d, faded towards their median colour. Near the edge that goes on with what is there,
    further out it knows ever less of it, and nothing comes back.

    Args:
        crop: [R, R, 3] uint8; what it shows outside the photo is not looked at.
        transform: Affine map [3, 3] from crop to photo coordinates, px, a similarity.
        width: Of the photo, px.
        height: Of the photo, px.

    Returns:
        [R, R, 3] uint8; pixels whose centre lies inside the photo are those of `crop`, bit for bit. All of
        them, where the photo does not reach into the crop at all.
    """
    distance = _distance_outside(crop.shape[0], transform, width, height)
    inside = distance == 0
    if inside.all() or not inside.any():
        return crop
    median = np.median(crop[inside], axis=0).astype(np.float32)
    fade = np.clip(distance / (_FADE * crop.shape[0]), 0, 1)[..., None]
    flowed = _mean_around(crop, inside, distance * _SPREAD, median)
    filled = np.rint(flowed + fade * (median - flowed)).clip(0, 255).astype(np.uint8)
    return np.where(inside[..., None], crop, filled)


def _distance_outside(side: int, transform: Matrix, width: int, height: int) -> npt.NDArray[np.float32]:
    """Crop px from each pixel's centre to the photo [side, side]; 0 inside."""
    centers = np.arange(side) + 0.5
    u, v = centers[None, :], centers[:, None]
    x, y = (row[0] * u + row[1] * v + row[2] for row in transform[:2])
    aside, above = (
        np.maximum(np.maximum(-place, place - end), 0) for place, end in ((x, width), (y, height))
    )
    return np.asarray(np.hypot(aside, above) / math.hypot(*transform[:2, 0]), dtype=np.float32)


def _mean_around(
    crop: Pixels, inside: npt.NDArray[np.bool_], sigma: npt.NDArray[np.float32], far: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Gaussian mean [R, R, 3] of the pixels inside, with a deviation per pixel; `far` where none is near.

    Taken from a pyramid: means with deviations of 1, 2, 4, ... px, blended between the two nearest.
    """
    side = crop.shape[0]
    small = np.where(inside[..., None], np.dstack([crop, np.ones_like(inside, np.uint8)]), 0).astype(
        np.float32
    )
    octaves = np.where(inside, -1.0, np.log2(np.maximum(sigma, 1.0)))
    result = np.zeros((side, side, 3), np.float32)
    for octave in range(math.ceil(float(octaves.max())) + 1):
        if octave > 1:  # the deviation stays at about 2 px of the shrunk picture
            shrunk = max(1, small.shape[0] // 2)
            small = cv2.resize(small, (shrunk, shrunk), interpolation=cv2.INTER_AREA)
        deviation = 2.0**octave * small.shape[0] / side
        blurred = cv2.GaussianBlur(small, (0, 0), deviation, borderType=cv2.BORDER_CONSTANT)
        mean = (blurred[..., :3] + _NEAR * far) / (blurred[..., 3:] + _NEAR)
        mean = cv2.resize(mean, (side, side), interpolation=cv2.INTER_LINEAR)
        share = 1 - np.abs(octaves - octave)
        near = share > 0
        result[near] += share[near, None] * mean[near]
    return result
