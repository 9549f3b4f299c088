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
    """Average img [N, C, R, R] down to [N, C, side, side]; the same tensor where it has that size.

    Every pixel is the mean over its own area, of which a pixel that a border cuts has its share.
    """
    size = img.shape[3]
    if size == side:
        return img
    if size % side == 0:
        return F.interpolate(img, size=side, mode="area")
    # torch's own would count a pixel that a border cuts in full on both sides.
    weight = _area_weights(size, side).to(img)
    with torch.autocast(img.device.type, enabled=False):  # a mean, of all the digits that there are
        return weight @ img @ weight.T


def _area_weights(size: int, side: int) -> Tensor:
    """Share [side, size] that each of `size` pixels has in the mean of each of `side`, in float64."""
    place = torch.arange(size, dtype=torch.float64)
    edge = torch.arange(side + 1, dtype=torch.float64)[:, None] * (size / side)
    inside = torch.minimum(edge[1:], place + 1) - torch.maximum(edge[:-1], place)
    return inside.clamp(min=0) * (side / size)


def picture_grid(rows: Tensor) -> Tensor:
    """One picture of many: rows of columns of pixels [rows, columns, R, R, 3] -> [rows R, columns R, 3]."""
    return rows.permute(0, 2, 1, 3, 4).flatten(2, 3).flatten(0, 1)


def psnr(found: Tensor, target: Tensor, *, span: float = 255.0) -> Tensor:
    """Peak signal-to-noise ratio of each picture, 10 log10(span^2 / mean (found - target)^2).

    Args:
        found: Pictures [N, ...].
        target: The same shape.
        span: From the darkest value to the brightest: 255 of pixels, 2 of img.

    Returns:
        [N] in dB, infinite for equal pictures: float64 of whole numbers, else as precise as `found`.

    Raises:
        ShapeError: The shapes differ.
    """
    check_shape("target", target, *found.shape)
    if not found.is_floating_point():
        found, target = found.double(), target.double()
    error = (found - target).square().flatten(1).mean(1)
    return 10 * torch.log10(span**2 / error)
