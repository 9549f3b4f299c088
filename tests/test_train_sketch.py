import copy

import torch

from inversion.second_look import SecondLook
from stylegan2.image import shrink
from tests.refiners import CONFIG
from train.sketch import fit_sketch


def error(look, generator):
    """Mean squared difference of the sketch and the shrunk picture, on latents that no fit has seen."""
    ws = generator.broadcast(generator.sample_w(16, seed=77, truncation_psi=0.9))
    a, below = generator.synthesis.lower(ws, 16)
    target = shrink(generator.synthesis.upper(a, below, ws).clamp(-1, 1), 16)
    return (look.sketch(a, below) - target).square().mean()


@torch.no_grad()
def test_no_other_linear_map_is_nearer_to_the_picture(tiny_generator):
    look = SecondLook(CONFIG)
    before = error(look, tiny_generator)
    others = copy.deepcopy({k: v for k, v in look.state_dict().items() if not k.startswith("read")})
    fit_sketch(look, tiny_generator, (0.9, 0.9), seed=3)
    after = error(look, tiny_generator)
    assert after < 0.5 * before
    for name in ("weight", "bias"):
        value = getattr(look.read, name)
        for step in (0.05, -0.05):
            value += step
            assert error(look, tiny_generator) > after
            value -= step
    assert all(torch.equal(look.state_dict()[k], v) for k, v in others.items())


def test_the_seed_decides(tiny_generator):
    looks = [SecondLook(CONFIG) for _ in range(3)]
    for look, seed in zip(looks, (1, 1, 2), strict=True):
        fit_sketch(look, tiny_generator, (0.7, 1.0), seed=seed)
    assert torch.equal(looks[0].read.weight, looks[1].read.weight)
    assert not torch.equal(looks[0].read.weight, looks[2].read.weight)
