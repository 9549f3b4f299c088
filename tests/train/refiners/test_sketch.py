import copy

import torch

from inversion.networks.second_look import SecondLook
from stylegan2.image import shrink
from tests.helpers.refiners import CONFIG
from train.core.seeds import Stream, positioned_generator
from train.data.pairs import sample_w
from train.refiners.sketch import BATCH, PICTURES, fit_sketch


def error(look, generator, w):
    """Mean squared difference of the sketch and the shrunk picture of latents w."""
    ws = generator.broadcast(w)
    a, below = generator.synthesis.lower(ws, 16)
    target = shrink(generator.synthesis.upper(a, below, ws).clamp(-1, 1), 16)
    return (look.sketch(a, below) - target).square().mean()


@torch.no_grad()
def test_no_other_linear_map_is_nearer_to_the_picture(tiny_generator):
    look = SecondLook(CONFIG)
    unseen = tiny_generator.sample_w(16, seed=77, truncation_psi=0.9)
    rng = positioned_generator(3, Stream.SKETCH)
    parts = [sample_w(tiny_generator, BATCH, (0.9, 0.9), rng) for _ in range(PICTURES // BATCH)]
    before = error(look, tiny_generator, unseen)
    others = copy.deepcopy({k: v for k, v in look.state_dict().items() if not k.startswith("read")})
    fit_sketch(look, tiny_generator, (0.9, 0.9), seed=3)
    assert error(look, tiny_generator, unseen) < 0.5 * before
    nearest = error(look, tiny_generator, torch.cat(parts))  # on what it was fitted to
    for name in ("weight", "bias"):
        value = getattr(look.read, name)
        for step in (0.05, -0.05):
            value += step
            assert error(look, tiny_generator, torch.cat(parts)) > nearest
            value -= step
    assert all(torch.equal(look.state_dict()[k], v) for k, v in others.items())


def test_the_seed_decides(tiny_generator):
    looks = [SecondLook(CONFIG) for _ in range(3)]
    for look, seed in zip(looks, (1, 1, 2), strict=True):
        fit_sketch(look, tiny_generator, (0.7, 1.0), seed=seed)
    assert torch.equal(looks[0].read.weight, looks[1].read.weight)
    assert not torch.equal(looks[0].read.weight, looks[2].read.weight)
