"""ExamplePool: examples kept in a folder, made once."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan2.errors import ConfigError
from train.core.logbook import claim_folder
from train.transfer.examples import DRAWN, EDITS, Example

META_FILE = "examples.json"
# Space -> which of the drawings the network is shown as its two ways; and how often each.
KINDS = {"f": (0, 1), "w+": (2, 2), "w": (3, 3)}
SHARES = (0.7, 0.15, 0.15)


class ExamplePool:
    """A row of examples on disk, of which each is written once.

    Args:
        folder: Made where missing; one that holds examples of another model or seed is refused.
        count: How many.
        side: Of the pictures, px.
        owner: What the examples follow from, as plain values.

    Raises:
        ConfigError: The folder holds other examples, is damaged, or cannot be written.
    """

    def __init__(self, folder: Path, count: int, side: int, owner: dict[str, Any]) -> None:
        self.count = count
        _claim(folder, {**owner, "side": side, "count": count})
        one = {
            "photo": (side, side, 3),
            "drawn": (DRAWN, side, side, 3),
            "truth": (EDITS, side, side, 3),
            "edited": (EDITS, DRAWN, side, side, 3),
        }
        self._arrays = {name: _array(folder / f"{name}.npy", (count, *shape)) for name, shape in one.items()}
        self._made = _array(folder / "made.npy", (count,))

    def fill(self, make: Callable[[int], Example], progress: Callable[[int, int], None]) -> None:
        """Make what is missing, reporting (done, total)."""
        for number in range(self.count):
            if not self._made[number]:
                progress(number, self.count)
                example = make(number)
                for name, array in self._arrays.items():
                    array[number] = getattr(example, name).numpy()
                self._made[number] = 1  # last: a process that dies before leaves no false example
        progress(self.count, self.count)

    def draw(self, first: int, count: int, rng: torch.Generator) -> Tensor:
        """Edited faces at random, from example `first` on: img [count, 6, 3, R, R] in [-1, 1].

        In the second axis: photo, truth, both ways unedited, both ways edited. Mirrored and lit at random.
        """
        chosen = first + torch.randint(self.count - first, (count,), generator=rng)
        edits = torch.randint(EDITS, (count,), generator=rng)
        kinds = torch.multinomial(torch.tensor(SHARES), count, replacement=True, generator=rng)
        picked = [self.pick(*where) for where in torch.stack([chosen, edits, kinds], 1).tolist()]
        img = torch.stack(picked)
        mirrored = (torch.rand(count, generator=rng) < 0.5)[:, None, None, None, None]
        light = 0.8 + 0.3 * torch.rand(count, 1, 3, 1, 1, generator=rng)
        return (torch.where(mirrored, img.flip(4), img) + 1) * light - 1

    def pick(self, number: int, edit: int, kind: int) -> Tensor:
        """One edited face, as `draw` answers: img [6, 3, R, R]; `kind` is an index of `KINDS`."""
        ways = list(tuple(KINDS.values())[kind])
        arrays = self._arrays
        stacked = np.concatenate(
            [
                arrays["photo"][number][None],
                arrays["truth"][number, edit][None],
                arrays["drawn"][number][ways],
                arrays["edited"][number, edit][ways],
            ]
        )
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1


def _claim(folder: Path, wanted: dict[str, Any]) -> None:
    file = folder / META_FILE
    if file.is_file():
        try:
            found = dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"cache: {file} is damaged ({error}); delete the folder") from error
        differing = sorted(key for key in wanted if found.get(key) != wanted[key])
        if differing:
            raise ConfigError(
                f"cache: {folder} holds examples of another {', '.join(differing)}; choose another folder"
            )
        return
    claim_folder("cache", folder)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(wanted), encoding="utf-8")
    os.replace(partial, file)  # whole or not at all


def _array(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    if not file.is_file():
        return np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    try:
        found = np.lib.format.open_memmap(file, mode="r+")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cache: {file} is damaged ({error}); delete the folder") from error
    if found.shape != shape or found.dtype != np.uint8:
        raise ConfigError(f"cache: {file} is {found.dtype} {found.shape}, not {shape}; delete the folder")
    return found
