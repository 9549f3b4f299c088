"""Edits from ratings: what a few judged faces have in common, as a mixture of what is measured of faces."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from inversion.directions.errors import DirectionError
from stylegan2.bundle.checkpoint import read_safetensors
from stylegan2.errors import CheckpointError

Array = NDArray[np.float64]
FILE = "measures.safetensors"
FEWEST = 4  # ratings
CERTAIN = 0.98  # squared correlation beyond which one measure cannot be surer than another
POWER = 0.5  # how sharply the likely measures are preferred: 1 would take few ratings for independent ones
OUTLIERS = 3.0  # deviations, to which measures are pulled in
LEAST = 0.05  # share of a mixture's largest part, below which a part is left out


@dataclass(frozen=True, kw_only=True)
class Texture:
    """The texture of a model's faces: what is far from all of them is torn or blotched, whatever it shows."""

    mean: Array  # [128]
    whitener: Array  # [128, 128]: to coordinates in which statistics have about unit variance
    limit: float  # distance within which what counts as usual lies

    def distances(self, statistics: Array) -> Array:
        """Mahalanobis distance of pictures' statistics [N, 128] from the model's faces [N]."""
        found: Array = np.linalg.norm((statistics - self.mean) @ self.whitener, axis=1)
        return found


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What a generator's faces are measured by, and how w moves with each."""

    names: tuple[str, ...]  # [K]
    mean: Array  # [K]
    spread: Array  # [K] standard deviations
    steps: Tensor  # rows of W+ by which a measure grows by one of them [K, num_ws, w_dim]
    texture: Texture  # of its faces, by the statistics of `editor.measure.texture`

    def standardised(self, table: Array) -> Array:
        """Measures [N, K] in deviations from the mean, outliers pulled in."""
        found: Array = np.clip((table - self.mean) / self.spread, -OUTLIERS, OUTLIERS)
        return found

    def mixture(self, weights: Array) -> Tensor:
        """The step of W+ [num_ws, w_dim] that changes measures as `weights` [K] say, of unit length overall.

        Raises:
            DirectionError: They say nothing.
        """
        size = float(np.linalg.norm(weights))
        if not size > 0:
            raise DirectionError("ratings: nothing that is measured of the faces goes with them")
        kept = np.where(np.abs(weights) >= LEAST * np.abs(weights).max(), weights, 0) / size
        return torch.einsum("k,klw->lw", torch.from_numpy(kept).float(), self.steps)


def save_measures(folder: Path, measures: Measures, generator_sha256: str) -> None:
    """Write `measures.safetensors` beside a generator's directions, in half precision."""
    tensors = {
        "steps": measures.steps.half().contiguous(),
        "mean": torch.from_numpy(measures.mean),
        "spread": torch.from_numpy(measures.spread),
        "texture_mean": torch.from_numpy(measures.texture.mean).float(),
        "texture_whitener": torch.from_numpy(measures.texture.whitener).float(),
        "texture_limit": torch.tensor([measures.texture.limit]),
    }
    metadata = {"names": ",".join(measures.names), "generator_sha256": generator_sha256}
    save_file(tensors, folder / FILE, metadata)
    (folder / FILE).chmod(0o644)


def load_measures(folder: Path, generator_sha256: str) -> Measures | None:
    """What `save_measures` wrote; None where there is none, or that of another generator.

    Raises:
        CheckpointError: The file is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    tensors = read_safetensors(file)
    try:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata() or {}
        names = tuple(metadata["names"].split(","))
        if metadata["generator_sha256"] != generator_sha256:
            return None
        mean, spread = (tensors[key].double().numpy() for key in ("mean", "spread"))
        steps = tensors["steps"].float()
        middle, whitener = (tensors[f"texture_{key}"].double().numpy() for key in ("mean", "whitener"))
        limit = float(tensors["texture_limit"][0])
    except (SafetensorError, KeyError) as error:
        raise CheckpointError(f"{file}: damaged or incomplete: {type(error).__name__}: {error}") from error
    if not len(names) == len(mean) == len(spread) == len(steps) or not (spread > 0).all():
        raise CheckpointError(
            f"{file}: {len(names)} names, {len(mean)} means, {len(steps)} steps; must be equal"
        )
    texture = Texture(mean=middle, whitener=whitener, limit=limit)
    return Measures(names=names, mean=mean, spread=spread, steps=steps, texture=texture)


def find_measures(generator_sha256: str, *roots: Path) -> Measures | None:
    """The measures of a generator in the folders below `roots`; None where there are none.

    Raises:
        CheckpointError: A file is damaged.
    """
    folders = [file.parent for root in roots for file in sorted(root.glob(f"*/{FILE}"))]
    found = (load_measures(folder, generator_sha256) for folder in folders)
    return next((measures for measures in found if measures is not None), None)


def weights_of_ratings(table: Array, ratings: Sequence[float]) -> Array:
    """What ratings go with.

    With a dozen ratings, a regression on as many measures fits anything. People mostly judge by one or two
    things: each measure alone is a guess, weighed by how likely the ratings are under it. With r its
    correlation with the ratings of n faces, the residual of the best line gives a likelihood of
    (1 - r^2)^(-n/2), and the guess is Bayesian model averaging (Hoeting et al. 1999) over them.

    Args:
        table: Measures [N, K] in standard deviations.
        ratings: [N], any scale; higher is more.

    Returns:
        [K]: r of every measure times its probability.

    Raises:
        DirectionError: Fewer than `FEWEST` ratings, or all are equal.
    """
    values = np.asarray(ratings, np.float64)
    if len(values) < FEWEST:
        raise DirectionError(f"ratings: {len(values)}; must be at least {FEWEST}")
    if not np.isfinite(values).all() or np.ptp(values) == 0:
        raise DirectionError(
            "ratings: all are equal, or no numbers; some faces must be rated higher than others"
        )
    a, b = table - table.mean(0), values - values.mean()
    sizes = np.sqrt(np.square(a).sum(0) * np.square(b).sum())
    r = np.divide(a.T @ b, sizes, out=np.zeros(a.shape[1]), where=sizes > 1e-9)
    odds = -len(values) / 2 * POWER * np.log1p(-np.minimum(r**2, CERTAIN))
    probability = np.exp(odds - odds.max())
    weights: Array = r * probability / probability.sum()
    return weights


def telling_faces(table: Array, count: int) -> list[int]:
    """Of many faces those whose ratings will tell most: each next one is what the others say least about.

    Greedy D-optimal design (Fedorov 1972).

    Args:
        table: Measures [N, K] in standard deviations.
        count: Faces wanted, at most N.
    """
    information = np.eye(table.shape[1])
    chosen: list[int] = []
    for _ in range(min(count, len(table))):
        gain = np.einsum("ij,jk,ik->i", table, np.linalg.inv(information), table)
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        chosen.append(best)
        information += np.outer(table[best], table[best])
    return chosen
