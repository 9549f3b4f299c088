"""Residual backbone with squeeze-excitation that yields three feature levels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.ops.int8 import Int8Conv2d


class ResidualBlock(nn.Module):
    """Pre-activation residual block (arXiv:1603.05027) with squeeze-excitation (arXiv:1709.01507).

    Maps [N, in_channels, H, W] to [N, out_channels, H / stride, W / stride].
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = Int8Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = Int8Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.squeeze = nn.Linear(out_channels, out_channels // 8)
        self.excite = nn.Linear(out_channels // 8, out_channels)
        same = in_channels == out_channels and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Add the gated residual of `x` [N, C, H, W] to its shortcut."""
        h = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        gate = torch.sigmoid(self.excite(F.silu(self.squeeze(h.mean((2, 3))))))
        shortcut = self.skip(F.avg_pool2d(x, 2) if self.stride == 2 else x)
        result: Tensor = shortcut + h * gate[:, :, None, None]
        return result


def residual_stage(in_channels: int, out_channels: int, depth: int) -> nn.Sequential:
    """`depth` residual blocks, the first of which halves the resolution."""
    first = ResidualBlock(in_channels, out_channels, 2)
    return nn.Sequential(first, *[ResidualBlock(out_channels, out_channels, 1) for _ in range(depth - 1)])


class Backbone(nn.Module):
    """Image to three feature levels, at 1/4, 1/8 and 1/16 of the input's side.

    Args:
        channels: Widths of the stem and of the three levels.
        depths: Residual blocks per level.
        in_channels: Of the input.
        stem_stride: 2; with 1 the levels are at 1/2, 1/4 and 1/8 of the input's side.
    """

    def __init__(
        self,
        channels: tuple[int, int, int, int],
        depths: tuple[int, int, int],
        in_channels: int = 3,
        stem_stride: int = 2,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, channels[0], 5, stem_stride, 2)
        pairs = zip(channels[:-1], channels[1:], depths, strict=True)
        self.stages = nn.ModuleList(residual_stage(i, o, depth) for i, o, depth in pairs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of `x` [N, C, H, W], H and W multiples of 16: fine [N, C1, H/4, W/4], middle, coarse."""
        fine = self.stages[0](self.stem(x))
        middle = self.stages[1](fine)
        return fine, middle, self.stages[2](middle)
