"""Random edits of W: what edited pairs are made with."""

import torch
from torch import Tensor

from inversion.components import principal_components
from inversion.directions import DirectionBank
from stylegan2 import Generator
from train.seeds import positioned_generator

COMPONENT_STREAM = 4  # of `positioned_generator`
STRONGEST = 2.5  # standard deviations, of random edits
COMPONENTS = 8  # principal ones that random edits choose from


def component_rng(seed: int = 0) -> torch.Generator:
    """What draws the latents that components are found from: the same in training and evaluation."""
    return positioned_generator(seed, COMPONENT_STREAM)


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
        found = principal_components(generator, COMPONENTS, component_rng(seed))
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
