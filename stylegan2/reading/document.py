"""Document: what a weights file holds, as inert data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

Container = Literal["safetensors", "torch-zip", "torch-legacy", "pickle", "npy", "npz"]

# None, bool, int, float, str, bytes, Tensor, Node, and lists, tuples and dicts of them.
Tree: TypeAlias = Any


@dataclass(frozen=True, kw_only=True)
class Node:
    """An object of a class that a file names: its name and its data. Its code was not even looked up."""

    name: str  # as in the file, "module.Class"; of NVIDIA's persistent objects the class name that they keep
    args: tuple[Tree, ...] = ()  # it was to be built with; NVIDIA's `init_args`
    kwargs: Mapping[str, Tree] = field(default_factory=dict)  # NVIDIA's `init_kwargs`
    state: Tree = None  # what was to be set on it


@dataclass(frozen=True, kw_only=True)
class Document:
    """One file. Its tensors may be read-only views of the file: copy before writing to them."""

    path: Path
    container: Container
    tree: Tree  # safetensors, npz: dict of Tensors; npy: one Tensor; otherwise what was pickled
    metadata: Mapping[str, str] = field(default_factory=dict)  # of safetensors
