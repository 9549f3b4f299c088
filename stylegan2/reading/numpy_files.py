"""numpy's own containers: .npy, and .npz, a zip of them."""

import math
import re
import zlib

from torch import Tensor

from stylegan2.reading.document import Tree
from stylegan2.reading.errors import UnreadableFileError, UnsafeFileError, shown
from stylegan2.reading.pickle.budget import SLACK_BYTES, Budget
from stylegan2.reading.pickle.finish import finish
from stylegan2.reading.pickle.inert import Reading
from stylegan2.reading.pickle.machine import run_pickle
from stylegan2.reading.pickle.numpy_calls import dtype as numpy_dtype
from stylegan2.reading.pickle.values import Array
from stylegan2.reading.tensors import array_value, checked_shape, numpy_itemsize
from stylegan2.reading.zip_members import DEFLATED, STORED, Member

MAX_RATIO = 20  # unpacked to packed bytes of an archive; float weights reach 1.1
MAX_HEADER = 4096
_PIECE = 1 << 20
# numpy writes its header in one form only, so that nothing has to interpret it.
_HEADER = re.compile(
    r"\{'descr': '([^']{1,16})', 'fortran_order': (True|False), "
    r"'shape': \(((?:\d{1,15}L?, ?){0,8}(?:\d{1,15}L?)?)\),? ?\}\s*",
    re.ASCII,
)


def read_npy(data: memoryview, reading: Reading) -> Tree:
    """The array of an .npy file: a tensor, text as lists, and of an array of one object that object.

    Raises:
        UnreadableFileError: Damaged or cut short.
        UnsafeFileError: Structures, or objects that `run_pickle` refuses.
    """
    version = bytes(data[6:7])
    start = 10 if version == b"\x01" else 12
    length = int.from_bytes(data[8:start], "little")
    if version not in (b"\x01", b"\x02", b"\x03") or length > MAX_HEADER:
        raise UnreadableFileError(
            f"an .npy of version {version.hex() or '?'} with a header of {length} bytes"
        )
    header, body = bytes(data[start : start + length]).decode("latin-1"), data[start + length :]
    if len(header) < length:
        raise UnreadableFileError("an .npy that ends within its header; the file is truncated")
    match = _HEADER.fullmatch(header)
    if match is None:
        raise UnsafeFileError(f"an .npy of {shown(header.strip())}; plain numbers, text and objects are read")
    kind, fortran = numpy_dtype(match[1] if match[1] != "|O" else "O8"), match[2] == "True"
    shape = checked_shape(tuple(int(size) for size in re.findall(r"\d+", match[3])))
    if kind.code == "O8":
        found, end = run_pickle(body, reading)
        if not isinstance(found, Array) or found.shape != shape or end != len(body):
            raise UnreadableFileError("an .npy of objects that are not those of its header; damaged")
        return finish(found, reading.budget)
    expected = numpy_itemsize(kind) * math.prod(shape)
    if len(body) != expected:
        raise UnreadableFileError(
            f"an .npy of {list(shape)} {kind.code!r} takes {expected} bytes and has {len(body)};"
            " the file is truncated or damaged"
        )
    return array_value(Array(kind, shape, fortran, body), reading.budget)


def read_npz(members: dict[str, Member], reading: Reading) -> dict[str, Tree]:
    """The arrays of an .npz file by name.

    Raises:
        UnreadableFileError: A member is no .npy, or is damaged.
        UnsafeFileError: One unpacks to more than data would.
    """
    unpacked = _Unpacked(reading.budget, sum(len(member.data) for member in members.values()))
    tree: dict[str, Tree] = {}
    size = 0
    for name, member in members.items():
        data = unpacked.bytes_of(member)
        if bytes(data[:6]) != b"\x93NUMPY":
            raise UnreadableFileError(
                f"a zip with {shown(name)!r} in it; an .npz holds .npy and nothing else"
            )
        value = tree[name.removesuffix(".npy")] = read_npy(data, reading)
        size += value.nbytes if isinstance(value, Tensor) else 0
        if size > reading.budget.limit_bytes:
            raise UnsafeFileError(f"more than {reading.budget.limit_bytes} bytes of arrays; refused")
    return tree


class _Unpacked:
    """Unpacks members, and refuses more than `MAX_RATIO` allows over all of them."""

    def __init__(self, budget: Budget, packed_bytes: int) -> None:
        self._left = min(budget.limit_bytes, MAX_RATIO * packed_bytes + SLACK_BYTES)

    def bytes_of(self, member: Member) -> memoryview:
        what = f"zip member {shown(member.name)!r}"
        if member.method == STORED and len(member.data) == member.size:
            found = member.data
        elif member.method == DEFLATED:
            self._left -= member.size
            if self._left < 0:
                raise UnsafeFileError(
                    f"a {what} that unpacks to {member.size} bytes of {len(member.data)}; refused"
                )
            found = memoryview(_inflate(member, what))
        else:
            raise UnsafeFileError(f"a {what} packed by method {member.method}; stored and deflated are read")
        if zlib.crc32(found) != member.crc:
            raise UnreadableFileError(f"a {what} whose checksum differs; the file is damaged")
        return found


def _inflate(member: Member, what: str) -> bytearray:
    """In pieces, and never more than the member declares."""
    inflater, found = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    try:
        for start in range(0, len(member.data), _PIECE):
            # One byte more than declared is enough to see that there is more.
            found += inflater.decompress(member.data[start : start + _PIECE], member.size + 1 - len(found))
            if len(found) > member.size:
                break
    except zlib.error as error:
        raise UnreadableFileError(f"a {what} that cannot be unpacked; the file is damaged") from error
    if len(found) != member.size or not inflater.eof:
        raise UnreadableFileError(f"a {what} that does not unpack to its {member.size} bytes; damaged")
    return found
