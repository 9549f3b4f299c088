"""Real faces: WebDataset shards, on disk or at an address, or a folder of pictures."""

import glob
import hashlib
import io
import itertools
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import braceexpand
import numpy as np
import torch
import webdataset as wds
from PIL import Image
from torch import Tensor

from train.errors import DatasetError
from train.shards import SUFFIXES, Sample, is_address, is_shard, read_shard, shard_name

WHOLE = (0, 1)  # every picture of a shard, see `ImageSource.samples`


@dataclass(frozen=True)
class ImageSource:
    """Where pictures come from: tar shards, or the files of a folder."""

    name: str  # as the user wrote it, for messages
    files: tuple[str, ...]  # local paths; of shards also addresses
    shards: bool

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


def find_images(pattern: str) -> ImageSource:
    """Look for shards or pictures.

    Shards at an address are streamed anew in every pass and never stored, so that a data set may exceed the
    disk; whether they are there shows when they are read.

    Args:
        pattern: A folder of pictures (searched with its subfolders) or of .tar shards, one .tar file, or a
            pattern with braces or wildcards, as `faces/train-{0000..0004}.tar`; or the http or https address
            of a .tar file, with braces but without wildcards, and perhaps with a query.

    Raises:
        DatasetError: Nothing is there, or it is neither pictures nor shards.
    """
    if not is_address(pattern) and Path(pattern).is_dir():
        return _in_folder(pattern)
    try:
        parts = list(braceexpand.braceexpand(pattern))
    except ValueError as error:
        raise DatasetError(f"{pattern}: braces without a partner ({error})") from error
    files = tuple(itertools.chain.from_iterable(map(_find, parts)))
    for file in files:
        if not is_shard(file):
            found = shard_name(file) or file
            raise DatasetError(f"{pattern}: expected a folder or .tar shards, found {found}")
    return ImageSource(pattern, files, shards=True)


def _in_folder(pattern: str) -> ImageSource:
    folder = Path(pattern)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    shards = sorted(folder.glob("*.tar"))
    if not files and not shards:
        raise DatasetError(f"{pattern}: no images (looked for {' '.join(SUFFIXES)} and .tar shards)")
    return ImageSource(pattern, tuple(map(str, files or shards)), shards=not files)


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
    """Decode one aligned picture and shrink it by area.

    Args:
        encoded: A PNG, JPEG or WebP file's content.
        size: Side of the result in pixels.
        name: What to call the picture in a message.

    Returns:
        pixels [size, size, 3] uint8.

    Raises:
        DatasetError: The picture is damaged, not square, or smaller than `size`.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            width, height = picture.size
            if width != height or width < size:
                raise DatasetError(
                    f"{name}: {width} x {height} pixels; expected an aligned square of at least {size} a side"
                )
            rgb = picture.convert("RGB")
            return np.array(rgb if width == size else rgb.resize((size, size), Image.Resampling.BOX))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{name}: not a readable picture ({error})") from error


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
        DatasetError: A picture cannot be read or is not an aligned square, or none was kept.
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
