"""How well embeddings find their partners."""

from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.checks import check_shape
from train.evaluate.metrics import median


@dataclass(frozen=True)
class Ranks:
    """Where the right candidate of each query stands, ties left open.

    An order among equal scores would be an invention, and one that puts the right candidate first would
    make constant embeddings perfect. So every order is taken to be equally likely, and the measures are
    their expected values.
    """

    above: Tensor  # candidates that score higher than the right one, or not a number [N], int64
    tied: Tensor  # candidates that score the same, itself included [N], int64, at least 1

    def recall(self, k: int) -> float:
        """Share of the queries whose right candidate is among the best `k`, in [0, 1]."""
        return float(((k - self.above) / self.tied).clamp(0, 1).double().mean())

    def mean(self) -> float:
        """Mean rank; 1 is the best."""
        return float(self._expected().mean())

    def median(self) -> float:
        """Median over the queries of their expected rank; 1 is the best."""
        return float(median(self._expected()))

    def _expected(self) -> Tensor:
        return (self.above + (self.tied + 1) / 2).double()


def rank(scores: Tensor, target: Tensor) -> Ranks:
    """Rank the right candidates.

    Args:
        scores: Queries by candidates [N, M]; more is better.
        target: The right candidate of each query [N], int64 in [0, M).

    Raises:
        ShapeError: A shape is another.
    """
    check_shape("scores", scores, "N", "M")
    check_shape("target", target, len(scores))
    own = scores.gather(1, target[:, None])  # [N, 1]
    # What is neither lower nor equal counts as higher: a network that has become NaN finds nothing.
    tied = (scores == own).sum(1).clamp(min=1)
    return Ranks(scores.shape[1] - tied - (scores < own).sum(1), tied)


def retrieval(image_emb: Tensor, latent_emb: Tensor) -> dict[str, dict[str, float]]:
    """Recall among all pairs, for pictures that look for their latent and the other way round.

    Args:
        image_emb: Unit vectors [N, D].
        latent_emb: Unit vectors [N, D]; row i belongs to row i of `image_emb`.

    Returns:
        {"image_to_w": {"r1", "r5"}, "w_to_image": {"r1", "r5"}}, shares in [0, 1]; k / N by chance.

    Raises:
        ShapeError: The shapes differ.
    """
    check_shape("image_emb", image_emb, "N", "D")
    check_shape("latent_emb", latent_emb, *image_emb.shape)
    scores = image_emb @ latent_emb.T
    own = torch.arange(len(scores), device=scores.device)
    ways = {"image_to_w": rank(scores, own), "w_to_image": rank(scores.T, own)}
    return {name: {"r1": ranks.recall(1), "r5": ranks.recall(5)} for name, ranks in ways.items()}
