"""GrownPool: what a new block is shown of faces, kept in a folder, made once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan2.image import from_uint8
from train.data.arrays import claim_arrays, open_array

META_FILE = "faces.json"
SETTING = "cache"  # that names the folder


@dataclass(frozen=True)
class Below:
    """What the frozen blocks hand on for N pictures of R px."""

    x: Tensor  # activation of the last of them [N, C, R, R]
    img: Tensor  # what they draw [N, 3, R, R], not clamped
    w: Tensor  # style of their last convolution [N, w_dim]


@dataclass(frozen=True)
class PoolSizes:
    """Of the arrays: R is the resolution below the new block."""

    faces: int  # real ones; they come first
    invented: int
    channels: int  # of x
    side: int  # R
    w_dim: int


class GrownPool:
    """Rows of `Below`, and the photos [2 R, 2 R, 3] of the real faces among them.

    Args:
        folder: Made where missing; one that holds faces of another model or seed is refused.
        sizes: Of the arrays.
        owner: What the faces follow from, as plain values.

    Raises:
        ConfigError: The folder holds other faces, is damaged, or cannot be written.
    """

    def __init__(self, folder: Path, sizes: PoolSizes, owner: dict[str, Any]) -> None:
        self.sizes = sizes
        claim_arrays(folder, META_FILE, {**owner, **vars(sizes)}, setting=SETTING, things="faces")
        count, r = sizes.faces + sizes.invented, sizes.side

        def array(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
            return open_array(folder / f"{name}.npy", shape, dtype, setting=SETTING)

        self._x = array("x", (count, sizes.channels, r, r), np.float16)
        self._img = array("img", (count, 3, r, r), np.float16)
        self._w = array("w", (count, sizes.w_dim), np.float32)
        self._photos = array("photos", (sizes.faces, 2 * r, 2 * r, 3), np.uint8)
        self._made = array("made", (count,), np.uint8)

    def fill(
        self,
        draw_faces: Callable[[Tensor], Below],
        photos: Callable[[], Iterator[Tensor]],
        invent: Callable[[int, int], Below],
        batch: int,
        progress: Callable[[int, int], None],
    ) -> None:
        """Make what is missing.

        Args:
            draw_faces: Photos [N, 2 R, 2 R, 3] uint8 -> what is known of them.
            photos: Batches of photos, always in the same order.
            invent: First number and count of invented faces -> what is known of them.
            batch: Of both.
            progress: Told (done, total).

        Raises:
            DatasetError: There are too few photos.
        """
        total = len(self._made)
        self._fill_real(draw_faces, photos, batch, progress)
        for first in range(self.sizes.faces, total, batch):
            count = min(batch, total - first)
            if not self._made[first : first + count].all():
                progress(first, total)
                self._write(first, invent(first - self.sizes.faces, count))
        progress(total, total)

    def _fill_real(
        self,
        draw_faces: Callable[[Tensor], Below],
        photos: Callable[[], Iterator[Tensor]],
        batch: int,
        progress: Callable[[int, int], None],
    ) -> None:
        faces = self.sizes.faces
        if self._made[:faces].all():
            return
        first = 0
        for given in photos():
            pixels = given[: faces - first]
            if not self._made[first : first + len(pixels)].all():
                progress(first, len(self._made))
                self._photos[first : first + len(pixels)] = pixels.numpy()
                self._write(first, draw_faces(pixels))
            first += len(pixels)
            if first == faces:
                return

    def _write(self, first: int, below: Below) -> None:
        rows = slice(first, first + len(below.x))
        self._x[rows], self._img[rows] = below.x.half().numpy(), below.img.half().numpy()
        self._w[rows] = below.w.numpy()
        self._made[rows] = 1  # last: a process that dies before leaves no false face

    def below(self, rows: Tensor) -> Below:
        """What is known of faces, by their numbers [N]; the invented ones come after the real ones."""
        index = rows.numpy()
        x, img, w = (torch.from_numpy(a[index]) for a in (self._x, self._img, self._w))
        return Below(x=x.float(), img=img.float(), w=w)

    def photos(self, rows: Tensor) -> Tensor:
        """Photos [N, 3, 2 R, 2 R] in [-1, 1] of real faces, by their numbers."""
        return from_uint8(torch.from_numpy(self._photos[rows.numpy()]))
