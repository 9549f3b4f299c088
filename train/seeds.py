"""Random numbers that follow from a seed and a position, so that nothing has to be remembered to resume."""

import numpy as np
import torch


def positioned_generator(seed: int, *position: int) -> torch.Generator:
    """A CPU generator for one position of a run: the same for the same numbers, unrelated for others.

    Args:
        seed: The run's seed, at least 0.
        position: For instance a stream's number and a step, each at least 0.
    """
    state = np.random.SeedSequence([seed, *position]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) & (2**63 - 1))
