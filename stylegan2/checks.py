"""The only place that compares shapes."""

from torch import Tensor

from stylegan2.errors import ShapeError


def check_shape(name: str, tensor: Tensor, *expected: int | str) -> None:
    """Raise `ShapeError` unless `tensor` has the expected sizes.

    Args:
        name: What to call the tensor in the message.
        tensor: The tensor to look at.
        expected: One entry per axis: a size, or a letter that admits any positive size.
    """
    actual = tuple(tensor.shape)
    fits = len(actual) == len(expected) and all(
        size > 0 if isinstance(want, str) else size == want
        for size, want in zip(actual, expected, strict=True)
    )
    if not fits:
        raise ShapeError(name, actual, "[" + ", ".join(map(str, expected)) + "]")
