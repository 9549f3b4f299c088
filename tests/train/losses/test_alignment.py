import math

import pytest
import torch

from tests.helpers.training import tiny_contrastive_pair
from train.data.augment import mirror
from train.losses.alignment import AlignmentLoss


@pytest.fixture
def contrastive():
    return tiny_contrastive_pair()


def test_it_is_the_contrast_of_the_input_with_w(contrastive):
    img, drawn, w = torch.rand(5, 3, 32, 32) * 2 - 1, torch.rand(5, 3, 32, 32) * 2 - 1, torch.randn(5, 16)
    found = contrastive(img, w)
    logits = found.logit_scale * found.image_emb @ found.latent_emb.T
    own = torch.arange(5)
    expected = (logits.log_softmax(1)[own, own] + logits.log_softmax(0)[own, own]).mean() / -2
    torch.testing.assert_close(AlignmentLoss(contrastive, "input")(img, drawn, w), expected)


def test_gradients_reach_w_from_the_input_and_the_picture_of_w_only_for_comparison(contrastive):
    img = torch.rand(5, 3, 32, 32) * 2 - 1
    drawn = (torch.rand(5, 3, 32, 32) * 2 - 1).requires_grad_()
    w = torch.randn(5, 16, requires_grad=True)
    AlignmentLoss(contrastive, "input")(img, drawn, w).backward()
    assert w.grad.any()
    assert drawn.grad is None
    AlignmentLoss(contrastive, "reconstruction")(img, drawn, w).backward()
    assert drawn.grad.any()


def test_a_lone_picture_has_nothing_to_differ_from(contrastive):
    img, w = torch.rand(1, 3, 32, 32), torch.randn(1, 16)
    assert AlignmentLoss(contrastive, "input")(img, img, w).item() == 0


def test_larger_pictures_are_shrunk(contrastive):
    img, w = torch.rand(3, 3, 64, 64), torch.randn(3, 16)
    assert math.isfinite(AlignmentLoss(contrastive, "input")(img, img, w).item())


def test_the_mean_is_mirrored_with_its_picture():
    img, mean = torch.rand(40, 3, 8, 8), torch.rand(3, 8, 8)
    real = mirror(img, torch.Generator().manual_seed(0))
    assert 5 < real.flags.sum() < 35
    others = torch.rand(2, 3, 8, 8)
    seen = real.with_mirrored_mean(torch.cat([real.img, others]), mean) - mean
    expected = img - mean
    expected[real.flags] = expected[real.flags].flip(3)
    torch.testing.assert_close(seen, torch.cat([expected, others - mean]))
