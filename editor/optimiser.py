"""What optimises inversions: the inverter itself, or something in its place."""

from collections.abc import Callable

from torch import Tensor

from inversion.chain.inversion import Inversion
from inversion.chain.inverter import InvertsPictures
from inversion.optimise.search import Tell

# Inverter, pixels, start, steps, progress -> what `InvertsPictures.optimise` answers.
Optimise = Callable[[InvertsPictures, Tensor, Inversion, int, Tell | None], Inversion]


def by_inverter(
    inverter: InvertsPictures, pixels: Tensor, start: Inversion, steps: int, progress: Tell | None
) -> Inversion:
    """See `InvertsPictures.optimise`."""
    return inverter.optimise(pixels, start, steps, progress=progress)
