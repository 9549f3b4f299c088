"""Real faces on disk: WebDataset shards or a folder of pictures."""

import glob
import hashlib
import io
import random
import tarfile
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

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
Sample = tuple[str, bytes]  # key, encoded picture


@dataclass(frozen=True)
class ImageSource:
    """Where pictures come from: tar shards, or the files of a folder."""

    name: str  # as the user wrote it, for messages
    paths: tuple[Path, ...]
    shards: bool

    def samples(self, paths: list[Path], buffer: int, rng: random.Random | None) -> Iterator[Sample]:
        """One pass over `paths`: in order without `rng`, else shuffled within a buffer of `buffer` pictures.

        Raises:
            DatasetError: A shard or file cannot be read.
        """
        read = _read_shards if self.shards else _read_files
        return read(paths) if rng is None else _shuffled(read(paths), buffer, rng)


def find_images(pattern: str) -> ImageSource:
    """Look for shards or pictures.

    Args:
        pattern: A folder of pictures (searched with its subfolders) or of .tar shards, one .tar file, or a
            pattern with braces or wildcards, as `faces/train-{0000..0004}.tar`. Local files only.

    Raises:
        DatasetError: Nothing is there.
    """
    folder = Path(pattern)
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        shards = sorted(folder.glob("*.tar"))
        if not files and not shards:
            raise DatasetError(f"{pattern}: no images (looked for {' '.join(SUFFIXES)} and .tar shards)")
        return ImageSource(pattern, tuple(files or shards), shards=not files)
    paths: list[Path] = []
    for part in braceexpand.braceexpand(pattern):
        found = [Path(part)] if Path(part).is_file() else sorted(map(Path, glob.glob(part)))
        if not found:
            raise DatasetError(f"{part}: no such file or folder")
        paths += found
    if any(path.suffix != ".tar" for path in paths):
        raise DatasetError(f"{pattern}: expected a folder or .tar shards, found {paths[0].name}")
    return ImageSource(pattern, tuple(paths), shards=True)


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
    for key, encoded in source.samples(list(source.paths), 0, None):
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


def _read_shards(paths: list[Path]) -> Iterator[Sample]:
    # Only paths of existing files come here: webdataset itself would also run a "pipe:" command.
    pipeline = wds.DataPipeline(
        wds.SimpleShardList([str(path) for path in paths]), wds.tarfile_to_samples(select_files=_is_picture)
    )
    try:
        for sample in pipeline:
            shard = Path(sample["__url__"]).name
            for field in filter(_is_picture_field, sample):
                yield f"{shard}/{sample['__key__']}.{field}", sample[field]
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise DatasetError(
            f"damaged or unreadable shard ({error}); shards: {', '.join(p.name for p in paths)}"
        ) from error


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _is_picture_field(name: str) -> bool:
    return _is_picture(f".{name}")


def _read_files(paths: list[Path]) -> Iterator[Sample]:
    for path in paths:
        try:
            yield f"{path.parent.name}/{path.name}", path.read_bytes()
        except OSError as error:
            raise DatasetError(f"{path}: not readable ({error})") from error
