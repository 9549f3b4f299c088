"""An opened photo as the product remembers it, so that it can be saved again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt
from PIL import Image

from editor.errors import ImageInputError
from editor.photo.colour import Pixels
from editor.photo.reading import MAX_PIXELS, MIN_SIDE, OpenedPhoto, open_checked

_Stamp = tuple[int, int]  # size and time of the last change


@dataclass(frozen=True, eq=False)
class PhotoFile:
    """A photo and where it came from. What the file holds besides the pixels is read when it is saved.

    Made by `open_photo`.
    """

    source: Path | bytes | None
    """The file or its bytes; None for what was no file: arrays, Pillow images."""
    pixels: Pixels
    """[H, W, 3] uint8: what `load_photo` gives, upright and sRGB."""
    format: str | None = None
    """Pillow's name of the file's format, or "HEIF"; None without a file."""
    stamp: _Stamp | None = field(default=None, repr=False)
    """Of a file on disk, when it was opened."""

    @contextmanager
    def reopened(self) -> Iterator[OpenedPhoto]:
        """The file again, its header read.

        Raises:
            ImageInputError: It is gone, has changed since, or never was (`source` is None).
        """
        if self.source is None:
            raise ImageInputError("photo: it came from no file, so there is none to open again")
        if isinstance(self.source, Path) and _stamp(self.source) not in (self.stamp, None):
            raise ImageInputError(
                f"photo '{self.source.name}' has changed since it was opened; open it again"
            )
        height, width = self.pixels.shape[:2]
        with open_checked(self.source, max_pixels=max(MAX_PIXELS, height * width), min_side=1) as opened:
            yield opened


def open_photo(
    source: str | Path | bytes | Image.Image | npt.NDArray[Any],
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int = MIN_SIDE,
    name: str = "photo",
) -> PhotoFile:
    """`load_photo`, with what is needed to save the photo again.

    Args:
        source: As for `load_photo`. A path is remembered as one: the file must stay where it is, as it is,
            until the photo is saved.
        max_pixels: As for `load_photo`.
        min_side: As for `load_photo`.
        name: As for `load_photo`.

    Raises:
        ImageInputError: As from `load_photo`.
    """
    remembered = Path(source) if isinstance(source, str | Path) else None
    # Taken before it is read: a change meanwhile is noticed, too.
    stamp = _stamp(remembered) if remembered is not None else None
    with open_checked(source, max_pixels=max_pixels, min_side=min_side, name=name) as opened:
        pixels, found = opened.read(), opened.image.format
    kept = source if isinstance(source, bytes) else remembered
    return PhotoFile(kept, pixels, None if kept is None else found, stamp)


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except (OSError, ValueError):  # gone, or no name of a file at all: opening it says so
        return None
    return found.st_size, found.st_mtime_ns
