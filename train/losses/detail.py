"""How much fine detail a picture has, place by place, and how far another is from having as much.

Squared differences reward a blur where details are guessed; the amount of detail does not care where
exactly each lies, so that asking for it costs a sharp guess nothing.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.checks import check_shape
from stylegan2.errors import ShapeError

BANDS = 2  # the finest octaves
EPSILON = 1e-6  # of a variance on [-1, 1]: keeps the gradient finite where a picture is flat


def local_detail(img: Tensor, window: int) -> list[Tensor]:
    """Standard deviation of each of the finest octaves within windows.

    The octaves are those of a Laplacian pyramid (Burt and Adelson 1983), shrunk by averaging.

    Args:
        img: Pictures [N, C, H, W], sides multiples of `window * 2 ** (BANDS - 1)`.
        window: Side of a window in pixels of the octave.

    Returns:
        The finest first: [N, 1, H / window / 2^i, W / window / 2^i].

    Raises:
        ShapeError: `img` has another shape.
    """
    check_shape("img", img, "N", "C", "H", "W")
    unit = window * 2 ** (BANDS - 1)
    if img.shape[2] % unit or img.shape[3] % unit:
        raise ShapeError("img", tuple(img.shape), f"[N, C, H, W] with H and W multiples of {unit}")
    found = []
    for _ in range(BANDS):
        half = F.avg_pool2d(img, 2)
        band = img - F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)
        found.append((F.avg_pool2d(band.square().mean(1, keepdim=True), window) + EPSILON).sqrt())
        img = half
    return found


def detail_distance(img: Tensor, target: Tensor, window: int) -> Tensor:
    """Mean difference of `local_detail`, as a share of what `target` has on average.

    Args:
        img: Pictures [N, C, H, W] in [-1, 1].
        target: Pictures with the right amount of detail, place by place; the same shape and range.
        window: See `local_detail`.

    Returns:
        Scalar; 0 for equal pictures, at most about 1 for a picture without any detail.
    """
    check_shape("target", target, *img.shape)
    pairs = zip(local_detail(img, window), local_detail(target, window), strict=True)
    return torch.stack([(a - b).abs().mean() / b.mean() for a, b in pairs]).mean()


def detail_share(img: Tensor, before: Tensor) -> Tensor:
    """Detail of whole pictures as a share of what others have.

    Args:
        img: Pictures [N, C, R, R] in [-1, 1], R a multiple of 4.
        before: The same faces before something was done to them, the same shape and range.

    Returns:
        [N, BANDS], the finest octave first; 1 where both have as much.
    """
    check_shape("before", before, *img.shape)
    whole = img.shape[-1] // 2 ** (BANDS - 1)
    pairs = zip(local_detail(img, whole), local_detail(before, whole), strict=True)
    return torch.stack([_quadratic_mean(a) / _quadratic_mean(b) for a, b in pairs], 1)


def _quadratic_mean(x: Tensor) -> Tensor:
    return x.square().mean((1, 2, 3)).sqrt()
