import pytest
import torch

from stylegan2.errors import ShapeError
from train.core.seeds import positioned_generator
from train.gan.ada import LARGEST_P, AdaptiveProbability, _resample, _shift, _turn, augment


def pictures(n=6, side=16):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def changed(before, after):
    return (before != after).flatten(1).any(1)


def test_with_p_0_every_picture_passes_bit_for_bit():
    img = pictures(64)
    for seed in range(3):
        assert torch.equal(augment(img, 0.0, positioned_generator(seed)), img)


def test_with_p_1_every_picture_changes_and_each_in_its_own_way():
    img = pictures(1).expand(8, -1, -1, -1)
    out = augment(img, 1.0, positioned_generator(0))
    assert out.shape == img.shape
    assert changed(img, out).all()
    assert not any(torch.equal(out[0], other) for other in out[1:])


def test_the_share_of_changed_pictures_follows_p():
    img = pictures(2000, side=4)
    p = 0.1
    # Translations by a share of 4 px mostly round to 0, so of the seven kinds that one hardly shows; a turn
    # by no quarter, one in four, does not show either.
    share = changed(img, augment(img, p, positioned_generator(1))).float().mean().item()
    assert share == pytest.approx(1 - (1 - 0.75 * p) * (1 - p) ** 5, abs=0.03)


def test_the_same_position_draws_the_same_changes_and_another_does_not():
    img = pictures()
    first = augment(img, 0.5, positioned_generator(0, 1))
    assert torch.equal(first, augment(img, 0.5, positioned_generator(0, 1)))
    assert not torch.equal(first, augment(img, 0.5, positioned_generator(0, 2)))


def test_gradients_flow_to_every_picture():
    img = pictures().requires_grad_()
    augment(img, 1.0, positioned_generator(3)).square().sum().backward()
    assert (img.grad.flatten(1).abs().sum(1) > 0).all()
    assert img.grad.isfinite().all()


def test_gradients_equal_finite_differences():
    img = pictures(2, side=4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augment(x, 0.9, positioned_generator(5)), (img,))


def test_turns_are_those_of_rot90():
    img = pictures(4)
    out = _turn(img, torch.tensor([0, 1, 2, 3]))
    for count in range(4):
        assert torch.equal(out[count], img[count].rot90(count, (1, 2)))


def test_shifts_move_pixels_and_reflect_edges():
    img = torch.arange(16.0).reshape(1, 1, 4, 4).expand(2, 3, 4, 4)
    out = _shift(img, torch.tensor([[1, -1], [0, 2]]))
    assert torch.equal(out[0, 0], img[0, 0][[1, 0, 1, 2]])
    assert torch.equal(out[1, 0], img[1, 0][[1, 2, 3, 2]][:, [2, 1, 0, 1]])


def test_a_quarter_turn_by_resampling_is_a_turn_of_the_pixels():
    img, one = pictures(1), torch.ones(1)
    met = torch.tensor([[False], [True]])
    turned = _resample(img, one, one * torch.pi / 2, met)
    expected = img.rot90(1, (2, 3)), img.rot90(3, (2, 3))
    assert any(torch.allclose(turned, each, atol=1e-4) for each in expected)
    torch.testing.assert_close(_resample(img, one, one * torch.pi / 2, ~met), img, atol=1e-5, rtol=0)


def test_enlarging_by_two_shows_the_middle():
    img = pictures(1, side=16)
    flat = torch.zeros_like(img)
    flat[..., 4:12, 4:12] = 1.0
    out = _resample(flat, torch.tensor([2.0]), torch.zeros(1), torch.tensor([[True], [False]]))
    torch.testing.assert_close(out[..., 1:-1, 1:-1], torch.ones(1, 3, 14, 14))


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 1, 8, 8), (2, 3, 8, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ShapeError, match=r"^img: expected"):
        augment(torch.zeros(shape), 0.5, positioned_generator(0))


def probability(**changes):
    return AdaptiveProbability(**{"target": 0.6, "start": 0.2, "kimg": 1.0, "every": 2, **changes})


def test_p_rises_while_the_discriminator_is_too_sure_and_falls_while_it_is_not():
    adaptive = probability()
    sure, unsure = torch.ones(10, 1), torch.tensor([[1.0]] * 7 + [[-1.0]] * 3)  # r_t 1.0 and 0.4
    adaptive.observe(sure)
    assert adaptive.p == 0.2  # two batches make a change
    adaptive.observe(sure)
    assert adaptive.p == pytest.approx(0.2 + 20 / 1000)
    for _ in range(4):
        adaptive.observe(unsure)
    assert adaptive.p == pytest.approx(0.2 - 20 / 1000)


def test_p_rests_at_the_target_and_where_there_is_none():
    for adaptive, sign in ((probability(target=1.0), 1.0), (probability(target=None), 1.0)):
        for _ in range(4):
            adaptive.observe(torch.full((10, 1), sign))
        assert adaptive.p == 0.2


def test_p_stays_in_its_range():
    for sign, end in ((1.0, LARGEST_P), (-1.0, 0.0)):
        adaptive = probability(kimg=0.02)
        for _ in range(6):
            adaptive.observe(torch.full((10, 1), sign))
        assert adaptive.p == end


def test_p_goes_on_where_its_state_was_taken():
    whole, broken = probability(), probability()
    batches = [torch.randn(10, 1) + 0.5 for _ in range(7)]
    for batch in batches:
        whole.observe(batch)
    for batch in batches[:3]:
        broken.observe(batch)
    resumed = probability(start=0.0)
    resumed.load_state_dict(broken.state_dict())
    for batch in batches[3:]:
        resumed.observe(batch)
    assert resumed.state_dict() == whole.state_dict()
