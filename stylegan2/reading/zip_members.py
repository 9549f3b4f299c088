"""Directory of a zip archive, with every offset and length checked; nothing is extracted to disk."""

import struct
from dataclasses import dataclass

from stylegan2.reading.errors import UnreadableFileError, UnsafeFileError, shown
from stylegan2.reading.pickle.budget import Budget

STORED, DEFLATED = 0, 8
MAX_MEMBERS = 20_000
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_TRUNCATED = "the file is truncated or damaged, fetch it again"


@dataclass(frozen=True)
class Member:
    """One file of an archive."""

    name: str
    method: int  # STORED, DEFLATED or another
    crc: int
    size: int  # bytes, unpacked
    data: memoryview  # as it is in the archive


def zip_members(data: memoryview, budget: Budget) -> dict[str, Member]:
    """Members by name.

    Raises:
        UnreadableFileError: No directory, or one that points outside of the file.
        UnsafeFileError: Encrypted, overlapping, doubled or too many members, or a name out of its folder.
    """
    position, end, count = _directory(data)
    first = position
    if count > MAX_MEMBERS:
        raise UnsafeFileError(f"a zip of {count} members; at most {MAX_MEMBERS} are read")
    budget.step(10 * count)
    members: dict[str, Member] = {}
    spans: list[tuple[int, int]] = []
    for _ in range(count):
        if position + _ENTRY.size > end:
            raise UnreadableFileError(f"a zip directory with fewer than {count} members; {_TRUNCATED}")
        entry = _ENTRY.unpack_from(data, position)
        name_end = position + _ENTRY.size + entry[10]
        extra_end = name_end + entry[11]
        position = extra_end + entry[12]
        if entry[0] != b"PK\x01\x02" or position > end:
            raise UnreadableFileError(f"a zip directory that is none; {_TRUNCATED}")
        raw_name = bytes(data[name_end - entry[10] : name_end])
        name = _checked_name(raw_name)
        if name in members:
            raise UnsafeFileError(f"a zip with two members {shown(name)!r}; refused")
        if entry[3] & 1:
            raise UnsafeFileError(f"an encrypted zip member {shown(name)!r}; refused")
        size, packed, start = _sizes(entry, bytes(data[name_end:extra_end]))
        begin = _begin(data, start, raw_name)
        spans.append((start, begin + packed))
        members[name] = Member(name, entry[4], entry[7], size, data[begin : begin + packed])
    _refuse_overlap(spans, first)
    return members


def _directory(data: memoryview) -> tuple[int, int, int]:
    """Start and end of the directory in bytes, and its number of members."""
    tail = max(0, len(data) - _END.size - 0xFFFF)
    found = bytes(data[tail:]).rfind(b"PK\x05\x06")
    if found < 0 or tail + found + _END.size > len(data):
        raise UnreadableFileError(f"a zip without its directory; {_TRUNCATED}")
    position = tail + found
    *_, count, size, start, _comment = _END.unpack_from(data, position)
    if position >= 20 and bytes(data[position - 20 : position - 16]) == b"PK\x06\x07":
        (position,) = struct.unpack_from("<Q", data, position - 12)
        if position + _END64.size > len(data) or bytes(data[position : position + 4]) != b"PK\x06\x06":
            raise UnreadableFileError(f"a zip whose large directory is elsewhere; {_TRUNCATED}")
        *_, count, size, start = _END64.unpack_from(data, position)
    if start + size > position:
        raise UnreadableFileError(f"a zip directory that reaches beyond the file; {_TRUNCATED}")
    return start, start + size, count


def _checked_name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"a zip member without a readable name; {_TRUNCATED}") from error
    if name.startswith("/") or "\\" in name or ":" in name or "\0" in name or ".." in name.split("/"):
        raise UnsafeFileError(f"a zip member {shown(name)!r} that leaves its folder; refused")
    return name


def _sizes(entry: tuple[int, ...], extra: bytes) -> tuple[int, int, int]:
    """Unpacked and packed size and start, of the zip64 field where the entry has no room for them."""
    packed, size, start = entry[8], entry[9], entry[16]
    values = [size, packed, start]
    if 0xFFFFFFFF in values:
        while len(extra) >= 4:
            kind, length = struct.unpack_from("<2H", extra)
            if kind == 1:
                field = extra[4 : 4 + length]
                large = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
                values = [next(large, -1) if value == 0xFFFFFFFF else value for value in values]
                break
            extra = extra[4 + length :]
    if min(values) < 0:
        raise UnreadableFileError(f"a zip member without its size; {_TRUNCATED}")
    return values[0], values[1], values[2]


def _begin(data: memoryview, start: int, raw_name: bytes) -> int:
    """Where a member's bytes begin: after the header that stands before them and repeats its name."""
    if start + _LOCAL.size > len(data):
        raise UnreadableFileError(f"a zip member that begins beyond the file; {_TRUNCATED}")
    magic, *_, name_length, extra_length = _LOCAL.unpack_from(data, start)
    name = bytes(data[start + _LOCAL.size : start + _LOCAL.size + name_length])
    if magic != b"PK\x03\x04" or name != raw_name:
        raise UnreadableFileError(f"a zip member that is not where its directory says; {_TRUNCATED}")
    begin: int = start + _LOCAL.size + name_length + extra_length
    return begin


def _refuse_overlap(spans: list[tuple[int, int]], end: int) -> None:
    """Members that share bytes are how small archives unpack to huge ones."""
    reached = 0
    for start, stop in sorted(spans):
        if start < reached or stop > end:
            raise UnsafeFileError("a zip with overlapping members; refused")
        reached = stop
