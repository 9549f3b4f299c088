"""The pictures and shards of a folder."""

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from editor.photo.reading import SUFFIXES
from train.data.shards import Census, is_hidden, is_shard
from train.errors import DatasetError


@dataclass
class FolderFiles:
    """What lies in a folder."""

    pictures: list[Path] = field(default_factory=list)
    shards: list[Path] = field(default_factory=list)
    left_out: Census = field(default_factory=Census)


def search(folder: Path) -> FolderFiles:
    """Look for pictures, by their suffixes, and .tar shards, in a folder and all below it, in sorted order.

    Links to folders are followed, into each folder once, by its own name where it has one below `folder`.
    What is hidden (`train.data.shards.is_hidden`) is passed over, all other files are counted as left out.

    Raises:
        DatasetError: A folder cannot be looked into.
    """
    found, seen = FolderFiles(), set[str]()
    own, linked = deque([folder]), deque[Path]()
    while own or linked:
        current = own.popleft() if own else linked.popleft()
        real = os.path.realpath(current)  # a link may lead up, and so round in a circle
        if real in seen:
            continue
        seen.add(real)
        try:
            for path in sorted(current.iterdir()):
                if is_hidden(path.name):
                    continue
                if path.is_dir():
                    (linked if path.is_symlink() else own).append(path)
                else:
                    _take(found, path)
        except OSError as error:
            raise DatasetError(f"{current}: cannot be looked into ({error.strerror})") from error
    found.pictures.sort()
    found.shards.sort()
    return found


def _take(found: FolderFiles, path: Path) -> None:
    if path.suffix.lower() in SUFFIXES:
        found.pictures.append(path)
    elif is_shard(path.name):
        found.shards.append(path)
    else:
        found.left_out.leave_out(path.name)
