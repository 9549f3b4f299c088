"""PyTorch's two containers: the zip of today, and the stream of pickles that came before it."""

import struct
from typing import Any

from stylegan2.reading.errors import UnreadableFileError, UnsafeFileError, shown
from stylegan2.reading.pickle.inert import Reading
from stylegan2.reading.pickle.machine import run_pickle
from stylegan2.reading.pickle.values import Name, Storage
from stylegan2.reading.tensors import MAX_NUMEL, STORAGES
from stylegan2.reading.zip_members import STORED, Member

PROTOCOL = 1001


def torch_zip(members: dict[str, Member], reading: Reading) -> object:
    """What `torch.save` put into a zip, its tensors as views of the members.

    Raises:
        UnreadableFileError: Members are missing or of another size than declared.
        UnsafeFileError: A program (TorchScript), compressed, big-endian, or what `run_pickle` refuses.
    """
    roots = [name.removesuffix("data.pkl") for name in members if _is_root(name)]
    if len(roots) != 1:
        raise UnreadableFileError(f"a zip with {len(roots)} data.pkl; a PyTorch file has one")
    (root,) = roots
    if f"{root}constants.pkl" in members or any(name.startswith(f"{root}code/") for name in members):
        raise UnsafeFileError("a TorchScript program, not weights; save its state_dict instead")
    order = members.get(f"{root}byteorder")
    if order is not None and bytes(order.data[:16]) != b"little":
        raise UnsafeFileError(
            f"byteorder {shown(bytes(order.data[:16]).decode('latin-1'))!r}; little is read"
        )

    def persistent(identity: object) -> Storage:
        key, storage = _storage(identity)
        member = members.get(f"{root}data/{key}")
        if member is None:
            raise UnreadableFileError(f"a tensor whose numbers {shown(key)!r} are not in the zip; damaged")
        storage.data = _stored(member)
        return storage

    tree, _ = run_pickle(_stored(members[f"{root}data.pkl"]), reading, persistent)
    return tree


def _is_root(name: str) -> bool:
    return name == "data.pkl" or (name.endswith("/data.pkl") and name.count("/") == 1)


def _stored(member: Member) -> memoryview:
    if member.method != STORED or len(member.data) != member.size:
        raise UnsafeFileError(
            f"a compressed zip member {shown(member.name)!r}; PyTorch stores them as they are"
        )
    return member.data


def torch_legacy(data: memoryview, reading: Reading) -> object:
    """What `torch.save` wrote before PyTorch 1.6: five pickles, then the storages in the order of the last.

    Raises:
        UnreadableFileError: Cut short, of another version, or storages of another size than declared.
        UnsafeFileError: Big-endian, or what `run_pickle` refuses.
    """
    storages: dict[str, Storage] = {}

    def persistent(identity: object) -> object:
        match identity:
            # Sources of a module stand beside the name of its class; only the name is kept.
            case ("module", Name() as cls, *_):
                return cls
        key, storage = _storage(identity)
        known = storages.setdefault(key, storage)
        if (known.dtype, known.numel) != (storage.dtype, storage.numel):
            raise UnsafeFileError(f"a storage {shown(key)!r} of two kinds; refused")
        return known

    _magic, position = run_pickle(data, reading)
    version, position = run_pickle(data, reading, start=position)
    system, position = run_pickle(data, reading, start=position)
    if version != PROTOCOL or not isinstance(system, dict):
        raise UnreadableFileError("an old PyTorch stream of an unknown version; damaged")
    if system.get("little_endian") is not True:
        raise UnsafeFileError("big-endian numbers in an old PyTorch stream; little-endian are read")
    tree, position = run_pickle(data, reading, persistent, position)
    keys, position = run_pickle(data, reading, start=position)
    _fill(data, position, keys, storages)
    return tree


def _fill(data: memoryview, position: int, keys: object, storages: dict[str, Storage]) -> None:
    """Give each storage its bytes: a count of elements, then the elements."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise UnreadableFileError("an old PyTorch stream without its list of storages; damaged")
    if len(set(keys)) != len(keys) or set(keys) != set(storages):
        raise UnreadableFileError("an old PyTorch stream whose storages are not those it lists; damaged")
    for key in keys:
        storage = storages[key]
        if position + 8 > len(data):
            raise UnreadableFileError("an old PyTorch stream that ends before its last storage; truncated")
        (count,) = struct.unpack_from("<q", data, position)
        size = storage.numel * storage.dtype.itemsize
        position += 8
        if count != storage.numel or position + size > len(data):
            raise UnreadableFileError(
                f"a storage of {storage.numel} elements where the file has room for"
                f" {max(0, len(data) - position)} bytes and says {count}; truncated or damaged"
            )
        storage.data = data[position : position + size]
        position += size
    if position != len(data):
        raise UnreadableFileError(f"{len(data) - position} bytes after the last storage; damaged")


def _storage(identity: object) -> tuple[str, Storage]:
    """Key and kind of a storage; its identity is ("storage", class, key, device, elements[, view])."""
    match identity:
        case ("storage", Name(text), str(key), str(), int(numel), *rest) if len(rest) <= 1:
            if text not in STORAGES:
                raise UnsafeFileError(f"a storage of {shown(text)}; read are {', '.join(STORAGES)}")
            if rest and rest[0] is not None:
                raise UnsafeFileError("a storage that is a view of another; refused")
            if not 0 <= numel <= MAX_NUMEL:
                raise UnsafeFileError(f"a storage of {numel} elements; from 0 to {MAX_NUMEL} are read")
            return key, Storage(STORAGES[text], numel)
    raise UnsafeFileError("refers to data outside of its pickle that is no storage; refused")


def is_torch_zip(members: dict[str, Any]) -> bool:
    """Whether an archive is one of `torch.save`."""
    return any(_is_root(name) for name in members)
