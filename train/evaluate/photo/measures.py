"""What edited photos are judged by: fine detail, and contours that should not be there."""

import cv2
import numpy as np
from numpy.typing import NDArray

from editor.photo.colour import Pixels

FINE = 1.2  # px of blur, beyond which detail is no longer fine
_EDGE, _WEAK = 24.0, 8.0  # levels per px: what counts as a contour, and what may explain one
_NEAR = 2.0  # px within which a contour of the truth explains one of the picture


def fine_detail(pixels: Pixels) -> float:
    """Mean strength of the finest detail inside a picture [S, S, 3], in levels."""
    luma = _luma(pixels)
    fine = luma - cv2.GaussianBlur(luma, (0, 0), FINE)
    inner = slice(len(luma) // 6, -(len(luma) // 6))
    return float(np.abs(fine[inner, inner]).mean())


def doubled_contours(pixels: Pixels, truth: Pixels) -> float:
    """Share of a picture's contours that the truth has nothing of nearby, 0..1.

    A contour is a place where the lightness changes by at least 24 levels a pixel; weighed by how much. Where
    two pictures are mixed whose outlines differ, each outline is seen, and one of them is nobody's.

    Args:
        pixels: Picture [S, S, 3] uint8.
        truth: What it should be, the same shape.
    """
    steep = _steepness(pixels)
    contours = steep >= _EDGE
    if not contours.any():
        return 0.0
    unexplained = (_steepness(truth) < _WEAK).astype(np.uint8)
    if unexplained.all():
        return 1.0
    away = cv2.distanceTransform(unexplained, cv2.DIST_L2, cv2.DIST_MASK_5) > _NEAR
    return float(steep[contours & away].sum() / steep[contours].sum())


def seam(photo: Pixels, edited: Pixels, region: NDArray[np.float32]) -> float:
    """How steep an edited photo is where its edit ends, over how steep the photo is there; 1 shows no seam.

    Args:
        photo: [S, S, 3] uint8.
        edited: The same shape.
        region: Where it may have changed [G, G] in 0..1.

    Returns:
        Mean steepness of `edited` over that of `photo`, where the region is neither 0 nor 1; 1 where that is
        nowhere.
    """
    side = len(photo)
    there = cv2.resize(region, (side, side), interpolation=cv2.INTER_LINEAR)
    band = (there > 0.05) & (there < 0.95)
    if not band.any():
        return 1.0
    return float(_steepness(edited)[band].mean() / max(float(_steepness(photo)[band].mean()), 1e-6))


def _steepness(pixels: Pixels) -> NDArray[np.float32]:
    """How fast the lightness changes [S, S], levels per px, but for single pixels' noise."""
    luma = cv2.GaussianBlur(_luma(pixels), (0, 0), 0.7)
    x, y = (cv2.Scharr(luma, cv2.CV_32F, *order, scale=1 / 32) for order in ((1, 0), (0, 1)))
    return np.asarray(np.hypot(x, y), np.float32)


def _luma(pixels: Pixels) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)
