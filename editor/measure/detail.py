"""How close two crops are, and how much fine detail one holds, octave by octave."""

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from stylegan2.image import psnr

CLOSEST = 99.0  # dB; JSON has no infinity
OCTAVES = 4  # of the finest detail that are compared, each with the next coarser
_CONTRAST = 1.0  # of 255; an octave with less contrast than this is no measure for the one before it


def crop_psnr(crop: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> float:
    """PSNR of a drawn crop [R, R, 3] against the photo's, in dB; at most `CLOSEST`, where they are equal."""
    return min(float(psnr(torch.tensor(drawn)[None], torch.tensor(crop)[None])[0]), CLOSEST)


def detail_slopes(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Strength of each octave of detail relative to the next coarser; light and contrast hardly move it.

    Octaves are the levels of a Laplacian pyramid (Burt & Adelson 1983) of the lightness, their strength the
    root mean square.

    Args:
        pixels: Picture [R, R, 3] uint8, R at least 8.

    Returns:
        [n] from 0 on, the finest first; n is `OCTAVES`, or fewer below 64 px. Zeros where there is no detail.
    """
    level: NDArray[Any] = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    count = min(OCTAVES, int(np.log2(level.shape[0])) - 2)
    strengths = []
    for _ in range(count + 1):
        coarser = cv2.pyrDown(level)
        octave = level - cv2.pyrUp(coarser, dstsize=(level.shape[1], level.shape[0]))
        strengths.append(float(np.sqrt(np.square(octave).mean())))
        level = coarser
    return np.array(strengths[:-1]) / np.maximum(strengths[1:], _CONTRAST)
