"""Heads on the pyramid: feature map -> one style, feature map -> f."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.01  # of every leaky ReLU in the heads
COARSE_STEPS, MIDDLE_STEPS, FINE_STEPS = 4, 5, 6  # halvings from 16, 32 and 64 places to one


class EqualLinear(nn.Module):
    """y = x W^T / sqrt(in) + b: the equalised learning rate of arXiv:1710.10196, section 4.1."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, in_features] to [N, out_features]."""
        return F.linear(x, self.weight * self.weight.shape[1] ** -0.5, self.bias)


class HalvingConvs(nn.Module):
    """`steps` convolutions that each halve the map, a leaky ReLU after each."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(steps):
            layers += [nn.Conv2d(width, width, 3, 2, 1), nn.LeakyReLU(SLOPE)]
        self.convs = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Shrink `x` [N, width, H, W] to [N, width, H / 2^steps, W / 2^steps], rounded up."""
        shrunk: Tensor = self.convs(x)
        return shrunk


class MapToStyle(HalvingConvs):
    """Feature map [N, width, H, W] -> one style [N, width] (pSp's map2style, arXiv:2008.00951, Fig. 2)."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__(width, steps)
        self.linear = EqualLinear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Read the style off `x`, of which `steps` halvings leave one place."""
        style: Tensor = self.linear(super().forward(x).flatten(1))
        return style
