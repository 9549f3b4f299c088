"""Random numbers that follow from a seed and a position, so that nothing has to be remembered to resume."""

from enum import IntEnum, unique

import numpy as np
import torch


@unique
class Stream(IntEnum):
    """What random numbers are drawn for: the first number of a position, so that no two uses share them."""

    PAIRS = 1
    INVERSION_STEP = 2
    SPREAD = 3  # latents that the spread of W is measured on
    CONTRASTIVE_STEP = 4
    REFINEMENT_STEP = 5
    REFINEMENT_VALIDATION = 6
    SKETCH = 7
    COMPONENTS = 8  # latents that principal components are found from
    GENERATOR_STEP = 11
    GENERATOR_GRID = 12
    GENERATOR_SAMPLES = 13
    TRANSFER_EXAMPLES = 22
    TRANSFER_STEP = 23
    PARTS_STEP = 24
    ATTRIBUTES_STEP = 25
    SURROGATE = 26
    EDIT_STEP = 27
    GROWTH_FACES = 28
    GROWTH_STEP = 29


def positioned_generator(seed: int, *position: int) -> torch.Generator:
    """A CPU generator for one position of a run: the same for the same numbers, unrelated for others.

    Args:
        seed: The run's seed, at least 0 and below 2^64, as are all positions.
        position: A `Stream`, then for instance a step.
    """
    # numpy takes entropy in 32-bit words, as many as a number needs, and ignores zeros at the end: the count
    # in front and two words for each number keep all positions apart.
    words = [len(position)]
    for number in (seed, *position):
        words += [number & 0xFFFFFFFF, number >> 32]
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) & (2**63 - 1))
