"""What several tests of the refiners need: toy settings in every variant, pictures' levels."""

from dataclasses import replace

import pytest
import torch

from inversion.networks.config import RefinerConfig
from inversion.networks.refiners import Refiners

CONFIG = RefinerConfig(
    in_resolution=32,
    level_channels=(8, 16, 16),
    img_resolution=32,
    w_dim=32,
    num_ws=8,
    f_channels=8,
    f_resolution=16,
    width=16,
    heads=2,
    f_width=16,
    f_blocks=1,
    f_hidden=12,
    code=8,
    carry_width=4,
    second_look=True,
    look_resolution=16,
    look_features=8,
    look_channels=(8, 8, 8, 16, 16),
    look_width=12,
)
VARIANTS = {name: replace(CONFIG, attention=name) for name in ("tokens", "reference", "none")}
every_variant = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())


def stirred(module):
    """The module in evaluation mode, its zero-started layers filled, so that everything speaks."""
    for value in module.parameters():
        value.data += 0.1 * torch.randn_like(value)
    return module.eval().requires_grad_(False)


def heard(module, calls):
    """What `module` answers while each of `calls` is made."""
    found = []
    handle = module.register_forward_hook(lambda module, inputs, out: found.append(out))
    for call in calls:
        call()
    handle.remove()
    return found


def levels(n=2):
    return tuple(torch.randn(n, c, side, side) for c, side in ((8, 8), (16, 4), (16, 2)))


def tiny_refiners(encoder, *, second_look=True):
    """Refiners in the encoder's frame of reference, stirred."""
    refiners = Refiners(replace(CONFIG, second_look=second_look))
    refiners.frame(encoder.w_avg, encoder.w_std)
    return stirred(refiners)
