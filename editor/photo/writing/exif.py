"""EXIF rebuilt from a list of harmless tags: no thumbnail, no maker's notes, nothing unknown."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

from editor.errors import DECODER_ERRORS

HEADER = b"Exif\0\0"

_DESCRIPTION, _ORIENTATION, _SOFTWARE, _EXIF, _GPS = 0x010E, 0x0112, 0x0131, 0x8769, 0x8825
_COMMENT, _COLOUR_SPACE, _WIDTH, _HEIGHT, _INTEROP = 0x9286, 0xA001, 0xA002, 0xA003, 0xA005
_SUBJECT = (0x9214, 0xA214)

# What is kept, of the first directory and its three children. Left out, among others: the second directory,
# which is the thumbnail; MakerNote, which may hold previews; and whatever this table does not know.
_IMAGE_TAGS = frozenset(
    {
        *(_DESCRIPTION, 0x010F, 0x0110, _ORIENTATION, 0x011A, 0x011B, 0x0128, 0x0132, 0x013B, 0x013C),
        *(0x0213, 0x4746, 0x4749, 0x8298),  # position of chroma samples, rating, copyright
        *range(0x9C9B, 0x9CA0),  # title, comment, author, keywords, subject in Windows' words
    }
)
_EXIF_TAGS = frozenset(
    {
        *(0x829A, 0x829D, 0x8822, 0x8824, 0x8827, *range(0x8830, 0x8836), 0x9000, 0x9003, 0x9004),
        *(0x9010, 0x9011, 0x9012, 0x9101, 0x9102, *range(0x9201, 0x920B), _COMMENT, *_SUBJECT),
        *(0x9290, 0x9291, 0x9292, *range(0x9400, 0x9406), 0xA000, _COLOUR_SPACE, _WIDTH, _HEIGHT),
        *(0xA20B, 0xA20E, 0xA20F, 0xA210, 0xA215, 0xA217, 0xA300, 0xA301, 0xA302),
        *(*range(0xA401, 0xA40B), 0xA40C, *range(0xA430, 0xA43B), *range(0xA460, 0xA463), 0xA500),
    }
)
_GPS_TAGS = frozenset(range(0x20))
_INTEROP_TAGS = frozenset({1, 2})  # which colours the numbers mean: R98, R03

_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
}  # bytes of a value by type
_ASCII, _SHORT, _LONG, _UNDEFINED = 2, 3, 4, 7
_MAX_ENTRIES = 500
_MAX_VALUE = 4096  # bytes: no picture worth looking at fits
_MAX_ALL = 60_000  # a JPEG's segment holds 65,527

_Entry = tuple[int, int, bytes]  # type, number of values, the values in the file's byte order


@dataclass(frozen=True)
class Exif:
    """The kept tags of a file: {tag: (type, count, values)} of four directories."""

    order: str = ">"
    image: dict[int, _Entry] = field(default_factory=dict)
    exif: dict[int, _Entry] = field(default_factory=dict)
    gps: dict[int, _Entry] = field(default_factory=dict)
    interop: dict[int, _Entry] = field(default_factory=dict)


def read_exif(source: bytes | BinaryIO) -> Exif:
    """The tags of a file that are kept.

    Args:
        source: An EXIF block, with or without its header "Exif", or a whole TIFF, which is one.

    Returns:
        Empty where there are none, or they are damaged.
    """
    stream = io.BytesIO(source.removeprefix(HEADER)) if isinstance(source, bytes) else source
    try:
        head = stream.read(8)
        order = {b"II": "<", b"MM": ">"}[head[:2]]
        magic, start = struct.unpack(f"{order}HI", head[2:])
        if magic != 42:
            return Exif()
        image = _directory(stream, order, start, _IMAGE_TAGS | {_EXIF, _GPS})
        exif = _child(stream, order, image.pop(_EXIF, None), _EXIF_TAGS | {_INTEROP})
        gps = _child(stream, order, image.pop(_GPS, None), _GPS_TAGS)
        interop = _child(stream, order, exif.pop(_INTEROP, None), _INTEROP_TAGS)
    except DECODER_ERRORS:
        return Exif()
    return Exif(order, image, exif, gps, interop)


def rebuilt(
    found: Exif,
    *,
    note: str,
    software: str,
    orientation: int,
    size: tuple[int, int],
    keeps_colours: bool = True,
) -> bytes:
    """An EXIF block of the kept tags, marked as edited.

    `note` becomes the ImageDescription; where the user has one of their own, the UserComment; where they have
    both, these stay and Software alone says it.

    Args:
        found: What `read_exif` gave.
        note: What was done, in one line.
        software: What did it.
        orientation: How the pixels are stored, 1..8.
        size: Width and height of the pixels as they are stored.
        keeps_colours: Whether the numbers mean the colours that they meant in the file.

    Returns:
        The block with its header "Exif", at most 64 kB.
    """
    order = found.order
    image, exif, interop = dict(found.image), dict(found.exif), dict(found.interop)
    image[_SOFTWARE] = _text(software)
    image[_ORIENTATION] = (_SHORT, 1, struct.pack(f"{order}H", orientation))
    if not _words(image.get(_DESCRIPTION)):
        image[_DESCRIPTION] = _text(note)
    elif not _words(exif.get(_COMMENT)):
        exif[_COMMENT] = _comment(note, order)
    sides = dict(zip((_WIDTH, _HEIGHT), size, strict=True))
    if any(tag in exif and _number(exif[tag], order) != side for tag, side in sides.items()):
        exif.update({tag: (_LONG, 1, struct.pack(f"{order}I", side)) for tag, side in sides.items()})
        for tag in _SUBJECT:  # where it is, in the picture as it lay
            exif.pop(tag, None)
    if not keeps_colours:
        exif.pop(_COLOUR_SPACE, None)
        interop = {}
    _shrink(image, exif)
    return HEADER + _written(order, image, exif, found.gps, interop)


def _child(
    stream: BinaryIO, order: str, pointer: _Entry | None, tags: frozenset[int] | set[int]
) -> dict[int, _Entry]:
    if pointer is None or pointer[:2] != (_LONG, 1):
        return {}
    try:
        return _directory(stream, order, struct.unpack(f"{order}I", pointer[2])[0], tags)
    except DECODER_ERRORS:  # the others may be whole
        return {}


def _directory(stream: BinaryIO, order: str, start: int, tags: Iterable[int]) -> dict[int, _Entry]:
    stream.seek(start)
    count = struct.unpack(f"{order}H", stream.read(2))[0]
    table = stream.read(12 * min(count, _MAX_ENTRIES))
    entries: dict[int, _Entry] = {}
    for tag, kind, number, inline in struct.iter_unpack(f"{order}HHI4s", table[: len(table) // 12 * 12]):
        length = _SIZES.get(kind, 0) * number
        if tag not in tags or tag in entries or not 0 < length <= _MAX_VALUE:
            continue
        values = inline[:length]
        if length > 4:
            stream.seek(struct.unpack(f"{order}I", inline)[0])
            values = stream.read(length)
        if len(values) == length:
            entries[tag] = (kind, number, values)
    return entries


def _number(entry: _Entry, order: str) -> int:
    return int.from_bytes(entry[2], "little" if order == "<" else "big")


def _words(entry: _Entry | None) -> bytes:
    """What a text says; b"" for none, and for the blanks that cameras write in its place."""
    if entry is None:
        return b""
    kind, _, values = entry
    text = values[8:] if kind == _UNDEFINED else values  # a comment begins with the name of its alphabet
    return text.strip(b"\0 ")


def _text(words: str) -> _Entry:
    values = words.encode()[: _MAX_VALUE - 1] + b"\0"
    return _ASCII, len(values), values


def _comment(words: str, order: str) -> _Entry:
    words = words[:1000]
    if words.isascii():
        values = b"ASCII\0\0\0" + words.encode()
    else:
        values = b"UNICODE\0" + words.encode("utf-16-le" if order == "<" else "utf-16-be")
    return _UNDEFINED, len(values), values


def _shrink(*directories: dict[int, _Entry]) -> None:
    """Drop the longest values until all fit into a segment."""
    sizes = sorted(
        (
            (len(entry[2]), place, tag)
            for place, entries in enumerate(directories)
            for tag, entry in entries.items()
        )
    )
    total = sum(size for size, _, _ in sizes)
    while total > _MAX_ALL - 12 * _MAX_ENTRIES:
        size, place, tag = sizes.pop()
        del directories[place][tag]
        total -= size


def _written(
    order: str,
    image: dict[int, _Entry],
    exif: dict[int, _Entry],
    gps: dict[int, _Entry],
    interop: dict[int, _Entry],
) -> bytes:
    """The directories one after another, each with its values behind it; children first in `pointers`."""

    def length(entries: dict[int, _Entry], children: int) -> int:
        outside = sum(_even(len(values)) for _, _, values in entries.values() if len(values) > 4)
        return 2 + 12 * (len(entries) + children) + 4 + outside

    place = 8 + length(image, bool(exif or interop) + bool(gps))
    parts: list[bytes] = []
    pointers: dict[int, _Entry] = {}

    def add(entries: dict[int, _Entry], children: dict[int, _Entry]) -> _Entry:
        nonlocal place
        begin = place
        parts.append(_packed(order, entries | children, begin))
        place += len(parts[-1])
        return _LONG, 1, struct.pack(f"{order}I", begin)

    if exif or interop:
        inner = {_INTEROP: add(interop, {})} if interop else {}
        pointers[_EXIF] = add(exif, inner)
    if gps:
        pointers[_GPS] = add(gps, {})
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + _packed(order, image | pointers, 8) + b"".join(parts)


def _packed(order: str, entries: dict[int, _Entry], begin: int) -> bytes:
    """One directory that stands at `begin`, its entries in the order of their tags, no directory after it."""
    table, outside = struct.pack(f"{order}H", len(entries)), b""
    free = begin + 2 + 12 * len(entries) + 4
    for tag, (kind, number, values) in sorted(entries.items()):
        inline = values.ljust(4, b"\0")
        if len(values) > 4:
            inline = struct.pack(f"{order}I", free + len(outside))
            outside += values.ljust(_even(len(values)), b"\0")
        table += struct.pack(f"{order}HHI4s", tag, kind, number, inline)
    return table + bytes(4) + outside


def _even(length: int) -> int:
    return length + length % 2
