"""What the pickle machine works on: inert stand-ins for what a file names."""

from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Name:
    """A global that a file names, "module.name"; it is never looked up."""

    text: str


@dataclass(eq=False, slots=True)
class Instance:
    """An object under construction of a class that is only named; becomes a `Node`."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[Any, Any] = field(default_factory=dict)
    state: Any = None


class Record(dict[Any, Any]):
    """A namespace as a dict: setting its state sets its entries."""


@dataclass(eq=False, slots=True)
class Storage:
    """A run of numbers; of legacy streams the bytes come after the objects that refer to them."""

    dtype: torch.dtype
    numel: int
    data: memoryview | None = None


@dataclass(eq=False, slots=True)
class View:
    """A tensor as a file describes it, in elements of its storage; not checked yet."""

    storage: Storage
    offset: int
    size: tuple[Any, ...]
    stride: tuple[Any, ...]


@dataclass(eq=False, slots=True)
class Dtype:
    """A numpy dtype: kind and size ("f4"), and byte order."""

    code: str
    order: str = "<"


@dataclass(eq=False, slots=True)
class Array:
    """A numpy array under construction: `data` for numbers and text, `items` for objects."""

    dtype: Dtype | None = None
    shape: tuple[Any, ...] = ()
    fortran: bool = False
    data: memoryview | None = None
    items: list[Any] | None = None
