"""Convolutions in whole numbers of 8 bits, for engines that multiply those faster.

Torch computes here what such an engine does, in float32: `fake_quantize` rounds and scales back, and an
engine that meets it before a convolution multiplies whole numbers instead.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_STEPS = 127  # from 0 to the largest value
_LEAST = 1e-4  # a largest value below it counts as this, which float16 still holds


def largest(x: Tensor) -> Tensor:
    """The largest |x| of every channel [N, C, 1, 1] of activations [N, C, H, W]."""
    # Without `abs`, which would be a pass more.
    return torch.maximum(x.amax((2, 3), keepdim=True), -x.amin((2, 3), keepdim=True))


def limit(x: Tensor) -> Tensor:
    """What activations [N, C, H, W], or their largest values, are divided by [N, 1, 1, 1], above 0."""
    return x.amax((1, 2, 3), keepdim=True).clamp(min=_LEAST)


def rounded(x: Tensor) -> Tensor:
    """Numbers in [-1, 1], to the nearest multiple of 1 / 127."""
    # From -128, which is never met: engines know this range, and take other numbers for a narrower one.
    return torch.fake_quantize_per_tensor_affine(x, 1 / _STEPS, 0, -_STEPS - 1, _STEPS)


def rounded_weight(weight: Tensor, dim: int = 0) -> Tensor:
    """A kernel whose every filter, along `dim`, has 127 steps up to its largest number."""
    others = [i for i in range(weight.ndim) if i != dim]
    scale = weight.detach().abs().amax(others).clamp(min=torch.finfo(torch.float32).tiny) / _STEPS
    zeros = torch.zeros(len(scale), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, dim, -_STEPS, _STEPS)


class Int8Conv2d(nn.Conv2d):
    """A convolution that is exact, or with `int8` in whole numbers, scaled by the largest of its input."""

    int8 = False

    def forward(self, x: Tensor) -> Tensor:
        """As `nn.Conv2d`."""
        if not self.int8:
            return super().forward(x)
        scale = limit(largest(x))
        y = F.conv2d(rounded(x / scale), rounded_weight(self.weight), None, self.stride, self.padding) * scale
        return y if self.bias is None else y + self.bias[:, None, None]
