"""ExamplePool: examples kept in a folder, made once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan2.image import from_uint8
from train.data.arrays import claim_arrays, open_array
from train.transfer.examples import DRAWN, EDITS, Example

META_FILE = "examples.json"
SETTING = "cache"  # that names the folder
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
        claim_arrays(
            folder, META_FILE, {**owner, "side": side, "count": count}, setting=SETTING, things="examples"
        )
        one = {
            "photo": (side, side, 3),
            "drawn": (DRAWN, side, side, 3),
            "truth": (EDITS, side, side, 3),
            "edited": (EDITS, DRAWN, side, side, 3),
        }
        self._arrays = {
            name: open_array(folder / f"{name}.npy", (count, *shape), np.uint8, setting=SETTING)
            for name, shape in one.items()
        }
        self._made = open_array(folder / "made.npy", (count,), np.uint8, setting=SETTING)

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

    def draw(self, first: int, count: int, rng: torch.Generator, held_back: float = 0.0) -> Tensor:
        """Edited faces at random, from example `first` on: img [count, 6, 3, R, R] in [-1, 1].

        In the second axis: photo, truth, both ways unedited, both ways edited. Mirrored and lit at random.
        Of a real face F keeps more of what was there, and less of the edit, than of an invented one: of half
        of the faces, what F draws goes back towards the unedited face, by up to `held_back`.
        """
        chosen = first + torch.randint(self.count - first, (count,), generator=rng)
        edits = torch.randint(EDITS, (count,), generator=rng)
        kinds = torch.multinomial(torch.tensor(SHARES), count, replacement=True, generator=rng)
        picked = [self.pick(*where) for where in torch.stack([chosen, edits, kinds], 1).tolist()]
        img = torch.stack(picked)
        mirrored = (torch.rand(count, generator=rng) < 0.5)[:, None, None, None, None]
        back = held_back * torch.rand(2, count, generator=rng)
        back = torch.where((back[0] < held_back / 2) & (kinds == 0), back[1], 0.0)[:, None, None, None]
        img[:, 4] += back * (img[:, 2] - img[:, 4])
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
        return from_uint8(torch.from_numpy(stacked))
