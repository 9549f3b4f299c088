import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from stylegan2.errors import ShapeError
from stylegan2.ops.bias_act import bias_lrelu, bias_lrelu_reference
from stylegan2.ops.modulated_conv import modulated_conv2d, modulated_conv2d_reference
from stylegan2.ops.upfirdn2d import (
    blur_after_up,
    blur_before_down,
    blur_weight,
    downsample2d,
    upfirdn2d_reference,
    upsample2d,
)


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (3, 2, 5, 7)])
def test_upsample2d_equals_its_slow_twin(shape):
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(upsample2d(x), upfirdn2d_reference(x, up=2, pad=(2, 1), gain=4.0))


def test_blur_equals_its_slow_twin():
    x = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    blurred = upfirdn2d_reference(x, up=1, pad=(1, 1), gain=4.0)
    torch.testing.assert_close(blur_after_up(x), blurred)
    channels = x.shape[1]
    torch.testing.assert_close(F.conv2d(x, blur_weight(channels).to(x), padding=1, groups=channels), blurred)


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (3, 2, 6, 10)])
def test_downsample2d_equals_its_slow_twin(shape):
    x = torch.randn(shape, dtype=torch.float64)
    slow = upfirdn2d_reference(x, up=1, pad=(1, 1), gain=1.0, down=2)
    assert slow.shape == (*shape[:2], shape[2] // 2, shape[3] // 2)
    torch.testing.assert_close(downsample2d(x), slow)


def test_blur_before_a_strided_convolution_equals_its_slow_twin():
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    torch.testing.assert_close(blur_before_down(x), upfirdn2d_reference(x, up=1, pad=(2, 2), gain=1.0))


def test_downsampling_keeps_a_flat_picture_flat_inside():
    down = downsample2d(torch.full((1, 1, 12, 12), 3.0))
    torch.testing.assert_close(down[..., 1:-1, 1:-1], torch.full((1, 1, 4, 4), 3.0))


def test_downsampling_gradients():
    x = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert gradcheck(downsample2d, (x,))


@pytest.mark.parametrize("shape", [(1, 3, 5, 4), (1, 3, 4, 5), (3, 4, 4)])
def test_downsampling_refuses_odd_sides_and_other_axes(shape):
    with pytest.raises(ShapeError, match="x: expected"):
        downsample2d(torch.zeros(shape))


def test_upsampling_keeps_a_flat_picture_flat_inside():
    up = upsample2d(torch.full((1, 1, 6, 6), 3.0))
    torch.testing.assert_close(up[..., 2:-2, 2:-2], torch.full((1, 1, 8, 8), 3.0))


def test_bias_lrelu_equals_its_slow_twin():
    x, bias = torch.randn(2, 3, 4, 4), torch.randn(3)
    torch.testing.assert_close(bias_lrelu(x, bias), bias_lrelu_reference(x, bias))


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_modulated_conv_equals_its_slow_twin(up, demodulate, batch):
    x = torch.randn(batch, 4, 5, 5, dtype=torch.float64)
    weight = torch.randn(6, 4, 3, 3, dtype=torch.float64)
    styles = torch.randn(batch, 4, dtype=torch.float64)
    fast = modulated_conv2d(x, weight, styles, demodulate=demodulate, up=up)
    slow = modulated_conv2d_reference(x, weight, styles, demodulate=demodulate, up=up)
    torch.testing.assert_close(fast, slow)


def test_demodulation_cancels_a_common_style_gain():
    x, weight, styles = torch.randn(2, 4, 5, 5), torch.randn(6, 4, 3, 3), torch.rand(2, 4) + 0.5
    torch.testing.assert_close(modulated_conv2d(x, weight, styles), modulated_conv2d(x, weight, styles * 7))


def test_without_demodulation_the_gain_shows():
    x, weight, styles = torch.randn(1, 4, 5, 5), torch.randn(6, 4, 3, 3), torch.rand(1, 4) + 0.5
    once = modulated_conv2d(x, weight, styles, demodulate=False)
    torch.testing.assert_close(modulated_conv2d(x, weight, styles * 7, demodulate=False), once * 7)


@pytest.mark.parametrize("up", [False, True])
def test_modulated_conv_gradients(up):
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    styles = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda *args: modulated_conv2d(*args, up=up), (x, weight, styles))


def test_upsample2d_gradients():
    assert gradcheck(upsample2d, torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize(
    ("shapes", "name"),
    [
        (((1, 4, 5, 5), (6, 4, 3), (1, 4)), "weight"),
        (((1, 3, 5, 5), (6, 4, 3, 3), (1, 4)), "x"),
        (((2, 4, 5, 5), (6, 4, 3, 3), (1, 4)), "styles"),
    ],
)
def test_modulated_conv_names_the_wrong_shape(shapes, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        modulated_conv2d(*(torch.zeros(shape) for shape in shapes))
