"""Layers with equalised learning rate: weights are stored unit normal and scaled when used."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.ops.bias_act import bias_lrelu
from stylegan2.ops.modulated_conv import modulated_conv2d

NOISE_MODES = ("const", "random", "none")


def unit_normal(*shape: int, divided_by: float = 1.0) -> Tensor:
    """What weights start from; where shapes alone are asked for, on the meta device, nothing is drawn.

    torch would load its whole library of decompositions there, for which a start has to wait a second.
    """
    if torch.get_default_device().type == "meta":
        return torch.empty(shape)
    return torch.randn(shape).div_(divided_by)


class FullyConnectedLayer(nn.Module):
    """x [N, I] -> [N, O], optionally with the leaky ReLU."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activate: bool = False,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(unit_normal(out_features, in_features, divided_by=lr_multiplier))
        self.bias = nn.Parameter(torch.full([out_features], bias_init / lr_multiplier))
        self.activate = activate
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` [N, I] to [N, O]."""
        y = F.linear(x, self.weight * self.weight_gain)
        bias = self.bias * self.bias_gain
        return bias_lrelu(y, bias) if self.activate else y + bias


class SynthesisLayer(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias, leaky ReLU."""

    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        up: bool = False,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.up = up
        self.conv_clamp = conv_clamp
        self.resolution = resolution
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(unit_normal(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", unit_normal(resolution, resolution))
        self.weight_gain = 1 / math.sqrt(in_channels * 9)

    def forward(self, x: Tensor, w: Tensor, noise_mode: str = "const") -> Tensor:
        """Next activation.

        Args:
            x: [N, I, H, W].
            w: This layer's style [N, w_dim].
            noise_mode: "const" (the stored picture), "random" (fresh per sample), "none".

        Returns:
            [N, O, resolution, resolution].
        """
        x = modulated_conv2d(x, self.weight * self.weight_gain, self.affine(w), up=self.up)
        if noise_mode == "random":
            x = x + torch.randn_like(x[:, :1]) * self.noise_strength
        elif noise_mode == "const":
            x = x + self.noise_const * self.noise_strength
        return clamped(bias_lrelu(x, self.bias), self.conv_clamp)


class ToRGBLayer(nn.Module):
    """Modulated 1 x 1 convolution to three colours, without demodulation."""

    def __init__(self, in_channels: int, w_dim: int, *, conv_clamp: float | None = None) -> None:
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(unit_normal(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Colours [N, 3, H, W] of the activation `x` [N, I, H, W] under the style `w` [N, w_dim]."""
        styles = self.affine(w)
        colours = modulated_conv2d(x, self.weight * self.weight_gain, styles, demodulate=False)
        return clamped(colours + self.bias[:, None, None], self.conv_clamp)


def clamped(x: Tensor, limit: float | None) -> Tensor:
    """`x` within +-limit; as it is where there is no limit."""
    return x if limit is None else x.clamp(-limit, limit)
