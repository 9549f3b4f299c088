"""Pixels and tensors: the only rounding between them in the project, and their size."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.checks import check_shape


def to_uint8(img: Tensor) -> Tensor:
    """Turn img [N, 3, H, W], [-1, 1] (clamped) -> pixels [N, H, W, 3] uint8, rounded to nearest."""
    check_shape("img", img, "N", 3, "H", "W")
    scaled = img.permute(0, 2, 3, 1).clamp(-1, 1) * 127.5 + 127.5
    return scaled.round().to(torch.uint8)


def from_uint8(pixels: Tensor) -> Tensor:
    """Turn pixels [N, H, W, 3] uint8 -> img [N, 3, H, W] float32 in [-1, 1]."""
    check_shape("pixels", pixels, "N", "H", "W", 3)
    return pixels.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1


def shrink(img: Tensor, side: int) -> Tensor:
    """Average img [N, 3, R, R] down to [N, 3, side, side]; the same tensor where it has that size."""
    return img if img.shape[3] == side else F.interpolate(img, size=side, mode="area")
