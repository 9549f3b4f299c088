"""Strict YAML settings: file -> frozen dataclass, with errors that name the dotted path."""

import dataclasses
import math
import types
import typing
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, Union, cast, get_args, get_origin

import yaml

from stylegan2.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
YamlNode: TypeAlias = Any  # whatever a YAML file may hold
_PLAIN = {bool: "true or false", int: "an integer", float: "a number", str: "text", Path: "a path"}


def require(holds: bool, message: str) -> None:
    """Raise `ConfigError` with `message` unless a setting holds what it must."""
    if not holds:
        raise ConfigError(message)


class _StrictLoader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def read_settings(path: str | Path, cls: type[T], overrides: Sequence[str] = ()) -> T:
    """Read a YAML file into the dataclass `cls`.

    Args:
        path: The YAML file: one mapping, whose keys are the fields of `cls`.
        cls: A dataclass of bool, int, float, str, Path, Literal, Optional, tuple, dict and dataclass fields.
        overrides: Changes `a.b=c`; `a.0.b` reaches into a list, `c` is YAML.

    Raises:
        ConfigError: The file is missing or not YAML, a key is unknown or missing, or a value is of the wrong
            type or out of range.
    """
    try:
        data = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506  (a SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not a readable YAML file ({error})") from error
    data = {} if data is None else data
    for override in overrides:
        _override(data, override)
    try:
        return settings_from_dict(data, cls)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def settings_from_dict(data: object, cls: type[T]) -> T:
    """Build the dataclass `cls` from plain values, as strictly as `read_settings`.

    Raises:
        ConfigError: An unknown or missing key, a value of the wrong type or out of range.
    """
    return _dataclass(data, cls, "")


def settings_to_dict(settings: "DataclassInstance") -> dict[str, Any]:
    """Plain values (for YAML or JSON) from which `settings_from_dict` builds `settings` again."""
    fields = [field for field in dataclasses.fields(settings) if field.init]
    return {field.name: _plain(getattr(settings, field.name)) for field in fields}


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return settings_to_dict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _override(data: YamlNode, override: str) -> None:
    dotted, equals, text = override.partition("=")
    if not equals or not all(dotted.split(".")):
        raise ConfigError(f"override {override!r}: expected a.b=value")
    try:
        value = yaml.load(text, Loader=_StrictLoader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {override!r}: the value is not YAML ({error})") from error
    *parents, last = dotted.split(".")
    for part in parents:
        data = data.setdefault(part, {}) if isinstance(data, dict) else data[_index(data, part, dotted)]
    if isinstance(data, dict):
        data[last] = value
    else:
        data[_index(data, last, dotted)] = value


def _index(data: object, part: str, dotted: str) -> int:
    if not isinstance(data, list):
        raise ConfigError(f"override {dotted}: nothing to set {part!r} in; the file has {data!r} there")
    if not part.isdecimal() or int(part) >= len(data):
        raise ConfigError(f"override {dotted}: no entry {part!r} in a list of {len(data)}")
    return int(part)


def _dataclass(data: object, cls: type[T], where: str) -> T:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where or 'top level'}: {data!r}; expected a mapping")
    fields = {
        field.name: field for field in dataclasses.fields(cast("type[DataclassInstance]", cls)) if field.init
    }
    types_of = typing.get_type_hints(cls)
    for key in data:
        if key not in fields:
            raise ConfigError(f"{_join(where, key)}: unknown key; known: {sorted(fields)}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise ConfigError(f"{_join(where, name)}: missing")
    values = {key: _value(item, types_of[key], _join(where, key)) for key, item in data.items()}
    try:
        return cls(**values)
    except ConfigError as error:  # a range check of the class itself, which does not know its path
        raise ConfigError(_join(where, error)) from error


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _value(value: object, kind: object, where: str) -> object:
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _dataclass(value, kind, where)
    if origin in (Union, types.UnionType):
        return None if value is None else _value(value, _not_none(arguments, where), where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where}: {value!r}; must be one of {list(arguments)}")
        return value
    if origin is tuple:
        return _tuple(value, arguments, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: {value!r}; expected a mapping")
        keys, items = arguments
        return {_value(k, keys, f"{where} key"): _value(v, items, _join(where, k)) for k, v in value.items()}
    return _scalar(value, kind, where)


def _not_none(arguments: tuple[object, ...], where: str) -> object:
    kinds = [kind for kind in arguments if kind is not type(None)]
    if len(kinds) != 1 or len(kinds) == len(arguments):
        raise ConfigError(f"{where}: a setting may be of one type, or of one type or null")
    return kinds[0]


def _tuple(value: object, kinds: tuple[object, ...], where: str) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where}: {value!r}; expected a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        raise ConfigError(f"{where}: {len(value)} entries; expected {len(kinds)}")
    pairs = zip(value, kinds, strict=True)
    return tuple(_value(item, kind, _join(where, i)) for i, (item, kind) in enumerate(pairs))


def _scalar(value: YamlNode, kind: object, where: str) -> object:
    if kind not in _PLAIN:
        raise ConfigError(f"{where}: settings cannot be of type {kind!r}")
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where}: {value!r}; expected {_PLAIN[kind]}{_hint(value, kind)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: {value!r}; expected a finite number")
    return value


def _hint(value: object, kind: object) -> str:
    if kind in (int, float) and isinstance(value, str):
        try:
            written = f"{float(value):.1e}"
        except ValueError:
            return ""
        return f" (YAML reads {value} as text; write {written}, with the point)"
    return ""
