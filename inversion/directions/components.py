"""Principal components of W: edits that every generator has, whatever it draws."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inversion.directions.bank import DirectionBank
from inversion.directions.linear import EditDirection
from stylegan2 import Generator

SAMPLES = 8192  # latents behind the components
OFFERED = 10  # components that a model without directions is edited with
RANGE = (-3.0, 3.0)  # strengths, in standard deviations
GROUP = "Found in this model"


@dataclass(frozen=True)
class Components:
    """Principal components of W, strongest first."""

    directions: Tensor  # [K, w_dim], unit L2 norm
    sigma: Tensor  # standard deviation of w along each [K]


@torch.no_grad()
def principal_components(generator: Generator, count: int, rng: torch.Generator) -> Components:
    """The first `count` principal components of w (GANSpace, arXiv:2004.02546), on the generator's device.

    Signs are fixed: the largest entry of a direction is positive.

    Args:
        generator: Only its mapping is run.
        count: At most w_dim.
        rng: A CPU generator; draws the latents.
    """
    w = generator.mapping(torch.randn(SAMPLES, generator.z_dim, generator=rng).to(generator.w_avg))
    values, vectors = torch.linalg.eigh(torch.cov(w.T.double()))
    directions = vectors.T.flip(0)[:count]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = directions * largest.sign()
    return Components(directions.to(w), values.flip(0)[:count].clamp(min=0).sqrt().to(w))


def principal_edits(generator: Generator, count: int, rng: torch.Generator) -> list[EditDirection]:
    """The first `count` principal components of w as edits of every layer; arguments as there."""
    found = principal_components(generator, count, rng)
    return [
        EditDirection(
            name=f"component-{number}",
            label=f"Component {number}",
            group=GROUP,
            low="one way",
            high="the other",
            direction=direction.cpu(),
            sigma=sigma.item(),
            range=RANGE,
            layers=(0, generator.num_ws),
        )
        for number, (direction, sigma) in enumerate(zip(found.directions, found.sigma, strict=True), 1)
        if sigma > 0
    ]


def discover_directions(generator: Generator) -> DirectionBank:
    """Edits for a model that comes without any: its first principal components, which nobody has named."""
    found = principal_edits(generator, min(OFFERED, generator.w_dim), torch.Generator().manual_seed(0))
    return DirectionBank({edit.name: edit for edit in found})
