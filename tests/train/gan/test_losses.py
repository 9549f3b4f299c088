import math

import pytest
import torch
from torch.autograd import gradcheck

from editor.parts.efficientnet import EfficientNetLite0Features
from stylegan2.errors import ConfigError, ShapeError
from train.core.optim import LazyAdam
from train.gan.discriminator import ConvLayer, Discriminator, append_spread
from train.gan.feature_distance import feature_statistics, frechet_distance, pooled_features
from train.gan.losses import (
    discriminator_loss,
    generator_loss,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)

CHANNELS = {4: 6, 8: 5, 16: 4, 32: 3}


def test_an_undecided_discriminator_pays_two_ln_2():
    zeros = torch.zeros(3, 1)
    assert discriminator_loss(zeros, zeros).item() == pytest.approx(2 * math.log(2))
    assert generator_loss(zeros).item() == pytest.approx(math.log(2))


def test_the_losses_are_negative_logarithms_of_probabilities():
    real, fake = torch.randn(2, 4, 1, dtype=torch.float64)
    said_real, said_fake = (
        [1 / (1 + math.exp(-v)) for v in each.flatten().tolist()] for each in (real, fake)
    )
    of_real = -sum(map(math.log, said_real)) / 4
    of_fake = -sum(math.log(1 - value) for value in said_fake) / 4
    assert discriminator_loss(real, fake).item() == pytest.approx(of_real + of_fake)
    assert generator_loss(fake).item() == pytest.approx(-sum(map(math.log, said_fake)) / 4)


def test_the_generators_loss_does_not_saturate_where_the_discriminator_is_sure():
    logits = torch.full((1, 1), -20.0, requires_grad=True)
    generator_loss(logits).backward()
    assert logits.grad.item() == pytest.approx(-1)


def test_r1_of_a_linear_discriminator_is_the_square_of_its_weights():
    weight = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    img = torch.randn(5, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty((img * weight).sum((1, 2, 3))[:, None], img, gamma=0.7)
    assert penalty.item() == pytest.approx(0.35 * weight.square().sum().item())
    (slope,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(slope, 0.7 * weight)


def test_r1_of_the_discriminator_equals_finite_differences():
    network = Discriminator({4: 4, 8: 3}, group_size=2).double()
    img = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    step, total = 1e-6, 0.0
    with torch.no_grad():
        for index in range(img.numel()):
            moved = torch.zeros(img.numel(), dtype=torch.float64)
            moved[index] = step
            moved = moved.reshape(img.shape)
            change = network(img + moved).sum() - network(img - moved).sum()
            total += (change.item() / (2 * step)) ** 2
    penalty = r1_penalty(network(img), img, gamma=2.0)
    assert penalty.item() == pytest.approx(total / 2, rel=1e-5)
    penalty.backward()
    assert network.from_rgb.weight.grad.abs().sum() > 0


def test_path_lengths_of_a_linear_generator_are_known():
    matrix = torch.randn(2 * 3, 3 * 4 * 4, dtype=torch.float64, requires_grad=True)
    ws = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(5, 3, 4, 4, dtype=torch.float64)
    lengths = path_lengths((ws.flatten(1) @ matrix).reshape(5, 3, 4, 4), ws, noise)
    pulled = (noise.flatten(1) / 4) @ matrix.T  # J^T y, y divided by sqrt(4 * 4)
    torch.testing.assert_close(lengths, (pulled.square().sum(1) / 2).sqrt())  # mean over two layers
    assert torch.autograd.grad(lengths.sum(), matrix)[0].abs().sum() > 0


def test_the_path_length_penalty_is_the_spread_around_the_mean():
    lengths = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64, requires_grad=True)
    mean = torch.tensor(3.0, dtype=torch.float64)
    assert path_length_penalty(lengths, mean).item() == pytest.approx((4 + 1 + 9) / 3)
    assert gradcheck(path_length_penalty, (lengths, mean))


def test_the_logistic_losses_have_the_right_gradients():
    real, fake = torch.randn(2, 3, 1, dtype=torch.float64).requires_grad_().unbind(0)
    assert gradcheck(discriminator_loss, (real, fake))
    assert gradcheck(generator_loss, (fake,))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: discriminator_loss(torch.zeros(3), torch.zeros(3, 1)), "real_logits"),
        (lambda: discriminator_loss(torch.zeros(3, 1), torch.zeros(3, 2)), "fake_logits"),
        (lambda: generator_loss(torch.zeros(3)), "fake_logits"),
        (lambda: r1_penalty(torch.zeros(2, 1), torch.zeros(2, 3, 4), 1.0), "img"),
        (lambda: r1_penalty(torch.zeros(3, 1), torch.zeros(2, 3, 4, 4), 1.0), "real_logits"),
        (lambda: path_lengths(torch.zeros(2, 3, 4), torch.zeros(2, 1, 3), torch.zeros(2, 3, 4)), "img"),
        (
            lambda: path_lengths(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 3), torch.zeros(2, 3, 4, 2)),
            "noise",
        ),
        (lambda: path_lengths(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3), torch.zeros(2, 3, 4, 4)), "ws"),
        (lambda: path_length_penalty(torch.zeros(2, 1), torch.zeros([])), "lengths"),
        (lambda: path_length_penalty(torch.zeros(2), torch.zeros(1)), "mean"),
        (lambda: append_spread(torch.zeros(2, 3, 4), 2), "x"),
        (lambda: Discriminator(CHANNELS)(torch.zeros(2, 3, 16, 16)), "img"),
        (lambda: feature_statistics(torch.zeros(1, 4)), "features"),
        (lambda: feature_statistics(torch.zeros(4)), "features"),
        (
            lambda: frechet_distance(
                feature_statistics(torch.zeros(3, 2)), feature_statistics(torch.zeros(3, 4))
            ),
            "b.mean",
        ),
    ],
)
def test_other_shapes_are_refused(call, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        call()


@pytest.mark.parametrize("channels", [{}, {4: 8}, {4: 8, 16: 8}, {8: 8, 16: 8}])
def test_a_discriminator_needs_every_resolution(channels):
    with pytest.raises(ConfigError, match=r"channels: .*; must give a width for 4, 8"):
        Discriminator(channels)


@pytest.mark.parametrize("side", [32, 64, 1024])
def test_the_discriminator_judges_pictures_of_its_size(side):
    channels = {4 * 2**i: 2 for i in range(side.bit_length() - 2)}
    logits = Discriminator(channels)(torch.randn(3 if side == 32 else 1, 3, side, side))
    assert logits.shape == (3 if side == 32 else 1, 1)
    assert logits.isfinite().all()


def test_layers_keep_the_second_moment():
    torch.manual_seed(0)
    x = torch.randn(4, 32, 16, 16)
    assert ConvLayer(32, 64, 3)(x).square().mean().item() == pytest.approx(1, rel=0.2)


def test_the_discriminator_has_the_right_gradients():
    network = Discriminator({4: 3, 8: 2}, group_size=2).double()
    img = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert gradcheck(network, (img,))


def spread_reference(x, group):
    """The last channel, group by group: group i holds pictures i, i + N / group, ..."""
    count = len(x) // group
    maps = torch.empty(len(x))
    for i in range(count):
        members = x[i::count]
        deviation = ((members - members.mean(0)) ** 2).mean(0)
        maps[i::count] = (deviation + 1e-8).sqrt().mean()
    return maps


@pytest.mark.parametrize(("n", "size", "group"), [(8, 4, 4), (6, 4, 3), (5, 4, 1), (2, 4, 2)])
def test_the_spread_equals_its_slow_twin(n, size, group):
    x = torch.randn(n, 3, 4, 4)
    out = append_spread(x, size)
    assert torch.equal(out[:, :3], x)
    expected = spread_reference(x, group)[:, None, None].expand(n, 4, 4)
    torch.testing.assert_close(out[:, 3], expected)


def test_equal_pictures_have_no_spread():
    assert append_spread(torch.randn(1, 3, 4, 4).expand(4, -1, -1, -1), 4)[:, 3].max() < 2e-4


def test_a_lazy_penalty_slows_the_optimiser_and_an_update_goes_downhill():
    module = torch.nn.Linear(2, 1, bias=False)
    lazy = LazyAdam(module, 4, betas=(0.5, 0.99))
    assert lazy.factor == pytest.approx(0.8)
    assert lazy.betas == pytest.approx((0.5**0.8, 0.99**0.8))
    assert LazyAdam(module, None).betas == (0.0, 0.99)
    before = module.weight.detach().clone()
    lazy.minimise(lambda: {"total": module.weight.sum()}, lr=0.1)
    torch.testing.assert_close(before - module.weight, torch.full((1, 2), 0.08))  # Adam's first step is lr


def test_several_passes_make_one_update_down_their_mean_gradient():
    module = torch.nn.Linear(2, 1, bias=False)
    lazy, before = LazyAdam(module, None, betas=(0.0, 0.0)), module.weight.detach().clone()
    slopes = [torch.tensor([[1.0, -4.0]]), torch.tensor([[1.0, 2.0]])]

    def compute():
        loss = (module.weight * slopes.pop()).sum()
        return {"total": loss, "twice": 2 * loss}

    losses = [(before * slope).sum() for slope in slopes]
    terms = lazy.minimise(compute, 0.1, passes=2)
    torch.testing.assert_close(before - module.weight, torch.tensor([[0.1, -0.1]]))  # Adam's step is the sign
    assert terms["total"].item() == pytest.approx(sum(losses).item() / 2)
    assert terms["twice"].item() == pytest.approx(sum(losses).item())
    assert not terms["total"].requires_grad
    assert module.weight.grad is None


def test_the_frechet_distance_of_independent_features_is_known():
    mean, deviation = torch.tensor([[0.0, 1.0], [2.0, 1.5]]), torch.tensor([[1.0, 2.0], [3.0, 0.5]])
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    a, b = (
        feature_statistics(m + corners * s * math.sqrt(3 / 4)) for m, s in zip(mean, deviation, strict=True)
    )
    expected = 2.0**2 + 0.5**2 + (1 - 3) ** 2 + (2 - 0.5) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected)
    assert frechet_distance(b, a) == pytest.approx(expected)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_the_frechet_distance_of_correlated_features_equals_a_general_matrix_root():
    a, b = (
        feature_statistics(torch.randn(40, 3, dtype=torch.float64) @ torch.randn(3, 3).double()) for _ in "ab"
    )
    values = torch.linalg.eigvals(a.covariance @ b.covariance).real  # a general matrix: no symmetry is used
    spread = a.covariance.trace() + b.covariance.trace() - 2 * values.sqrt().sum()
    expected = (a.mean - b.mean).square().sum() + spread
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-6)


def test_features_are_pooled_over_the_picture():
    network = EfficientNetLite0Features().eval().requires_grad_(False)
    img = torch.rand(3, 3, 32, 32) * 2 - 1
    features = pooled_features(network, img)
    assert (features.shape, features.dtype) == ((3, 672), torch.float64)
    torch.testing.assert_close(features.float(), network(img)[-1].mean((2, 3)))
    assert torch.equal(pooled_features(network, img * 9), pooled_features(network, (img * 9).clamp(-1, 1)))
