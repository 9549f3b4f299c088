"""The last step: inert values to the tree of a document, its depth and its size checked as a tree's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stylegan2.reading.document import Node, Tree
from stylegan2.reading.errors import UnsafeFileError
from stylegan2.reading.pickle.budget import MAX_DEPTH, MAX_NODES, Budget
from stylegan2.reading.pickle.values import Array, Dtype, Instance, Name, Storage, View
from stylegan2.reading.tensors import array_value, checked_shape, storage_view, tensor_of

# Values that stay as they are; millions of them need no entry of their own.
_PLAIN = frozenset((type(None), bool, int, float, str, bytes))


@dataclass(frozen=True, slots=True)
class _Done:
    """A finished value and its worth to one who walks it as a tree: shared parts count per reference."""

    value: Tree
    nodes: int
    size: int  # bytes


def finish(root: object, budget: Budget) -> Tree:
    """The tree of what a pickle held; what is shared in it stays shared.

    Raises:
        UnsafeFileError: A value holds itself, or the tree is too deep or too large when walked as one.
        UnreadableFileError: A tensor's numbers are missing.
    """
    done: dict[int, _Done] = {}
    path: set[int] = set()  # ids of the containers that are being gone through
    todo = [root]
    # No recursion: the depth of a hostile tree must not become the depth of our stack.
    while todo:
        value = todo[-1]
        key = id(value)
        if key in done:
            todo.pop()
            continue
        parts = _parts(value)
        if parts and key not in path:
            path.add(key)
            if len(path) > MAX_DEPTH:
                raise UnsafeFileError(f"values nested deeper than {MAX_DEPTH}; refused")
            waiting = [part for part in parts if type(part) not in _PLAIN and id(part) not in done]
            if any(id(part) in path for part in waiting):
                raise UnsafeFileError("a value that holds itself; refused")
            todo.extend(waiting)
            continue
        todo.pop()
        path.discard(key)
        done[key] = _joined(value, parts, done, budget)
    return done[id(root)].value


def _parts(value: object) -> Sequence[Any]:
    match value:
        case list() | tuple():
            return value
        case dict():
            return list(value.values())
        case Instance():
            return [value.args, value.kwargs, value.state]
        case Array(items=list(items)):
            return items
    return ()


def _joined(value: object, parts: Sequence[Any], done: Mapping[int, _Done], budget: Budget) -> _Done:
    values, nodes, size = [], 1, 0
    for part in parts:
        if type(part) in _PLAIN:
            values.append(part)
            nodes += 1
            size += len(part) if isinstance(part, (str, bytes)) else 0
        else:
            values.append(done[id(part)].value)
            nodes += done[id(part)].nodes
            size += done[id(part)].size
    found = _value(value, values, budget)
    match found:
        case str() | bytes():
            size += len(found)
        case dict():
            size += sum(len(key) for key in found if isinstance(key, (str, bytes)))
        case Tensor():
            size += found.nbytes
    if nodes > MAX_NODES:
        raise UnsafeFileError(f"more than {MAX_NODES} values, those referred to twice counted twice; refused")
    if size > budget.limit_bytes:
        raise UnsafeFileError(f"{size} bytes of values in all; at most {budget.limit_bytes} are read")
    return _Done(found, nodes, size)


def _value(value: object, parts: list[Tree], budget: Budget) -> Tree:
    """A container of finished parts, or a leaf."""
    found: Tree
    match value:
        case list():
            found = parts
        case tuple():
            found = tuple(parts)
        case dict():
            found = dict(zip(value, parts, strict=True))
        case Instance():
            args, kwargs, state = parts
            found = Node(name=value.name, args=args, kwargs=kwargs, state=state)
        case Array(items=list()):
            found = _nested_lists(parts, checked_shape(value.shape))
        case _:
            found = _leaf(value, budget)
    return found


def _leaf(value: object, budget: Budget) -> Tree:
    found: Tree = value
    match value:
        case Array():
            found = array_value(value, budget)
        case View():
            found = tensor_of(value, budget)
        case Storage():
            found = tensor_of(storage_view(value), budget)
        case Name():
            found = Node(name=value.text)
        case Dtype():
            found = Node(name="numpy.dtype", args=(value.order + value.code,))
        case memoryview():
            budget.copy(len(value))
            found = bytes(value)
    return found


def _nested_lists(items: list[Tree], shape: tuple[int, ...]) -> Tree:
    """An array of objects as lists of lists; one without axes as its only object."""
    count = 1
    for length in shape:
        count *= length
    if count != len(items) or not items:
        raise UnsafeFileError(f"an array of {len(items)} objects with the shape {list(shape)}; refused")
    for length in shape[:0:-1]:
        items = [items[start : start + length] for start in range(0, len(items), length)]
    return items if shape else items[0]
