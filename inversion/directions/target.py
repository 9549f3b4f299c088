"""DirectionTarget: the generator that directions of foreign files are read for."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from inversion.directions.errors import DirectionError
from inversion.directions.linear import EditDirection
from stylegan2.network.generator import Generator

SAMPLES = 8192  # latents that a direction's standard deviation is measured on
SEED = 0
RANGE = (-3.0, 3.0)  # strengths where a file names none, in standard deviations
GROUP = "Imported"
SAME = 1e-4  # largest difference between rows that count as equal, as a share of their length
LONG = 0.5  # length from which rows may be latents, as a share of the deviation of w from its mean
NEAR = 1.5  # distance from the mean of W that latents keep within, as a share of that deviation
FORCE = "--force takes it all the same"


@dataclass(frozen=True)
class DirectionTarget:
    """What a direction is checked against, and measured with."""

    generator: Generator
    sha256: str  # of its weights file
    force: bool = False  # whether `doubt` lets everything pass

    def doubt(self, path: Path, finding: str) -> None:
        """Refuse a file that is not, or may not be, of this generator, unless `force`.

        Raises:
            DirectionError: `force` is off.
        """
        if not self.force:
            raise DirectionError(f"{path}: {finding}; {FORCE}")

    @cached_property
    def _w(self) -> Tensor:
        with torch.no_grad():
            return self.generator.sample_w(SAMPLES, seed=SEED).cpu()

    def sigma(self, direction: Tensor) -> float:
        """Standard deviation of w along a unit vector, over `SAMPLES` seeded samples.

        Of a direction with a row a layer [num_ws, w_dim], the root mean square of those along its rows,
        weighted with their squared lengths: as of one vector where all rows are equal.
        """
        rows = direction.reshape(-1, self.generator.w_dim)
        return ((self._w @ rows.T).var(0).sum() / rows.square().sum()).sqrt().item()

    def doubt_latents(self, path: Path, rows: Tensor) -> None:
        """Doubt rows [n, w_dim] that are where latents of this generator are, and not steps between them.

        Those are long beside the spread of w and either differ from each other, as a projection into W+ does,
        or lie where w does, around its mean and not around zero.

        Raises:
            DirectionError: They are such, and `force` is off.
        """
        w_avg = self.generator.w_avg.cpu()
        spread = (self._w - w_avg).square().sum(1).mean().sqrt()
        length = rows.norm(dim=1).max()
        if length <= LONG * spread:
            return
        unequal = (rows - rows[0]).norm(dim=1).max() > SAME * length
        middle = rows.mean(0)
        away = (middle - w_avg).norm()
        if unequal or (away < middle.norm() and away < NEAR * spread):
            self.doubt(
                path,
                f"{'unequal rows' if unequal else 'a vector'} of length {length:.3g} where w deviates by "
                f"{spread:.3g} from its mean: a latent, it seems, and no direction",
            )

    def offset(self, path: Path, direction: Tensor) -> EditDirection:
        """An edit named after its file.

        Args:
            path: The file.
            direction: [w_dim] or [num_ws, w_dim], of any length but zero.

        Raises:
            DirectionError: `direction` is zero or not finite, or w does not vary along it.
        """
        longest = direction.norm(dim=-1).max()
        if not torch.isfinite(direction).all() or longest == 0:
            raise DirectionError(f"{path}: a direction that is zero or not finite; must have a length")
        direction = direction / longest
        sigma = self.sigma(direction)
        if not sigma > 0:
            raise DirectionError(f"{path}: a direction along which this generator's w does not vary")
        return EditDirection(
            name=path.stem,
            label=path.stem.replace("_", " ").capitalize(),
            group=GROUP,
            low="less",
            high="more",
            direction=direction,
            sigma=sigma,
            range=RANGE,
            layers=(0, self.generator.num_ws),
        )
