"""How close two pictures are: one value a pair, no averaging."""

from collections.abc import Callable, Mapping

import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from editor.photo.colour import Pixels
from stylegan2.checks import check_shape
from stylegan2.errors import ShapeError

# Attributes of one picture, pixels [R, R, 3], by name; None without a face.
MeasureFace = Callable[[Pixels], Mapping[str, float] | None]
SSIM_WINDOW = 11  # pixels, the reach of the Gaussian below at its usual cut


def mean_squared_error(img: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference on [-1, 1].

    Args:
        img: [N, 3, H, W]; values beyond [-1, 1] are clamped, as a display would.
        target: The same shape, in [-1, 1].

    Returns:
        [N] float64, at most 4.

    Raises:
        ShapeError: The shapes differ.
    """
    check_shape("img", img, "N", 3, "H", "W")
    check_shape("target", target, *img.shape)
    return (img.double().clamp(-1, 1) - target.double()).square().mean((1, 2, 3))


def ssim(pixels: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004), per channel with their Gaussian window of 1.5 pixels.

    Args:
        pixels: [N, H, W, 3] uint8, at least 11 pixels a side.
        target: The same shape, uint8.

    Returns:
        [N] float64 in [-1, 1].

    Raises:
        ShapeError: The shapes differ, or the pictures are smaller than the window.
    """
    check_shape("pixels", pixels, "N", "H", "W", 3)
    if min(pixels.shape[1:3]) < SSIM_WINDOW:
        raise ShapeError("pixels", tuple(pixels.shape), f"[N, H, W, 3] with H and W at least {SSIM_WINDOW}")
    check_shape("target", target, *pixels.shape)
    values = [
        structural_similarity(  # type: ignore[no-untyped-call]
            a,
            b,
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(pixels.cpu().numpy(), target.cpu().numpy(), strict=True)
    ]
    return torch.tensor(values, dtype=torch.float64)


def median(values: Tensor) -> Tensor:
    """The middle of all values [], of an even count the mean of both middle ones; torch takes the lower."""
    ordered = values.detach().cpu().double().flatten().sort().values
    if ordered.isnan().any():
        return ordered.new_tensor(float("nan"))
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
