"""What numpy's pickles call: dtypes, arrays and scalars, as inert values."""

import re
from typing import Any, NoReturn

from stylegan2.reading.errors import UnreadableFileError, UnsafeFileError, shown
from stylegan2.reading.pickle.budget import Budget
from stylegan2.reading.pickle.values import Array, Dtype
from stylegan2.reading.tensors import numpy_number

_CODE = re.compile(r"([<>|=]?)([a-zA-Z]\d{1,8})", re.ASCII)


def dtype(code: object) -> Dtype:
    """A dtype of its text, "f4" or "<f4".

    Raises:
        UnsafeFileError: A structure or anything else that is no kind with a size.
    """
    match = _CODE.fullmatch(code) if isinstance(code, str) and len(code) < 16 else None
    if match is None:
        found = repr(shown(code)) if isinstance(code, str) else f"of a {type(code).__name__}"
        raise UnsafeFileError(f"a numpy dtype {found}; plain numbers and text are read")
    return Dtype(match[2], ">" if match[1] == ">" else "<")


def build_dtype(target: Dtype, state: object) -> None:
    """Byte order of a dtype; its state is (version, order, subdtype, names, fields, ...).

    Raises:
        UnsafeFileError: A structure or a sub-array.
    """
    match state:
        case (int(), "<" | ">" | "|" | "=" as order, None, None, None, *_):
            target.order = ">" if order == ">" else "<"
        case _:
            raise UnsafeFileError("a structured numpy dtype; plain numbers and text are read")


def build_array(budget: Budget, target: Array, state: object) -> None:
    """Fill an array; its state is (version, shape, dtype, in Fortran's order, data).

    Raises:
        UnreadableFileError: No such state, or the array is filled already.
    """
    match state:
        case (int(), tuple(shape), Dtype() as kind, bool() | int() as fortran, data) if target.dtype is None:
            target.dtype, target.shape, target.fortran = kind, shape, bool(fortran)
            if kind.code.startswith("O"):
                target.items = data if isinstance(data, list) else _refuse("an array of objects")
            else:
                target.data = raw(budget, data)
        case _:
            _refuse("an array's state")


def from_buffer(
    budget: Budget, data: object, kind: object, shape: object, order: object, *_rest: object
) -> Array:
    """Arrays of protocol 5, when their data is within the pickle."""
    if not isinstance(kind, Dtype) or not isinstance(shape, tuple) or order not in ("C", "F"):
        _refuse("an array's buffer")
    return Array(kind, shape, order == "F", raw(budget, data))


def scalar(budget: Budget, kind: object, data: object = b"") -> Any:  # noqa: ANN401
    """A numpy scalar as a Python number or text."""
    if not isinstance(kind, Dtype):
        _refuse("a scalar")
    numbers = raw(budget, data)
    budget.copy(len(numbers))
    return numpy_number(kind, numbers)


def raw(budget: Budget, data: object) -> memoryview:
    """Bytes of numbers; Python 2 pickled them as text."""
    if isinstance(data, str):
        budget.copy(len(data))
        data = data.encode("latin-1")
    return memoryview(data) if isinstance(data, (bytes, memoryview)) else _refuse("the data of an array")


def _refuse(what: str) -> NoReturn:
    raise UnreadableFileError(f"{what} of numpy that is not one; the file is damaged")
