"""How well attributes are told: error of the age, area under the curve, correlation."""

import torch
from torch import Tensor

from editor.measure.attribute_network import ATTRIBUTES, Attribute


def area_under_curve(score: Tensor, truth: Tensor) -> float:
    """How often a face that is so scores higher than one that is not, 0..1; NaN where either is missing.

    Args:
        score: [N].
        truth: [N], 0 or 1.
    """
    order = torch.unique(score, return_inverse=True)
    counts = torch.bincount(order[1], minlength=len(order[0])).double()
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[order[1]]  # equal scores share their rank
    positive = truth > 0.5
    yes, no = int(positive.sum()), int((~positive).sum())
    if yes == 0 or no == 0:
        return float("nan")
    return float((ranks[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's, of [N] and [N]; NaN where one of them does not vary."""
    a, b = (x.double() - x.double().mean() for x in (a, b))
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if size > 0 else float("nan")


def qualities(found: Tensor, known: Tensor) -> dict[str, float]:
    """Of every attribute one number: mean error in years, area under the curve, or correlation.

    Args:
        found: What the network says [N, len(ATTRIBUTES)].
        known: What is told, NaN where nothing is [N, len(ATTRIBUTES)].
    """
    out = {}
    for index, attribute in enumerate(ATTRIBUTES):
        there = ~known[:, index].isnan()
        out[_named(attribute)] = _quality(attribute, found[there, index], known[there, index])
    return out


def _named(attribute: Attribute) -> str:
    return f"{attribute.name}_{ {'years': 'error', 'odds': 'auc', 'scale': 'r'}[attribute.kind] }"


def _quality(attribute: Attribute, found: Tensor, known: Tensor) -> float:
    if attribute.kind == "years":
        return float((found - known).abs().mean()) if len(found) else float("nan")
    return area_under_curve(found, known) if attribute.kind == "odds" else correlation(found, known)
