"""Style-modulated convolution, the core of StyleGAN2."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.checks import check_shape
from stylegan2.ops.upfirdn2d import blur_after_up, upfirdn2d_reference


def demodulation(styles: Tensor, energy: Tensor) -> Tensor:
    """Factors that give every output filter unit norm: `rsqrt(sum_i s_i^2 sum_k w_iok^2 + 1e-8)`.

    Args:
        styles: s [N, I].
        energy: Squared kernel summed over its window [O, I].

    Returns:
        [N, O].
    """
    return torch.rsqrt(styles.square() @ energy.t() + 1e-8)


def modulated_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool = True, up: bool = False
) -> Tensor:
    """Convolve every sample with its own style-scaled kernel.

    Weight (de)modulation of Karras et al. 2020 (arXiv:1912.04958), Eq. 1 and 3:

        w'_iok  = s_i * w_iok
        w''_iok = w'_iok / sqrt(sum_{i,k} w'_iok^2 + 1e-8)

    applied to the activations instead (scale the input by s, the output by the norm), which is the same
    function and lets one shared kernel serve the whole batch.

    Args:
        x: Activations [N, I, H, W], floating point.
        weight: Shared kernel [O, I, K, K], K odd, equalised scale already applied; "same" zero padding.
        styles: Per-sample input scales s [N, I], unbounded, around 1.
        demodulate: Normalise each output filter to unit L2 norm (off in ToRGB).
        up: Double the resolution: transposed convolution with stride 2, then the FIR filter. K must be 3.

    Returns:
        [N, O, H, W], or [N, O, 2H, 2W] with `up`; dtype of `x`.

    Raises:
        ShapeError: An argument does not have the shape above.
    """
    check_shape("weight", weight, "O", "I", "K", "K")
    in_channels, kernel = weight.shape[1], weight.shape[2]
    check_shape("x", x, "N", in_channels, "H", "W")
    check_shape("styles", styles, x.shape[0], in_channels)
    x = x * styles[:, :, None, None].to(x.dtype)
    kernel_weight = weight.to(x.dtype)
    if up:
        x = blur_after_up(F.conv_transpose2d(x, kernel_weight.transpose(0, 1), stride=2))
    else:
        x = F.conv2d(x, kernel_weight, padding=kernel // 2)
    if demodulate:
        factors = demodulation(styles, weight.square().sum((2, 3)))
        x = x * factors[:, :, None, None].to(x.dtype)
    return x


def modulated_conv2d_reference(
    x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool = True, up: bool = False
) -> Tensor:
    """Slow twin of `modulated_conv2d`: build each sample's kernel literally and convolve sample by sample."""
    images = []
    for sample, style in zip(x, styles, strict=True):
        kernel = weight * style[None, :, None, None]
        if demodulate:
            kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            wide = F.conv_transpose2d(sample[None], kernel.transpose(0, 1), stride=2)
            images.append(upfirdn2d_reference(wide, up=1, pad=(1, 1), gain=4.0))
        else:
            images.append(F.conv2d(sample[None], kernel, padding=weight.shape[2] // 2))
    return torch.cat(images)
