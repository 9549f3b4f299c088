"""IPTC-IIM, the older captions of a JPEG: the photo's simple ones, and what was done."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_UTF8 = b"\x1b%G"  # ISO 2022's name of it
_CHARSET = (1, 90)
_VERSION, _INSTRUCTIONS, _PROGRAM, _CAPTION = 0, 40, 65, 120
# Of record 2, those that are kept: title, keywords, dates, author, places, headline, credit, source, rights.
_KEPT = frozenset({5, 25, 55, 60, 80, 85, 90, 92, 95, 100, 101, 105, 110, 115, 116, _CAPTION})
_MAX_TEXT, _MAX_ITEMS = 2000, 60
_RESOURCE = 0x0404  # of Photoshop's image resources: IPTC-IIM

Captions = list[tuple[int, str]]


def read_iptc(resources: object) -> Captions:
    """The captions of a JPEG that are kept.

    Args:
        resources: Pillow's `info["photoshop"]`: Photoshop's image resources by number.

    Returns:
        (dataset of record 2, text) in their order; empty where there are none, or they are damaged.
    """
    block = resources.get(_RESOURCE) if isinstance(resources, dict) else None
    if not isinstance(block, bytes):
        return []
    datasets = list(_datasets(block))
    is_utf8 = (*_CHARSET, _UTF8) in datasets
    captions = [
        (number, _decoded(value, is_utf8=is_utf8))
        for record, number, value in datasets
        if record == 2 and number in _KEPT and 0 < len(value) <= _MAX_TEXT
    ]
    return captions[:_MAX_ITEMS]


def segment(note: str, software: str, kept: Captions) -> bytes:
    """A JPEG's APP13 segment with the kept captions, marked as edited.

    Args:
        note: What was done: the instructions, and the caption where `kept` has none.
        software: What did it.
        kept: What `read_iptc` gave.
    """
    own = [(_INSTRUCTIONS, note[:250]), (_PROGRAM, software[:32])]
    if all(number != _CAPTION for number, _ in kept):
        own.append((_CAPTION, note))
    block = _dataset(*_CHARSET, _UTF8) + _dataset(2, _VERSION, b"\0\4")
    for number, text in sorted([*kept, *own], key=lambda caption: caption[0]):
        value = _dataset(2, number, text.encode()[:_MAX_TEXT])
        # With the bytes around it, a segment holds 65,533.
        block += value if len(block) + len(value) < 60_000 else b""
    body = b"Photoshop 3.0\x008BIM" + struct.pack(">HHI", _RESOURCE, 0, len(block)) + block
    body += b"\0" * (len(block) % 2)
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def _dataset(record: int, number: int, value: bytes) -> bytes:
    return struct.pack(">BBBH", 0x1C, record, number, len(value)) + value


def _datasets(block: bytes) -> Iterator[tuple[int, int, bytes]]:
    place = 0
    while place + 5 <= len(block) and block[place] == 0x1C:
        record, number, length = struct.unpack(">BBH", block[place + 1 : place + 5])
        if length >= 0x8000:  # an extended one; nothing that is kept is so long
            return
        yield record, number, block[place + 5 : place + 5 + length]
        place += 5 + length


def _decoded(value: bytes, *, is_utf8: bool) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("utf-8" if is_utf8 else "latin-1", "replace")
