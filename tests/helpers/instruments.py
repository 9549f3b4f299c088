"""What measures faces in tests of measuring."""

import numpy as np


def redness(pixels):
    return {"red": float(pixels[..., 0].mean())}


def middle(crop):
    side = len(crop)
    return np.array([[0.3, 0.3], [0.7, 0.3], [0.7, 0.8], [0.3, 0.8]], np.float32) * side
