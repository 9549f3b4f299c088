"""How far generated pictures are from real ones as a whole, in the features of EfficientNet-lite0."""

from dataclasses import dataclass

import torch
from torch import Tensor

from editor.parts.efficientnet import EfficientNetLite0Features
from stylegan2.checks import check_shape
from stylegan2.errors import ShapeError

BATCH = 64  # pictures measured at once


@dataclass(frozen=True)
class FeatureStatistics:
    """Mean [D] and covariance [D, D] of features, float64."""

    mean: Tensor
    covariance: Tensor


@torch.no_grad()
def pooled_features(network: EfficientNetLite0Features, img: Tensor) -> Tensor:
    """The network's coarsest level, averaged over the picture.

    Args:
        network: On the device of `img`.
        img: Pictures [N, 3, H, W] in [-1, 1], at least 32 pixels a side.

    Returns:
        [N, 672] float64 on the CPU.
    """
    parts = [network(part)[-1].mean((2, 3)) for part in torch.split(img.clamp(-1, 1), BATCH)]
    return torch.cat(parts).double().cpu()


def feature_statistics(features: Tensor) -> FeatureStatistics:
    """Mean and unbiased covariance of `features` [N, D], N at least 2.

    Raises:
        ShapeError: There is one row or none, or another number of axes.
    """
    check_shape("features", features, "N", "D")
    if len(features) < 2:
        raise ShapeError("features", tuple(features.shape), "[N, D] with N at least 2")
    return FeatureStatistics(features.mean(0), torch.cov(features.T).reshape(2 * (features.shape[1],)))


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Frechet distance of two normal distributions (Dowson and Landau 1982).

        |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2)

    The estimate falls with the number of pictures behind the statistics: compare equal numbers only. It is
    not the FID, whose features come from another network.

    Returns:
        At least 0 up to rounding; 0 for equal statistics.

    Raises:
        ShapeError: The widths differ.
    """
    check_shape("b.mean", b.mean, *a.mean.shape)
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = root @ b.covariance @ root
    overlap = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * overlap
    return float((a.mean - b.mean).square().sum() + spread)
