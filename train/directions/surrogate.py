"""Surrogate: what is measured of faces, as a network that can be asked which way a measure grows."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from editor.measure.attribute_network import SIDE, AttributeNetwork
from stylegan2.image import from_uint8
from train.core.seeds import Stream, positioned_generator
from train.directions.fit import Array

THUMBNAIL = 16  # px a side of the picture whose colours are looked at as they are
BATCH = 40
LR, DECAY = 2e-3, 0.02
FROZEN_BLOCKS = 3  # of the backbone; what they see is the same for every measure
MOST = 4.0  # deviations from the mean that it learns to tell
NOISE = 0.06  # on what it is shown: a measure that a few pixels sway is no use


class Surrogate(nn.Module):
    """img -> measures: the trunk of the attribute network, and an outlet that knows places.

    Landmarks, light and the like are measured by means that have no gradient. This network learns to tell
    them from faces that were measured, in standard deviations from their mean. The attribute network itself
    cannot: it was shown every face mirrored too, and has no left and right.

    Args:
        network: Whose trunk it starts from.
        count: Measures [K].
    """

    def __init__(self, network: AttributeNetwork, count: int) -> None:
        super().__init__()
        self.trunk = deepcopy(network)
        self.narrower = nn.ModuleList([nn.Conv2d(24, 48, 3, 2, 1), nn.Conv2d(48 + 40, 96, 3, 2, 1)])
        self.narrowest = nn.Conv2d(96 + 160, 128, 3, 2, 1)
        self.mix = nn.Linear(128 * 16, 192)
        self.outlet = nn.Linear(192 + 160, count)
        self.colours = nn.Linear(3 * THUMBNAIL**2, count)
        nn.init.zeros_(self.colours.weight)

    def forward(self, img: Tensor) -> Tensor:
        """Faces [N, 3, R, R] in [-1, 1] -> [N, K]."""
        img = seen(img)
        quarter, eighth, last = self.trunk.levels(img)
        x = F.relu(self.narrower[0](quarter))
        x = F.relu(self.narrower[1](torch.cat([x, eighth], 1)))
        x = F.relu(self.narrowest(torch.cat([x, last], 1)))
        x = F.relu(self.mix(x.flatten(1)))
        told: Tensor = self.outlet(torch.cat([x, last.mean((2, 3))], 1))
        told = told + self.colours(F.avg_pool2d(img, SIDE // THUMBNAIL).flatten(1))
        return told


def seen(img: Tensor) -> Tensor:
    """Pictures of any side at the side that the attribute network looks at."""
    if img.shape[-1] == SIDE:
        return img
    return F.interpolate(img, size=(SIDE, SIDE), mode="area" if img.shape[-1] > SIDE else "bilinear")


def fit_surrogate(
    network: AttributeNetwork,
    pixels: np.ndarray,
    table: Array,
    scale: tuple[Array, Array],
    steps: int,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> Surrogate:
    """Teach a surrogate what was measured.

    Args:
        network: The attribute network, whose trunk it starts from.
        pixels: Faces [N, R, R, 3] uint8.
        table: What was measured of them [N, K].
        scale: Mean and standard deviation of each measure [K], which its answers count from and in.
        steps: Of training, `BATCH` faces each.
        seed: Of their order.
        report: Receives a line now and then.

    Returns:
        It, frozen, on the CPU.
    """
    # Outliers are pulled in: a few misread faces must not rule.
    targets = torch.from_numpy(np.clip((table - scale[0]) / scale[1], -MOST, MOST)).float()
    surrogate = Surrogate(network, targets.shape[1])
    trained = surrogate.trunk
    trained.stem.requires_grad_(False)
    trained.blocks[:FROZEN_BLOCKS].requires_grad_(False)
    learned = [p for p in surrogate.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=LR, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, LR * DECAY)
    rng = positioned_generator(seed, Stream.SURROGATE)
    surrogate.eval()  # statistics stay those of the trunk
    for step in range(1, steps + 1):
        chosen = torch.randint(len(pixels), (BATCH,), generator=rng)
        img = from_uint8(torch.from_numpy(pixels[chosen.numpy()]))
        img = img + NOISE * torch.rand(1, generator=rng) * torch.randn(img.shape, generator=rng)
        loss = F.smooth_l1_loss(surrogate(img), targets[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == steps:
            report(f"surrogate, step {step} of {steps}: {loss.item():.3f}")
    return surrogate.requires_grad_(False)
