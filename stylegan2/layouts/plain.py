"""Settings that a file keeps, without the tensors and objects among them."""

from collections.abc import Mapping
from typing import Any

from stylegan2.reading.document import Tree

_DEEPEST = 4
_NOT_PLAIN = object()


def plain_settings(value: Tree) -> dict[str, Any]:
    """None, bool, int, float, str, lists and dicts of `value`; empty where it is no mapping."""
    found = _plain(value, 0) if isinstance(value, Mapping) else {}
    return found if isinstance(found, dict) else {}


def _plain(value: Tree, depth: int) -> Tree:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth < _DEEPEST and isinstance(value, list | tuple):
        items = [_plain(item, depth + 1) for item in value]
        return [item for item in items if item is not _NOT_PLAIN]
    if depth < _DEEPEST and isinstance(value, Mapping):
        entries = {str(name): _plain(item, depth + 1) for name, item in value.items()}
        return {name: item for name, item in entries.items() if item is not _NOT_PLAIN}
    return _NOT_PLAIN
