import pytest
import torch
import torch.nn.functional as F

from stylegan2.errors import ShapeError
from train.core.seeds import positioned_generator
from train.data.augment import flip, jitter
from train.encoder.config import LossWeights
from train.encoder.stage import weighted_sum
from train.losses.terms import focused_l2, identity_loss, latent_prior, latent_regression, pixel_l2, pooled_l2


def pictures(n=2, size=8):
    rng = torch.Generator().manual_seed(0)
    return torch.rand(2, n, 3, size, size, generator=rng, dtype=torch.float64) * 2 - 1


def latents(n=3, width=5):
    rng = torch.Generator().manual_seed(1)
    return torch.randn(2, n, width, generator=rng, dtype=torch.float64)


STD = torch.tensor(0.5, dtype=torch.float64)


def test_pixel_l2_equals_the_sum_over_all_values():
    a, b = pictures()
    expected = (
        sum((p - q) ** 2 for p, q in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)) / a.numel()
    )
    assert pixel_l2(a, b).item() == pytest.approx(expected)
    assert pixel_l2(a, a).item() == 0


def test_focused_l2_weighs_what_an_edit_changes():
    (a, b), (before, _) = pictures(size=16), pictures(size=16)
    assert focused_l2(a, b, b, 5.0).item() == pytest.approx(pixel_l2(a, b).item())  # nothing changed
    assert focused_l2(a, b, before, 0.0).item() == pytest.approx(pixel_l2(a, b).item())
    everywhere = b - 2  # far beyond what counts in full; a border of 4 pixels averages zeros in
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    expected = 6 * (a - b)[inner].square().sum() / a.numel()
    outer = torch.ones_like(a)
    outer[inner] = 0
    found = focused_l2(a, torch.where(outer.bool(), a, b), everywhere, 5.0)
    assert found.item() == pytest.approx(expected.item())
    with pytest.raises(ShapeError, match="before"):
        focused_l2(a, b, before[:1], 1.0)


def test_pooled_l2_compares_block_means():
    a, b = pictures()
    blocks = (a - b).reshape(2, 3, 2, 4, 2, 4).mean((3, 5))
    assert pooled_l2(a, b, 4).item() == pytest.approx(blocks.square().mean().item())
    assert pooled_l2(a, b, 1).item() == pytest.approx(pixel_l2(a, b).item())


def test_pooled_l2_ignores_what_averages_out_in_a_block():
    a, _ = pictures()
    checker = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64).repeat(4, 4) * 0.1
    assert pooled_l2(a + checker, a, 2).item() == pytest.approx(0, abs=1e-20)
    assert pixel_l2(a + checker, a).item() == pytest.approx(0.01)


def test_latent_terms_are_measured_in_units_of_the_spread():
    a, b = latents()
    assert latent_regression(a, b, STD).item() == pytest.approx(4 * F.mse_loss(a, b).item())
    assert latent_prior(a, b[0], STD).item() == pytest.approx(4 * (a - b[0]).square().mean().item())
    assert latent_prior(b[:1], b[0], STD).item() == 0


def test_identity_loss_of_equal_opposite_and_orthogonal_faces():
    e = torch.eye(4, dtype=torch.float64)
    assert identity_loss(e, e).item() == 0
    assert identity_loss(e, -e).item() == 2
    assert identity_loss(e, e.roll(1, 0)).item() == 1


@pytest.mark.parametrize(
    "term",
    [
        lambda a, b, w, v: pixel_l2(a, b),
        lambda a, b, w, v: pooled_l2(a, b, 2),
        lambda a, b, w, v: latent_regression(w, v, STD),
        lambda a, b, w, v: latent_prior(w, v[0], STD),
        lambda a, b, w, v: identity_loss(w, v),
    ],
)
def test_gradients_are_right(term):
    (a, b), (w, v) = pictures(1, 4), latents()
    assert torch.autograd.gradcheck(term, [t.clone().requires_grad_() for t in (a, b, w, v)])


@pytest.mark.parametrize(
    "call",
    [
        lambda: pixel_l2(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5)),
        lambda: pooled_l2(torch.zeros(1, 3, 4, 4), torch.zeros(2, 3, 4, 4), 2),
        lambda: pooled_l2(torch.zeros(1, 3, 4, 6), torch.zeros(1, 3, 4, 6), 4),
        lambda: latent_regression(torch.zeros(2, 3), torch.zeros(2, 4), STD),
        lambda: latent_prior(torch.zeros(2, 3), torch.zeros(4), STD),
        lambda: identity_loss(torch.zeros(2, 3), torch.zeros(1, 3)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call):
    with pytest.raises(ShapeError):
        call()


def test_the_weighted_sum_uses_every_weight():
    terms = {"l2": torch.tensor(2.0), "latent": torch.tensor(3.0)}
    assert weighted_sum(terms, LossWeights(l2=0.5, latent=2.0, identity=9.0)).item() == 7.0


def test_flip_mirrors_about_half_of_the_pictures_and_leaves_the_rest():
    img = torch.rand(200, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    out = flip(img, positioned_generator(0, 1))
    mirrored = (out == img.flip(3)).flatten(1).all(1)
    assert ((out == img).flatten(1).all(1) ^ mirrored).all()
    assert 70 < mirrored.sum() < 130


def test_jitter_stays_small_and_follows_its_generator():
    img = torch.zeros(4, 3, 16, 16)
    out = jitter(img, positioned_generator(0, 1))
    assert torch.equal(out, jitter(img, positioned_generator(0, 1)))
    assert not torch.equal(out, jitter(img, positioned_generator(0, 2)))
    assert 0 < out.abs().max() < 0.25


def test_positions_give_unrelated_numbers():
    """Zeros at the end, and numbers that fill more than 32 bits, are told apart too."""
    positions = (
        (0, 1),
        (0, 1, 0),
        (0, 1, 0, 0),
        (0, 1, 2),
        (0, 2, 1),
        (1, 1, 2),
        (2**32, 1, 2),
        (0, 2**32 + 1),
    )
    draws = [torch.randn(1000, generator=positioned_generator(*p)) for p in positions]
    assert torch.corrcoef(torch.stack(draws)).fill_diagonal_(0).abs().max() < 0.15
    assert torch.equal(draws[0], torch.randn(1000, generator=positioned_generator(0, 1)))
