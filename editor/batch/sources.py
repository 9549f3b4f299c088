"""Photos of a folder or of tar shards, by name."""

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from editor.errors import BatchError
from editor.photo.reading import SUFFIXES

_SHARD = ".tar"


@dataclass(frozen=True)
class Item:
    """One photo."""

    name: str  # path within the source, with "/"; of a shard's file the shard's name comes first
    read: Callable[[], bytes]


def find_items(source: str | Path) -> list[Item]:
    """All photos of a folder, its subfolders and the shards in it, or of one shard; sorted by name.

    Names that begin with a dot are left out, as is what does not end like a photo.

    Args:
        source: A folder, a photo or a WebDataset shard (`.tar`).

    Raises:
        BatchError: It is not there, a shard is damaged, or there is no photo.
    """
    source = Path(source)
    if source.is_dir():
        files = [file for file in sorted(source.rglob("*")) if file.is_file() and not _hidden(file, source)]
    elif source.is_file():
        files, source = [source], source.parent
    else:
        raise BatchError(f"{source}: no such file or folder; name a folder of photos or a .tar shard")
    items: list[Item] = []
    for file in files:
        name = file.relative_to(source).as_posix()
        if file.suffix.lower() == _SHARD:
            items += _of_shard(file, name.removesuffix(file.suffix))
        elif file.suffix.lower() in SUFFIXES:
            items.append(Item(name, file.read_bytes))
    if not items:
        raise BatchError(f"{source}: no photo there; allowed are {', '.join(SUFFIXES)} and {_SHARD} shards")
    return sorted(items, key=lambda item: item.name)


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def _of_shard(file: Path, name: str) -> list[Item]:
    """Photos of a shard, which is read from the disk whenever one of them is."""
    try:
        with tarfile.open(file) as shard:
            members = [member for member in shard if member.isreg()]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BatchError(f"{file}: no tar shard that can be read ({error})") from error
    items = []
    for member in members:
        path = PurePosixPath(member.name)
        inside = not path.is_absolute() and ".." not in path.parts
        if inside and path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            items.append(Item(f"{name}/{path}", _reader(file, member.offset_data, member.size)))
    return items


def _reader(file: Path, offset: int, size: int) -> Callable[[], bytes]:
    def read() -> bytes:
        with file.open("rb") as shard:
            shard.seek(offset)
            return shard.read(size)

    return read
