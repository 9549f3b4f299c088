"""warp: the mean over an area where it shrinks, exact where it copies, mirrored beyond the borders."""

import cv2
import numpy as np
import pytest

from editor.face.warp import reflect, warp


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shrink", [2, 3, 8, 16, 24])
def test_shrinking_whole_times_is_the_mean_over_each_pixels_area(shrink):
    pixels = noise(20 * shrink, 20 * shrink)
    matrix = np.array([[shrink, 0, 2 * shrink], [0, shrink, 3 * shrink], [0, 0, 1.0]])
    blocks = pixels.reshape(20, shrink, 20, shrink, 3).mean(axis=(1, 3))[3:19, 2:18]
    assert np.abs(warp(pixels, matrix, 16, 16) - blocks).max() <= 1


@pytest.mark.parametrize("shrink", [1.7, 3.4, 7.3, 13.1])
def test_shrinking_is_close_to_the_mean_over_each_pixels_area(shrink):
    size = int(24 * shrink) + 1
    pixels = cv2.GaussianBlur(noise(size, size), (0, 0), 1.5)
    edges = np.clip(np.arange(25)[:, None] * shrink - np.arange(size), 0, 1)  # of px i, before edge k
    weights = np.diff(edges, axis=0) / shrink  # [24, size]
    exact = np.einsum("iy,yxc,jx->ijc", weights, pixels.astype(float), weights, optimize=True)
    error = warp(pixels, np.diag((shrink, shrink, 1.0)), 24, 24) - exact
    assert np.sqrt((error**2).mean()) < 0.1 * exact.std() + 0.35


def test_a_crop_of_the_same_size_is_the_part_itself():
    pixels = noise(80, 90)
    matrix = np.array([[1.0, 0, 12], [0, 1.0, 7], [0, 0, 1.0]])
    np.testing.assert_array_equal(warp(pixels, matrix, 40, 30), pixels[7:37, 12:52])


def test_reflect_is_numpys_reflect_padding():
    for length in (1, 2, 5):
        expected = np.pad(np.arange(length), 3 * length + 4, mode="reflect") if length > 1 else np.zeros(15)
        np.testing.assert_array_equal(reflect(np.arange(-3 * length - 4, 4 * length + 4), length), expected)
