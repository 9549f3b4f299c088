"""Real faces: WebDataset shards, on disk or at an address, or a folder of pictures."""

import glob
import hashlib
import itertools
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import braceexpand
import numpy as np
import torch
import webdataset as wds
from PIL import Image
from torch import Tensor

from editor.errors import ImageInputError
from editor.photo.reading import SUFFIXES, load_photo
from train.data.folders import search
from train.data.shards import (
    Census,
    Sample,
    count_shard,
    is_address,
    is_shard,
    read_shard,
    shard_name,
    without_query,
)
from train.errors import DatasetError

WHOLE = (0, 1)  # every picture of a shard, see `ImageSource.samples`


@dataclass(frozen=True)
class ImageSource:
    """Where pictures come from: tar shards, or the files of a folder."""

    name: str  # as the user wrote it, but for an address's query, for messages
    files: tuple[str, ...]  # local paths; of shards also addresses
    shards: bool
    left_out: Census = field(default_factory=Census)  # of a folder's files; of shards `describe` counts them

    def samples(
        self, files: list[str], buffer: int, rng: random.Random | None, part: tuple[int, int] = WHOLE
    ) -> Iterator[Sample]:
        """One pass over `files`: in order without `rng`, else shuffled within a buffer of `buffer` pictures.

        Args:
            files: Some of `self.files`.
            buffer: Pictures.
            rng: Shuffles.
            part: (i, k) takes the pictures i, i + k, i + 2k... of every shard, as they are stored.

        Raises:
            DatasetError: A shard or file cannot be read.
        """
        read = _read_shards(files, part) if self.shards else _read_files(files)
        return read if rng is None else _shuffled(read, buffer, rng)

    def describe(self) -> str:
        """How many pictures there are in how many files, and what is left out, in one sentence.

        Local shards are counted by their headers; those at an address, which nobody has yet, are not.

        Raises:
            DatasetError: A shard is missing or damaged.
        """
        if any(map(is_address, self.files)):
            return f"{self.name}: {_counted(len(self.files), 'file')}, streamed"
        census = replace(self.left_out, pictures=0 if self.shards else len(self.files))
        if self.shards:
            for file in self.files:
                count_shard(file, census)
        counts = describe_counts(self.name, census.pictures, len(self.files))
        return "; ".join(filter(None, (counts, str(census))))


def describe_counts(name: str, pictures: int, files: int) -> str:
    """How a stage says at its start what it reads: `faces: 34,144 pictures in 5 files`."""
    return f"{name}: {_counted(pictures, 'picture')} in {_counted(files, 'file')}"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def find_images(pattern: str) -> ImageSource:
    """Look for shards or pictures.

    Shards at an address are streamed anew in every pass and never stored, so that a data set may exceed the
    disk; whether they are there shows when they are read. A file that is there by the very name is taken
    before braces and wildcards are.

    Args:
        pattern: A folder of pictures or of .tar shards, searched with its subfolders and those that it links
            to, see `train.data.folders.search`; one .tar file; or a pattern with braces or wildcards, as
            `faces/train-{0000..0004}.tar`, in which a backslash is no more than itself; or the http or https
            address of a .tar file, with braces but without wildcards, and perhaps with a query.

    Raises:
        DatasetError: Nothing is there, it is neither pictures nor shards, or it is both.
    """
    if not is_address(pattern) and Path(pattern).is_dir():
        return _in_folder(pattern)
    files = tuple(_match(pattern))
    for file in files:
        if not is_shard(file):
            found = shard_name(file) or file
            raise DatasetError(f"{without_query(pattern)}: expected a folder or .tar shards, found {found}")
    return ImageSource(without_query(pattern), files, shards=True)


def _in_folder(pattern: str) -> ImageSource:
    found = search(Path(pattern))
    pictures, shards = found.pictures, found.shards
    if pictures and shards:
        raise DatasetError(
            f"{pattern}: both pictures ({len(pictures):,}, as {pictures[0]}) and shards "
            f"({len(shards):,}, as {shards[0]}); must be one or the other: move one away, or name *.tar"
        )
    if not pictures and not shards:
        raise DatasetError(f"{pattern}: no images (looked for {' '.join(SUFFIXES)} and .tar shards)")
    files = tuple(map(str, pictures or shards))
    return ImageSource(pattern, files, shards=not pictures, left_out=found.left_out)


def _match(pattern: str) -> Iterator[str]:
    """The files or addresses that `pattern` stands for."""
    if not is_address(pattern) and Path(pattern).is_file():
        yield pattern
        return
    try:
        # Without escapes: the backslashes of a path on Windows would be eaten.
        parts = list(braceexpand.braceexpand(pattern, escape=False))
    except ValueError as error:
        raise DatasetError(f"{without_query(pattern)}: braces without a partner ({error})") from error
    for part in parts:
        yield from _find(part)


def _find(part: str) -> list[str]:
    """The address, the file, or the files of a wildcard, that `part` stands for."""
    if is_address(part) or Path(part).is_file():
        return [part]
    if found := sorted(map(Path, glob.glob(part))):
        return list(map(str, found))
    # What webdataset would take for another kind of address, a command to run (pipe:) among them.
    other = re.match(r"[a-z][a-z0-9+.-]+:", part, re.IGNORECASE)
    allowed = "; allowed: local paths, and http:// and https:// addresses of .tar files" if other else ""
    raise DatasetError(f"{part}: no such file or folder{allowed}")


def decode_image(encoded: bytes, size: int, name: str) -> np.ndarray:
    """Decode one cropped picture as the app does (`editor.photo.reading.load_photo`), and shrink it by area.

    Args:
        encoded: The content of a file of any format that the app takes.
        size: Side of the result in pixels.
        name: What to call the picture in a message.

    Returns:
        pixels [size, size, 3] uint8.

    Raises:
        DatasetError: The picture cannot be read, is not square, or is smaller than `size`.
    """
    try:
        pixels = load_photo(encoded, min_side=1, name=name)
    except ImageInputError as error:
        raise DatasetError(str(error)) from error
    height, width, _ = pixels.shape
    if width != height or width < size:
        raise DatasetError(
            f"{name}: {width} x {height} pixels; expected a cropped square of at least {size} a side"
        )
    if width == size:
        return pixels
    return np.array(Image.fromarray(pixels).resize((size, size), Image.Resampling.BOX))


def in_validation(key: str, fraction: float) -> bool:
    """Whether the picture `key` belongs to the validation split: a fixed, even draw by the key's hash."""
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:4], "big") < fraction * 2**32


def read_images(
    source: ImageSource,
    size: int,
    batch_size: int,
    keep: Callable[[str], bool] | None = None,
    limit: int | None = None,
) -> Iterator[Tensor]:
    """Batches of pictures in their stored order, for measuring.

    Args:
        source: Where from.
        size: Side in pixels that the pictures are shrunk to.
        batch_size: Pictures a batch; the last may be smaller.
        keep: Selects by key; None keeps all.
        limit: At most so many pictures.

    Yields:
        pixels [N, size, size, 3] uint8.

    Raises:
        DatasetError: A picture cannot be read or is not a cropped square, or none was kept.
    """
    batch: list[np.ndarray] = []
    count = 0
    for key, encoded in source.samples(list(source.files), 0, None):
        if limit is not None and count >= limit:
            break
        if keep is None or keep(key):
            batch.append(decode_image(encoded, size, f"{source.name}: {key}"))
            count += 1
        if len(batch) == batch_size:
            yield torch.from_numpy(np.stack(batch))
            batch = []
    if batch:
        yield torch.from_numpy(np.stack(batch))
    if not count:
        raise DatasetError(
            f"{source.name}: no pictures kept; is the data set, its validation part or the limit empty?"
        )


def _shuffled(samples: Iterator[Sample], buffer: int, rng: random.Random) -> Iterator[Sample]:
    shuffled: Iterator[Sample] = wds.shuffle(buffer, initial=buffer, rng=rng)(samples)
    return shuffled


def _read_shards(shards: list[str], part: tuple[int, int]) -> Iterator[Sample]:
    number, count = part
    for shard in shards:
        yield from itertools.islice(read_shard(shard), number, None, count)


def _read_files(files: list[str]) -> Iterator[Sample]:
    for file in files:
        path = Path(file)
        try:
            yield f"{path.parent.name}/{path.name}", path.read_bytes()
        except OSError as error:
            raise DatasetError(f"{path}: not readable ({error})") from error
