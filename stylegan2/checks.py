"""What tensors must be before they are used: of a shape, and numbers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from stylegan2.errors import CheckpointError, ShapeError


def check_shape(name: str, tensor: Tensor, *expected: int | str) -> None:
    """Raise `ShapeError` unless `tensor` has the expected sizes.

    Args:
        name: What to call the tensor in the message.
        tensor: The tensor to look at.
        expected: One entry per axis: a size, or a letter: any positive size, the same for the same letter.
    """
    actual = tuple(tensor.shape)
    sizes: dict[str, int] = {}
    fits = len(actual) == len(expected) and all(
        size > 0 and sizes.setdefault(want, size) == size if isinstance(want, str) else size == want
        for size, want in zip(actual, expected, strict=True)
    )
    if not fits:
        raise ShapeError(name, actual, "[" + ", ".join(map(str, expected)) + "]")


def check_finite(title: str, state: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError` where weights are NaN or infinite, as a training leaves them that diverged.

    Args:
        title: What the message begins with: the file, as a rule.
        state: Weights by name.
    """
    # A sum shows either, and takes a fraction of the time; large numbers alone may overflow it.
    odd = [name for name, value in state.items() if not torch.isfinite(value.sum(dtype=torch.float32))]
    lost = [name for name in odd if not torch.isfinite(state[name]).all()]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise CheckpointError(
            f"{title}: {lost[0]}{more} of {len(state)} tensors hold NaN or infinity; all must be finite"
        )
