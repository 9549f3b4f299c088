import cv2
import numpy as np
import pytest
import torch

from stylegan2.image import shrink


@pytest.mark.parametrize(("size", "side"), [(12, 4), (12, 5), (40, 13), (7, 6)])
def test_shrinking_is_the_mean_over_true_areas(size, side):
    img = torch.rand(2, 3, size, size)
    expected = [
        cv2.resize(each.permute(1, 2, 0).numpy(), (side, side), interpolation=cv2.INTER_AREA) for each in img
    ]
    found = shrink(img, side)
    torch.testing.assert_close(
        found.permute(0, 2, 3, 1), torch.from_numpy(np.stack(expected)), atol=1e-5, rtol=0
    )
    assert torch.allclose(found.mean((2, 3)), img.mean((2, 3)), atol=1e-5)


def test_shrinking_passes_gradients_and_leaves_a_fitting_picture_alone():
    img = torch.rand(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: shrink(x, 3), (img,))
    assert shrink(img, 5) is img
