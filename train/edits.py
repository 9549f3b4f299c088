"""Random edits of W, and its principal components: what edited pairs are made with."""

from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2 import Generator
from train.seeds import positioned_generator

COMPONENT_STREAM = 4  # of `positioned_generator`
SAMPLES = 8192  # latents behind the components
STRONGEST = 2.0  # standard deviations, of random edits
COMPONENTS = 16  # principal ones that random edits choose from


@dataclass(frozen=True)
class Components:
    """Principal components of W, strongest first."""

    directions: Tensor  # [K, w_dim], unit L2 norm
    sigma: Tensor  # standard deviation of w along each [K]


@torch.no_grad()
def principal_components(generator: Generator, count: int, *, seed: int = 0) -> Components:
    """The first `count` principal components of w (GANSpace, arXiv:2004.02546), on the generator's device.

    Signs are fixed: the largest entry of a direction is positive.
    """
    rng = positioned_generator(seed, COMPONENT_STREAM)
    w = generator.mapping(torch.randn(SAMPLES, generator.z_dim, generator=rng).to(generator.w_avg))
    values, vectors = torch.linalg.eigh(torch.cov(w.T.double()))
    directions = vectors.T.flip(0)[:count]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = directions * largest.sign()
    return Components(directions.to(w), values.flip(0)[:count].clamp(min=0).sqrt().to(w))


class EditSampler:
    """Random edits d of w: half along a principal component, half along the way from one random w to another.

    Strengths are uniform in +-`STRONGEST` standard deviations of w along the edit's direction.

    Args:
        generator: Frozen.
        seed: Of the components.
    """

    def __init__(self, generator: Generator, *, seed: int = 0) -> None:
        self._generator = generator
        self._components = principal_components(generator, COMPONENTS, seed=seed)
        every = principal_components(generator, generator.w_dim, seed=seed)
        self._root = every.directions * every.sigma[:, None]  # rows: sqrt of W's covariance

    @torch.no_grad()
    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """Edits [count, w_dim] on the generator's device; `rng` is a CPU generator."""
        device = self._generator.w_avg.device
        strength = ((2 * torch.rand(count, 1, generator=rng) - 1) * STRONGEST).to(device)
        chosen = torch.randint(COMPONENTS, (count,), generator=rng).to(device)
        principal = self._components.directions[chosen] * self._components.sigma[chosen, None]
        z = torch.randn(2, count, self._generator.z_dim, generator=rng).to(device)
        way = self._generator.mapping(z[0]) - self._generator.mapping(z[1])
        way = way / way.norm(dim=1, keepdim=True)
        way = way * (way @ self._root.T).norm(dim=1, keepdim=True)  # the spread of w along it
        first = torch.arange(count, device=device)[:, None] < count // 2
        return strength * torch.where(first, principal, way)
