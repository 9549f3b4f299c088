import pytest
import torch
import torch.nn.functional as F

from stylegan2.errors import ShapeError
from train.losses.detail import detail_distance, detail_share, local_detail


@pytest.fixture
def img():
    return torch.rand(2, 3, 32, 32) * 2 - 1


def blurred(img):
    return F.avg_pool2d(F.pad(img, (1, 1, 1, 1), mode="replicate"), 3, 1)


def test_a_checkerboard_is_all_in_the_finest_octave():
    """Halving averages it away: the first octave holds it whole, the next is empty."""
    board = 0.5 * (-1.0) ** (torch.arange(32)[:, None] + torch.arange(32))
    fine, coarse = local_detail(board.expand(1, 3, 32, 32), 8)
    torch.testing.assert_close(fine, torch.full((1, 1, 4, 4), 0.5))
    assert (coarse.shape, coarse.max() < 0.002) == ((1, 1, 2, 2), True)


def test_detail_is_told_place_by_place(img):
    still = img.clone()
    still[..., :8, :8] = 0
    (before, _), (after, _) = local_detail(img, 8), local_detail(still, 8)
    assert after[0, 0, 0, 0] < 0.1 * before[0, 0, 0, 0]
    torch.testing.assert_close(after[..., 2:, 2:], before[..., 2:, 2:])


def test_where_a_detail_lies_within_its_window_does_not_count():
    points, moved = -torch.ones(2, 1, 3, 32, 32)
    points, moved = points.clone(), moved.clone()
    points[..., 3::8, 3::8] = 1
    moved[..., 5::8, 5::8] = 1
    assert detail_distance(moved, points, 8) < 0.01  # not 0: the border has fewer neighbours
    assert (moved - points).square().mean() > 0.1


def test_the_softer_a_picture_the_further_it_is(img):
    once, twice = blurred(img), blurred(blurred(img))
    distances = [detail_distance(x, img, 8).item() for x in (img, once, twice, torch.zeros_like(img))]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert distances[-1] == pytest.approx(1, abs=0.02)


def test_a_share_is_told_of_every_picture_and_octave(img):
    soft = blurred(img)
    shares = detail_share(torch.cat([soft, img]), torch.cat([img, soft]))
    assert shares.shape == (4, 2)
    assert (shares[:2] < 0.8).all()
    torch.testing.assert_close(shares[2:], 1 / shares[:2])
    assert (shares[0, 0] < shares[0, 1]).item()  # a blur takes the finest first


def test_gradients_sharpen_and_are_finite_on_flat_pictures(img):
    soft = blurred(img).requires_grad_()
    distance = detail_distance(soft, img, 8)
    (slope,) = torch.autograd.grad(distance, soft)
    assert detail_distance(soft - 20 * slope, img, 8) < distance
    assert (detail_share(soft - 20 * slope, img) > detail_share(soft, img)).all()
    flat = torch.zeros_like(img).requires_grad_()
    detail_distance(flat, img, 8).backward()
    assert flat.grad.isfinite().all()
    double = img[:1, :, :16, :16].double()
    assert torch.autograd.gradcheck(lambda x: detail_distance(x, double, 8), blurred(double).requires_grad_())


def test_wrong_shapes_are_refused(img):
    with pytest.raises(ShapeError, match=r"H and W multiples of 16"):
        local_detail(img[..., :24], 8)
    with pytest.raises(ShapeError, match=r"target: expected \[2, 3, 32, 32\]"):
        detail_distance(img, img[..., :16], 8)
    with pytest.raises(ShapeError, match=r"before: expected \[2, 3, 32, 32\]"):
        detail_share(img, img[:1])
