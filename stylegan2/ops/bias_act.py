"""Add a bias, apply the leaky ReLU and keep the variance."""

import math

import torch.nn.functional as F
from torch import Tensor

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2)


def bias_lrelu(x: Tensor, bias: Tensor, gain: float = LRELU_GAIN) -> Tensor:
    """`gain * lrelu(x + bias)` with slope 0.2, the activation of every StyleGAN2 layer.

    Args:
        x: Activations [N, C, ...].
        bias: One value per channel [C].
        gain: sqrt(2) keeps the second moment of a unit normal input.

    Returns:
        The shape and dtype of `x`.
    """
    shape = [1, -1] + [1] * (x.ndim - 2)
    return F.leaky_relu(x + bias.to(x.dtype).reshape(shape), LRELU_SLOPE) * gain


def bias_lrelu_reference(x: Tensor, bias: Tensor, gain: float = LRELU_GAIN) -> Tensor:
    """Slow twin of `bias_lrelu`, channel by channel."""
    y = x.clone()
    for c in range(x.shape[1]):
        value = x[:, c] + bias[c]
        y[:, c] = gain * (value.clamp(min=0) + LRELU_SLOPE * value.clamp(max=0))
    return y
