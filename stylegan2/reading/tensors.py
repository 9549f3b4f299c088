"""Storages and strides to torch tensors, with every bound checked before any view is made."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan2.reading.errors import UnreadableFileError, UnsafeFileError, shown
from stylegan2.reading.pickle.budget import Budget
from stylegan2.reading.pickle.values import Array, Dtype, Storage, View

MAX_RANK = 8
MAX_NUMEL = 1 << 48

STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.storage.UntypedStorage": torch.uint8,
    "torch.UntypedStorage": torch.uint8,
}
_NUMPY = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "u2": torch.uint16,
    "u4": torch.uint32,
    "u8": torch.uint64,
    "b1": torch.bool,
}
DTYPES = frozenset({*STORAGES.values(), *_NUMPY.values()})


def checked_shape(values: tuple[Any, ...], what: str = "size") -> tuple[int, ...]:
    """Sizes or strides as a file gives them.

    Raises:
        UnsafeFileError: Negative, no integers, too many, or a product beyond every file.
    """
    if len(values) > MAX_RANK:
        raise UnsafeFileError(f"a tensor of {len(values)} dimensions; at most {MAX_RANK} are read")
    for value in values:
        if type(value) is not int or not 0 <= value <= MAX_NUMEL:
            found = value if type(value) is int else type(value).__name__
            raise UnsafeFileError(
                f"a tensor with a {what} of {found}; expected an integer from 0 to {MAX_NUMEL}"
            )
    if what == "size" and math.prod(max(1, value) for value in values) > MAX_NUMEL:
        raise UnsafeFileError(f"a tensor of size {list(values)}; at most {MAX_NUMEL} elements are read")
    return values


def storage_view(storage: Storage) -> View:
    """The whole of a storage as a flat tensor."""
    return View(storage, 0, (storage.numel,), (1,))


def tensor_of(view: View, budget: Budget) -> Tensor:
    """Contiguous tensor of a view: of the file's own memory where alignment allows, otherwise a copy.

    Raises:
        UnreadableFileError: The storage has no bytes, or not as many as it says.
        UnsafeFileError: The view leaves its storage, overlaps itself, or grows beyond the budget.
    """
    size, stride = checked_shape(view.size), checked_shape(view.stride, "stride")
    (offset,) = checked_shape((view.offset,), "offset")
    if len(size) != len(stride):
        raise UnsafeFileError(f"a tensor with {len(size)} sizes and {len(stride)} strides")
    data, dtype = _bytes_of(view.storage), view.storage.dtype
    if 0 in size:
        return torch.empty(size, dtype=dtype)
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if last >= view.storage.numel:
        raise UnsafeFileError(
            f"a tensor that ends at element {last} of a storage of {view.storage.numel}; refused"
        )
    _refuse_overlap(size, stride)
    flat = _flat(data[offset * dtype.itemsize : (last + 1) * dtype.itemsize], dtype, budget)
    if _is_contiguous(size, stride):
        return flat.reshape(size)
    budget.copy(math.prod(size) * dtype.itemsize)
    return flat.as_strided(size, stride).contiguous()


def _bytes_of(storage: Storage) -> memoryview:
    if storage.data is None:
        raise UnreadableFileError("a tensor whose numbers are not in the file; the file is truncated")
    if len(storage.data) != storage.numel * storage.dtype.itemsize:
        raise UnreadableFileError(
            f"a storage that says {storage.numel} x {storage.dtype.itemsize} bytes, has {len(storage.data)}"
            "; the file is truncated or damaged"
        )
    return storage.data


def _refuse_overlap(size: tuple[int, ...], stride: tuple[int, ...]) -> None:
    """A stride of 0 is an expanded axis; every other one must step over all that shorter strides reach."""
    reach = 0
    for step, count in sorted((s, c) for c, s in zip(size, stride, strict=True) if s and c > 1):
        if step <= reach:
            raise UnsafeFileError(f"a tensor of size {list(size)} with overlapping strides {list(stride)}")
        reach += step * (count - 1)


def _is_contiguous(size: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    step = 1
    for count, found in zip(reversed(size), reversed(stride), strict=True):
        if count != 1 and found != step:
            return False
        step *= count
    return True


def _flat(data: memoryview, dtype: torch.dtype, budget: Budget) -> Tensor:
    """All of `data` as one axis; shares memory if it may be written to (a private mapping) and is aligned."""
    if dtype is torch.bool:  # bytes other than 0 and 1 are no truth values to torch
        budget.copy(len(data))
        return torch.frombuffer(bytearray(data), dtype=torch.uint8) != 0
    if not data.readonly:
        raw = torch.frombuffer(data, dtype=torch.uint8)
        if raw.data_ptr() % dtype.itemsize == 0:
            return raw.view(dtype)
    budget.copy(len(data))
    return torch.frombuffer(bytearray(data), dtype=dtype)


def array_value(array: Array, budget: Budget) -> Any:  # noqa: ANN401
    """A numpy array of numbers as a tensor, of text as (nested lists of) str or bytes.

    Raises:
        UnreadableFileError: Never filled, or with fewer or more bytes than its shape takes.
        UnsafeFileError: Of another dtype, or out of bounds.
    """
    dtype, shape, data = array.dtype, checked_shape(array.shape), array.data
    if dtype is None or data is None:
        raise UnreadableFileError("a numpy array without data; the file is damaged")
    expected, numel = numpy_itemsize(dtype) * math.prod(shape), math.prod(shape)
    if len(data) != expected:
        raise UnreadableFileError(
            f"a numpy array of {list(shape)} {dtype.code!r} takes {expected} bytes and has {len(data)};"
            " the file is truncated or damaged"
        )
    if dtype.code[0] in "US":
        budget.step(numel)
        budget.copy(len(data))
        if numel == 0:
            return []
        text = np.frombuffer(data, dtype=f"{dtype.order}{dtype.code}")
        return text.reshape(shape, order="F" if array.fortran else "C").tolist()
    if dtype.order == ">" and numel:
        budget.copy(len(data))
        swapped = np.frombuffer(data, dtype=f">{dtype.code}").astype(f"<{dtype.code}")
        data = memoryview(swapped.data).cast("B")
    sizes = shape[::-1] if array.fortran else shape
    strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    stride = tuple(strides[::-1] if array.fortran else strides)
    return tensor_of(View(Storage(_NUMPY[dtype.code], numel, data), 0, shape, stride), budget)


def numpy_number(dtype: Dtype, data: memoryview) -> bool | int | float | str | bytes:
    """A numpy scalar as a Python one.

    Raises:
        UnreadableFileError: Not as many bytes as the dtype takes.
        UnsafeFileError: Of a dtype that is not read.
    """
    if len(data) != numpy_itemsize(dtype):
        raise UnreadableFileError(f"a numpy scalar {dtype.code!r} of {len(data)} bytes; the file is damaged")
    value: bool | int | float | str | bytes = np.frombuffer(data, dtype=f"{dtype.order}{dtype.code}")[
        0
    ].item()
    return value


def numpy_itemsize(dtype: Dtype) -> int:
    """Bytes of one element.

    Raises:
        UnsafeFileError: Objects, structures, complex numbers, dates and whatever else is not read.
    """
    if dtype.code in _NUMPY:
        return int(dtype.code[1])
    length = dtype.code[1:]
    if (
        dtype.code[:1] in ("U", "S")
        and length.isascii()
        and length.isdigit()
        and len(length) < 8
        and int(length)
    ):
        return int(length) * (4 if dtype.code[0] == "U" else 1)
    raise UnsafeFileError(
        f"a numpy dtype {shown(dtype.code)!r}; numbers ({', '.join(_NUMPY)}) and text are read"
    )
