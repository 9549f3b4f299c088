"""The allow-list: what a pickle may call, each name answered by a function of ours."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from stylegan2.reading.errors import UnreadableFileError, UnsafeFileError, shown
from stylegan2.reading.pickle import numpy_calls
from stylegan2.reading.pickle.budget import Budget
from stylegan2.reading.pickle.values import Array, Dtype, Instance, Name, Record, Storage, View

MAX_ARGUMENTS = 64  # of a call; every call copies them

_RECORDS = ("argparse.Namespace", "types.SimpleNamespace", "dnnlib.util.EasyDict", "easydict.EasyDict")
_DICTS = ("collections.OrderedDict", "collections.defaultdict", "builtins.dict")
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_RENAMED = {"__builtin__.": "builtins.", "copy_reg.": "copyreg.", "numpy._core.": "numpy.core."}


@dataclass(frozen=True)
class Reading:
    """What the reading of one file shares over its levels."""

    budget: Budget
    nested: Callable[[memoryview, "Reading"], object]  # reads a file within the file


def call(reading: Reading, function: object, args: object) -> object:
    """What a pickle's REDUCE gives: the answer of our function of that name.

    Raises:
        UnsafeFileError: The name is not on the list, whatever it is.
        UnreadableFileError: It is, with arguments that no weights file gives it.
    """
    if not isinstance(function, Name):
        raise UnsafeFileError("would call an object of the file; refused, only data is read")
    ours = _CALLS.get(_current(function.text))
    if ours is None:
        raise UnsafeFileError(f"would call {shown(function.text)}; refused, only data is read")
    if not isinstance(args, tuple) or len(args) > MAX_ARGUMENTS:
        _refuse_arguments(function.text)
    try:
        return ours(reading, *args)
    except TypeError as error:  # of another number of arguments
        raise UnreadableFileError(f"odd arguments of {shown(function.text)}; the file is damaged") from error


def create(reading: Reading, cls: object, args: object, kwargs: object = None) -> object:
    """A new object of a class that is only named: inert whatever the name, since nothing is looked up.

    Raises:
        UnreadableFileError: No name of a class, or no arguments.
    """
    kwargs = {} if kwargs is None else kwargs
    if not isinstance(cls, Name) or not isinstance(args, tuple) or not isinstance(kwargs, dict):
        raise UnreadableFileError("an object of no class; the pickle is damaged")
    name = _current(cls.text)
    if name in _RECORDS:
        return _record(reading, kwargs)
    if name in _DICTS:
        return {}
    return Instance(cls.text, args, kwargs)


def build(reading: Reading, target: object, state: object) -> None:
    """What a pickle's BUILD does: set the state of an object.

    Raises:
        UnsafeFileError: The object is none that takes a state.
    """
    match target:
        case Record():
            target.update(_dict(reading, state))
        case dict():
            pass  # attributes of an ordered dict: `_metadata` of a state dict, no data
        case Instance(state=None):
            target.state = state
        case Dtype():
            numpy_calls.build_dtype(target, state)
        case Array():
            numpy_calls.build_array(reading.budget, target, state)
        case _:
            raise UnsafeFileError(f"would set the state of a {type(target).__name__}; refused")


def set_items(target: object, pairs: object) -> None:
    """Entries of a dict. Keys are plain values, so that no hash of theirs can be made slow.

    Raises:
        UnsafeFileError: The target is no dict, or a key is no plain value.
    """
    if not isinstance(target, dict):
        what = target.name if isinstance(target, Instance) else type(target).__name__
        raise UnsafeFileError(f"would set items of {shown(what)}; refused, only dicts have them")
    for key, value in pairs:  # type: ignore[attr-defined]
        if not (key is None or isinstance(key, (str, bytes, float)) or _is_small_integer(key)):
            raise UnsafeFileError(f"a dict key of type {type(key).__name__}; text and numbers are read")
        target[key] = value


def _is_small_integer(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() <= 64


def _current(name: str) -> str:
    """The name by today's modules: Python 2 and old and new numpy call some otherwise."""
    for prefix, current in _RENAMED.items():
        if name.startswith(prefix):
            return current + name.removeprefix(prefix)
    return name


def _refuse_arguments(name: str) -> NoReturn:
    raise UnreadableFileError(f"odd arguments of {shown(name)}; the file is damaged")


def _tensor(
    _: Reading, storage: object, offset: object, size: object, stride: object, *_rest: object
) -> View:
    if not (isinstance(storage, Storage) and isinstance(size, tuple) and isinstance(stride, tuple)):
        _refuse_arguments("torch._utils._rebuild_tensor")
    return View(storage, offset, size, stride)  # type: ignore[arg-type]  # checked with the bytes at hand


def _attributed(reading: Reading, function: object, _cls: object, args: object, *_state: object) -> object:
    """A tensor with attributes of its own, or of a class of its own, neither of which is kept."""
    if not isinstance(function, Name) or _CALLS.get(function.text) is not _tensor:
        _refuse_arguments("torch._tensor._rebuild_from_type_v2")
    return call(reading, function, args)


def _parameter(_: Reading, data: object, *_rest: object) -> View:
    return data if isinstance(data, View) else _refuse_arguments("torch._utils._rebuild_parameter")


def _nested(reading: Reading, data: object) -> object:
    if isinstance(data, (bytes, memoryview)):
        with reading.budget.nested():
            return reading.nested(memoryview(data), reading)
    _refuse_arguments("torch.storage._load_from_bytes")


def _device(_: Reading, kind: object, index: object = None) -> str:
    if isinstance(kind, str) and len(kind) < 32 and (index is None or _is_small_integer(index)):
        return kind if index is None else f"{kind}:{index}"
    _refuse_arguments("torch.device")


def _path(reading: Reading, *parts: object) -> str:
    if all(isinstance(part, str) and len(part) < 4096 for part in parts):
        # Absolute paths are pickled with "/" as their first part.
        path = "/".join(map(str, parts)).replace("//", "/", 1)
        reading.budget.copy(len(path))
        return path
    _refuse_arguments("pathlib.Path")


def _sequence(reading: Reading, values: object = ()) -> list[Any]:
    if isinstance(values, (list, tuple)):
        reading.budget.step(len(values))
        return list(values)
    _refuse_arguments("a list, tuple or set")


def _fixed(reading: Reading, values: object = ()) -> tuple[Any, ...]:
    return tuple(_sequence(reading, values))


def _dict(reading: Reading, pairs: object = ()) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    items = list(pairs.items()) if isinstance(pairs, dict) else pairs
    for pair in _sequence(reading, items):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            _refuse_arguments("a dict")
        set_items(result, [pair])
    return result


def _default_dict(reading: Reading, _factory: object = None, pairs: object = ()) -> dict[Any, Any]:
    return _dict(reading, pairs)


def _record(reading: Reading, pairs: object = ()) -> Record:
    return Record(_dict(reading, pairs))


def _encode(reading: Reading, text: object, encoding: object = "latin1") -> bytes:
    if isinstance(text, str) and encoding in ("latin1", "latin-1"):
        reading.budget.copy(len(text))
        return text.encode("latin-1")
    _refuse_arguments("_codecs.encode")


def _bytes(reading: Reading, text: object = b"", encoding: object = "latin1") -> bytes:
    """Before protocol 5 an array of bytes is pickled as text or as bytes, an empty one as nothing."""
    return text if isinstance(text, bytes) else _encode(reading, text, encoding)


def _reconstruct(reading: Reading, cls: object, base: object, state: object) -> object:
    """Objects of protocols 0 and 1: of a class, based on `object` or on a dict of `state`."""
    created = create(reading, cls, ())
    if isinstance(base, Name):
        kind = _current(base.text)
        if kind == "builtins.object" and state is None:
            return created
        if kind == "builtins.dict" and isinstance(created, dict):
            created.update(_dict(reading, state))
            return created
    raise UnsafeFileError(f"would build {shown(cls.text if isinstance(cls, Name) else '?')} on another class")


def _persistent(reading: Reading, meta: object) -> Instance:
    """NVIDIA's pickled classes: `meta` holds their source, which is dropped, and their data."""
    match meta:
        case {"class_name": str(name), "state": dict(state)} if len(name) <= 512:
            match state.get("_init_args", ()), state.get("_init_kwargs", {}):
                case ((tuple() | list() as args), dict(kwargs)):
                    return Instance(name, _fixed(reading, args), kwargs, state)
    _refuse_arguments("torch_utils.persistence._reconstruct_persistent_obj")


def _dtype(_: Reading, code: object, *_rest: object) -> Dtype:
    return numpy_calls.dtype(code)


def _array(_: Reading, cls: object, *_rest: object) -> Array:
    if cls == Name("numpy.ndarray"):
        return Array()
    raise UnsafeFileError(
        f"would make an array of {shown(str(getattr(cls, 'text', '?')))}; numpy.ndarray is read"
    )


_Call = Callable[..., object]
_CALLS: dict[str, _Call] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _attributed,
    "torch.storage._load_from_bytes": _nested,
    "torch.device": _device,
    "torch.Size": _fixed,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "numpy.core.multiarray._reconstruct": _array,
    "numpy.core.multiarray.scalar": lambda reading, *args: numpy_calls.scalar(reading.budget, *args),
    "numpy.core.numeric._frombuffer": lambda reading, *args: numpy_calls.from_buffer(reading.budget, *args),
    "numpy.dtype": _dtype,
    "_codecs.encode": _encode,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytes,
    "builtins.list": _sequence,
    "builtins.set": _sequence,
    "builtins.frozenset": _sequence,
    "builtins.tuple": _fixed,
    "builtins.dict": _dict,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _default_dict,
    "copyreg._reconstructor": _reconstruct,
    **dict.fromkeys(_RECORDS, _record),
    **dict.fromkeys((f"pathlib.{name}" for name in _PATHS), _path),
    **dict.fromkeys((f"pathlib._local.{name}" for name in _PATHS), _path),
}
