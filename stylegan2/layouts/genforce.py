"""Generators of the genforce project: its own names, the numbers of NVIDIA's TensorFlow code."""

import math
import re
from collections.abc import Mapping

from torch import Tensor

from stylegan2.errors import CheckpointError
from stylegan2.layouts.translation import (
    Translation,
    conv_layers,
    count_indices,
    resolutions_up_to,
    translate,
)

CONST = "synthesis.early_layer.const"  # the entry by which the layout is known
_LEAVES = {
    "weight": "weight",
    "bias": "bias",
    "affine.weight": "style.weight",
    "affine.bias": "style.bias",
    "noise_strength": "noise_strength",
    "noise_const": "noise",
}
_LABELS = "mapping.label_weight"


def from_genforce(state: Mapping[str, Tensor]) -> Translation:
    """Translate their `generator_smooth`.

    Args:
        state: Its tensors, without any prefix.

    Raises:
        CheckpointError: A conditional generator, or see `translate`.
    """
    if (labels := state.get(_LABELS)) is not None:
        raise CheckpointError(
            f"a conditional generator of {labels.shape[0]} classes, which normalises z together with the "
            "class: no class can be folded in"
        )
    own = dict(state)
    w_avg = own.pop("truncation.w_avg", None)
    blocks = count_indices(own, r"synthesis\.output(\d{1,4})\.")
    depth = max(1, count_indices(own, r"mapping\.dense(\d{1,4})\.weight"))
    names = genforce_names(4 * 2 ** (max(1, blocks) - 1), depth)
    return translate(own, names, _to_ours, w_avg=w_avg, kernels=("filter.kernel", "upsample.kernel"))


def genforce_names(resolution: int, mapping_layers: int) -> dict[str, str]:
    """Our name -> theirs, for every tensor of a generator but `mapping.w_avg`."""
    names = {
        f"mapping.fc{i}.{leaf}": f"mapping.dense{i}.{leaf}"
        for i in range(mapping_layers)
        for leaf in ("weight", "bias")
    }
    names["synthesis.b4.const"] = CONST
    for index, ours in enumerate(conv_layers(resolution)):
        names |= {f"{ours}.{leaf}": f"synthesis.layer{index}.{theirs}" for leaf, theirs in _LEAVES.items()}
    for r in resolutions_up_to(resolution):
        block = int(math.log2(r)) - 2
        names |= {
            f"synthesis.b{r}.torgb.{leaf}": f"synthesis.output{block}.{theirs}"
            for leaf, theirs in _LEAVES.items()
            if not leaf.startswith("noise")
        }
    return names


def _to_ours(ours: str, value: Tensor) -> Tensor:
    """Put in the style's bias of one, turn the kernels of upsampling convolutions; misfits stay as is."""
    if ours.endswith("affine.bias"):
        return value + 1
    if re.search(r"\.conv0\.weight$", ours) and value.ndim == 4:
        return value.flip(2, 3)
    axes = {"const": 3, "noise_const": 2}.get(ours.rpartition(".")[2], value.ndim)
    while value.ndim > axes and value.shape[0] == 1:
        value = value[0]
    return value
