"""The discriminator: img -> how real it looks."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.checks import check_shape
from stylegan2.errors import ConfigError
from stylegan2.network.layers import FullyConnectedLayer
from stylegan2.ops.bias_act import bias_lrelu
from stylegan2.ops.upfirdn2d import blur_before_down, downsample2d

STD_EPSILON = 1e-8  # keeps the gradient of a standard deviation finite where all pictures agree


class ConvLayer(nn.Module):
    """x [N, I, H, W] -> [N, O, H, W], or half the size with `down`; equalised, with bias and leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, down: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.down = down
        self.weight_gain = 1 / math.sqrt(in_channels * kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        """Next activation; `down` low-passes first, and needs a 3 x 3 kernel and even sides."""
        weight = self.weight * self.weight_gain
        if self.down:
            return bias_lrelu(F.conv2d(blur_before_down(x), weight, stride=2), self.bias)
        return bias_lrelu(F.conv2d(x, weight, padding=weight.shape[2] // 2), self.bias)


class ResidualBlock(nn.Module):
    """x [N, I, R, R] -> [N, O, R/2, R/2]: two convolutions beside a linear shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = ConvLayer(in_channels, in_channels, 3)
        self.conv1 = ConvLayer(in_channels, out_channels, 3, down=True)
        self.skip_weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.skip_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Next activation, its variance kept by the factor 1 / sqrt(2)."""
        shortcut = F.conv2d(downsample2d(x), self.skip_weight * self.skip_gain)
        return (self.conv1(self.conv0(x)) + shortcut) * math.sqrt(0.5)  # type: ignore[no-any-return]


class Discriminator(nn.Module):
    """img -> logits: StyleGAN2's residual discriminator (Karras et al. 2020, arXiv:1912.04958, Fig. 7c).

    Args:
        channels: Resolution -> feature maps, for every power of two from 4 to the picture's side, as
            `GeneratorConfig.channels`.
        group_size: Pictures whose spread one map of the minibatch standard deviation measures.
        growing: Also hold the entrance for pictures of half the size, from which the largest block fades in.

    Raises:
        ConfigError: `channels` lacks a resolution, or is not of 8 px at least.
    """

    def __init__(self, channels: Mapping[int, int], *, group_size: int = 4, growing: bool = False) -> None:
        super().__init__()
        resolutions = sorted(channels)
        if len(resolutions) < 2 or resolutions != [4 * 2**i for i in range(len(resolutions))]:
            raise ConfigError(
                f"channels: {dict(channels)}; must give a width for 4, 8, ..., the picture's side"
            )
        self.img_resolution = resolutions[-1]
        self.group_size = group_size
        self.from_rgb = ConvLayer(3, channels[self.img_resolution], 1)
        self.from_rgb_half = ConvLayer(3, channels[self.img_resolution // 2], 1) if growing else None
        for resolution in resolutions[1:]:
            block = ResidualBlock(channels[resolution], channels[resolution // 2])
            setattr(self, f"b{resolution}", block)
        self.conv = ConvLayer(channels[4] + 1, channels[4], 3)
        self.fc = FullyConnectedLayer(channels[4] * 16, channels[4], activate=True)
        self.out = FullyConnectedLayer(channels[4], 1)

    def forward(self, img: Tensor, fade: Tensor | None = None) -> Tensor:
        """Judge pictures; the judgement of one depends on the others through their spread.

        Args:
            img: Pictures [N, 3, img_resolution, img_resolution], about [-1, 1].
            fade: Share of the largest block [] in [0, 1] while growing: at 0 only the halved pictures are
                seen. None is 1.

        Returns:
            Logits [N, 1], above 0 for real.

        Raises:
            ShapeError: `img` has another shape.
        """
        check_shape("img", img, "N", 3, self.img_resolution, self.img_resolution)
        resolution = self.img_resolution
        x = getattr(self, f"b{resolution}")(self.from_rgb(img))
        if fade is not None and self.from_rgb_half is not None:
            half = self.from_rgb_half(downsample2d(img))
            x = half + (x - half) * fade.to(x.dtype)
        while (resolution := resolution // 2) > 4:
            x = getattr(self, f"b{resolution}")(x)
        with torch.autocast(x.device.type, enabled=False):  # a spread needs the digits
            x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
            x = self.conv(append_spread(x, self.group_size))
            logits: Tensor = self.out(self.fc(x.flatten(1)))
        return logits


def append_spread(x: Tensor, group_size: int) -> Tensor:
    """Append a map of how much the pictures of a group differ (Karras et al. 2018, arXiv:1710.10196, sec. 3).

    Args:
        x: Activations [N, C, H, W].
        group_size: Pictures a group at most; the largest number up to it that divides N is taken.

    Returns:
        [N, C + 1, H, W]: last the standard deviation within the group, averaged over C, H and W.

    Raises:
        ShapeError: `x` is not four-dimensional.
    """
    check_shape("x", x, "N", "C", "H", "W")
    n, _, height, width = x.shape
    group = next(size for size in range(min(group_size, n), 0, -1) if n % size == 0)
    variance = torch.unflatten(x, 0, (group, n // group)).var(0, unbiased=False)  # [N / group, C, H, W]
    spread = (variance + STD_EPSILON).sqrt().mean((1, 2, 3)).repeat(group)  # [N]
    return torch.cat([x, spread[:, None, None, None].expand(n, 1, height, width)], 1)
