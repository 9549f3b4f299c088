"""Judges: what tells grown pictures from photos."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from train.growth.config import JudgeConfig

EPSILON = 1e-6  # of a mean square
LEVEL_CHANNELS = (96, 144, 240, 672)  # of `EfficientNetLite0Features`
SLOPE = 0.2  # of the leaky ReLU


class Judge(nn.Module):
    """One map of opinions a level, higher for photos.

    On features, each level is first mixed by a convolution that stays random (Projected GANs,
    arXiv:2111.01007, section 3.2). On pixels there is one level, the picture.
    """

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        if config.sees == "features":
            self.heads = nn.ModuleList(_head(channels, config) for channels in LEVEL_CHANNELS)
        else:
            self.heads = nn.ModuleList([_network(config)])

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Opinions [N, 1, h, w] of what is seen of N pictures [N, C, H, W], level by level."""
        if self.config.sees == "pixels":
            return [self.heads[0](levels[0])]
        return [head(_of_unit_size(x)) for head, x in zip(self.heads, levels, strict=True)]


def _of_unit_size(x: Tensor) -> Tensor:
    return x * (x.float().square().mean((1, 2, 3), keepdim=True) + EPSILON).rsqrt().to(x)


def _head(channels: int, config: JudgeConfig) -> nn.Module:
    mix = nn.Conv2d(channels, config.width, 1).requires_grad_(False)
    nn.init.kaiming_normal_(mix.weight)
    return nn.Sequential(
        mix,
        spectral_norm(nn.Conv2d(config.width, config.hidden, 4, 2, 1)),
        nn.LeakyReLU(SLOPE),
        spectral_norm(nn.Conv2d(config.hidden, config.hidden, 3, 1, 1)),
        nn.LeakyReLU(SLOPE),
        spectral_norm(nn.Conv2d(config.hidden, 1, 1)),
    )


def _network(config: JudgeConfig) -> nn.Module:
    widths = (3, config.width // 2, config.width, config.hidden)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, nn.Conv2d(config.hidden, 1, 3, 1, 1))


def judge_loss(real: Sequence[Tensor], fake: Sequence[Tensor], config: JudgeConfig) -> Tensor:
    """The judge's loss []: hinge, or that of relativistic pairs (arXiv:2501.05441, Eq. 2).

    Args:
        real: Opinions of photos, level by level.
        fake: Of grown pictures, as many.
        config: Which game.
    """
    pairs = list(zip(real, fake, strict=True))
    if config.game == "hinge":
        terms = [F.relu(1 - a.float()).mean() + F.relu(1 + b.float()).mean() for a, b in pairs]
    else:
        terms = [F.softplus(b.float() - a.float()).mean() for a, b in pairs]
    return torch.stack(terms).sum()


def fooling_loss(real: Sequence[Tensor], fake: Sequence[Tensor], config: JudgeConfig) -> Tensor:
    """The block's loss []; arguments as for `judge_loss`."""
    pairs = list(zip(real, fake, strict=True))
    if config.game == "hinge":
        return -torch.stack([b.float().mean() for _, b in pairs]).sum()
    return torch.stack([F.softplus(a.detach().float() - b.float()).mean() for a, b in pairs]).sum()


def slope_penalty(judge: Judge, levels: Sequence[Tensor]) -> Tensor:
    """Half the mean squared slope of a judge's opinions where it looks [], R1 or R2 (arXiv:1801.04406)."""
    seen = [x.detach().float().requires_grad_() for x in levels]
    opinions = torch.stack([a.sum() for a in judge(seen)]).sum()
    slopes = torch.autograd.grad(opinions, seen, create_graph=True)
    return torch.stack([s.square().sum((1, 2, 3)).mean() for s in slopes]).sum() / 2
