"""Random edits of W, its principal components, and latents as refined: what edited pairs are made with."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inversion.directions import DirectionBank
from stylegan2 import Generator
from train.seeds import positioned_generator

COMPONENT_STREAM = 4  # of `positioned_generator`
SAMPLES = 8192  # latents behind the components
STRONGEST = 2.5  # standard deviations, of random edits
COMPONENTS = 8  # principal ones that random edits choose from


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
    """Random edits d of w: half along the model's own directions, half along its principal components.

    Strengths are uniform in +-`STRONGEST` standard deviations of w along the edit's direction. A model
    without directions gets principal components alone.

    Args:
        generator: Frozen.
        directions: The model's edits, if it has some.
        seed: Of the components.
    """

    def __init__(
        self, generator: Generator, directions: DirectionBank | None = None, *, seed: int = 0
    ) -> None:
        found = principal_components(generator, COMPONENTS, seed=seed)
        self._principal = found.directions * found.sigma[:, None]  # one standard deviation each
        own = [edit.direction * edit.sigma for edit in (directions or {}).values()]
        self._own = torch.stack(own).to(self._principal) if own else self._principal

    @torch.no_grad()
    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """Edits [count, w_dim] on the generator's device; `rng` is a CPU generator."""
        device = self._principal.device
        strength = ((2 * torch.rand(count, 1, generator=rng) - 1) * STRONGEST).to(device)
        half = count // 2
        chosen = [
            bank[torch.randint(len(bank), (n,), generator=rng).to(device)]
            for bank, n in ((self._own, half), (self._principal, count - half))
        ]
        return strength * torch.cat(chosen)


def partly_refined(ws: Tensor, w: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """`ws`, of which a share has gone part of the way to the true latents.

    Refinement by optimisation goes that way too, and F has to cope with what it finds.

    Args:
        ws: What inversion found [N, num_ws, w_dim].
        w: True latents [N, w_dim], on any device.
        share: Of the N, on average; how far each goes is uniform between not at all and all the way.
        rng: A CPU generator.
    """
    if not share:
        return ws
    chosen, way = torch.rand(2, len(ws), 1, 1, generator=rng).to(ws)
    return ws + (chosen < share) * way * (w.to(ws)[:, None] - ws)
