"""Resampling with StyleGAN2's FIR filter [1, 3, 3, 1] / 8, along each axis."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.checks import check_shape
from stylegan2.errors import ShapeError

FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


def _fir_axis(x: Tensor, dim: int, gain: float) -> Tensor:
    # A sum of shifted slices: compilers fuse it with what follows, where a depthwise convolution stays a
    # kernel.
    n = x.shape[dim] - 3
    outer = x.narrow(dim, 0, n) + x.narrow(dim, 3, n)
    inner = x.narrow(dim, 1, n) + x.narrow(dim, 2, n)
    return outer * (gain / 8) + inner * (gain * 3 / 8)


def blur_after_up(x: Tensor) -> Tensor:
    """Low-pass the output of a stride-2 transposed 3 x 3 convolution.

    Pad 1, gain 4: zeros were inserted on two axes.

    Args:
        x: [N, C, 2H + 1, 2W + 1].

    Returns:
        [N, C, 2H, 2W].
    """
    return _fir_axis(_fir_axis(F.pad(x, (1, 1, 1, 1)), 2, 2.0), 3, 2.0)


def blur_weight(channels: int) -> Tensor:
    """`blur_after_up` as the weight [C, 1, 4, 4] of a depthwise convolution with padding 1.

    To engines that run one operation after the other, as OpenVINO and torch without a compiler, it is one
    kernel instead of six.
    """
    taps = torch.tensor(FIR_TAPS) / 4  # gain 2 on each axis
    return torch.outer(taps, taps).expand(channels, 1, 4, 4).clone()


def blur_before_down(x: Tensor) -> Tensor:
    """Low-pass the input of a stride-2 3 x 3 convolution without padding: pad 2, gain 1.

    Args:
        x: [N, C, H, W].

    Returns:
        [N, C, H + 1, W + 1].
    """
    return _fir_axis(_fir_axis(F.pad(x, (2, 2, 2, 2)), 2, 1.0), 3, 1.0)


def downsample2d(x: Tensor) -> Tensor:
    """Halve the resolution: pad 1, filter, keep every second sample.

    Only the samples that are kept are computed.

    Args:
        x: [N, C, H, W], H and W even.

    Returns:
        [N, C, H/2, W/2].

    Raises:
        ShapeError: `x` is not four-dimensional, or a side is odd.
    """
    check_shape("x", x, "N", "C", "H", "W")
    if x.shape[2] % 2 or x.shape[3] % 2:
        raise ShapeError("x", tuple(x.shape), "[N, C, H, W] with H and W even")
    return _halve_axis(_halve_axis(F.pad(x, (1, 1, 1, 1)), 2), 3)


def _halve_axis(x: Tensor, dim: int) -> Tensor:
    # Pairs of neighbours: tap 0 and 1 of the filter lie in one pair, tap 2 and 3 in the next.
    first, second = torch.unflatten(x, dim, (-1, 2)).unbind(dim + 1)
    n = first.shape[dim] - 1
    outer = first.narrow(dim, 0, n) + second.narrow(dim, 1, n)
    inner = second.narrow(dim, 0, n) + first.narrow(dim, 1, n)
    return outer * (1 / 8) + inner * (3 / 8)


def upsample2d(x: Tensor) -> Tensor:
    """Double the resolution as the RGB skip does: insert zeros, pad (2, 1), filter, gain 4.

    Written as its two polyphase filters per axis, [1, 3] / 4 and [3, 1] / 4, on the low-resolution input.

    Args:
        x: [N, C, H, W].

    Returns:
        [N, C, 2H, 2W].

    Raises:
        ShapeError: `x` is not four-dimensional.
    """
    check_shape("x", x, "N", "C", "H", "W")
    return _double_axis(_double_axis(F.pad(x, (1, 1, 1, 1)), 2), 3)


def _double_axis(x: Tensor, dim: int) -> Tensor:
    n = x.shape[dim] - 2
    before, here, after = (x.narrow(dim, i, n) for i in range(3))
    pair = torch.stack((before * 0.25 + here * 0.75, here * 0.75 + after * 0.25), dim + 1)
    return pair.flatten(dim, dim + 1)


def upfirdn2d_reference(x: Tensor, up: int, pad: tuple[int, int], gain: float, down: int = 1) -> Tensor:
    """Slow twin of all: insert zeros, pad, filter with the two-dimensional kernel, drop samples.

    Args:
        x: [N, C, H, W].
        up: Upsampling factor; `up - 1` zeros follow every sample.
        pad: Zeros before and after, on both axes, counted after upsampling.
        gain: Factor on the kernel, whose sum is one.
        down: Of `down` filtered samples the first is kept, on both axes.

    Returns:
        [N, C, H * up + sum(pad) - 3, W * up + sum(pad) - 3], both sides divided by `down`, rounded up.
    """
    n, c, height, width = x.shape
    y = x.new_zeros(n, c, height * up, width * up)
    y[:, :, ::up, ::up] = x
    y = F.pad(y, (pad[0], pad[1], pad[0], pad[1]))
    taps = torch.tensor(FIR_TAPS, dtype=x.dtype, device=x.device)
    kernel = torch.outer(taps, taps)
    kernel = kernel / kernel.sum() * gain
    filtered = F.conv2d(y.reshape(n * c, 1, *y.shape[2:]), kernel[None, None])
    return filtered.reshape(n, c, *filtered.shape[2:])[:, :, ::down, ::down]
