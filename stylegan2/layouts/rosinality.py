"""rosinality's names, which most of the published inversion networks use for their decoder."""

from collections.abc import Mapping

import torch
from torch import Tensor

from stylegan2.config import GeneratorConfig
from stylegan2.layouts.found import State
from stylegan2.layouts.translation import (
    LAYER_LEAVES,
    TORGB_LEAVES,
    W_AVG,
    Translation,
    conv_layers,
    count_indices,
    resolutions_up_to,
    translate,
)
from stylegan2.ops.upfirdn2d import FIR_TAPS

INPUT = "input.input"  # the entry by which the layout is known
_LEAVES = {
    "weight": "conv.weight",
    "affine.weight": "conv.modulation.weight",
    "affine.bias": "conv.modulation.bias",
    "noise_strength": "noise.weight",
}


def rosinality_names(resolution: int, mapping_layers: int) -> dict[str, str]:
    """Our name -> rosinality's, for every tensor of a generator but `mapping.w_avg`."""
    names = {
        f"mapping.fc{i}.{leaf}": f"style.{i + 1}.{leaf}"  # style.0 is the normalisation, without tensors
        for i in range(mapping_layers)
        for leaf in ("weight", "bias")
    }
    names["synthesis.b4.const"] = INPUT
    for index, ours in enumerate(conv_layers(resolution)):
        theirs = "conv1" if index == 0 else f"convs.{index - 1}"
        names |= {f"{ours}.{leaf}": f"{theirs}.{_LEAVES.get(leaf, 'activate.bias')}" for leaf in LAYER_LEAVES}
        names[f"{ours}.noise_const"] = f"noises.noise_{index}"
    for index, r in enumerate(resolutions_up_to(resolution)):
        theirs = "to_rgb1" if index == 0 else f"to_rgbs.{index - 1}"
        names |= {
            f"synthesis.b{r}.torgb.{leaf}": f"{theirs}.{_LEAVES.get(leaf, 'bias')}" for leaf in TORGB_LEAVES
        }
    return names


def from_rosinality(state: Mapping[str, Tensor], latent_avg: Tensor | None) -> Translation:
    """Translate rosinality's `g_ema`.

    Resolution and depth are those of the largest index that there is, so that a file that lacks a tensor
    in the middle is one with something missing, not a smaller network.

    Args:
        state: Its tensors, without any prefix.
        latent_avg: Mean of W [w_dim]; None where the file has none.

    Raises:
        CheckpointError: See `translate`.
    """
    pictures = count_indices(state, r"to_rgbs\.(\d{1,4})\.")
    names = rosinality_names(4 * 2**pictures, max(1, count_indices(state, r"style\.(\d{1,4})\.weight") - 1))
    kernels = ("blur.kernel", "upsample.kernel")
    return translate(state, names, _to_ours, w_avg=latent_avg, kernels=kernels)


def to_rosinality(state: Mapping[str, Tensor], config: GeneratorConfig) -> dict[str, State | Tensor]:
    """What rosinality's code saves: `g_ema`, with its constant buffers, and `latent_avg`.

    Args:
        state: A generator's tensors in our layout.
        config: Its architecture.
    """
    resolution = config.img_resolution
    g_ema: State = {}
    for ours, theirs in rosinality_names(resolution, config.mapping_layers).items():
        g_ema[theirs] = _to_theirs(ours, state[ours].detach().float()).clone()
    taps = torch.tensor(FIR_TAPS)
    # Both of their filters follow a doubling on two axes, whose gain of 4 they keep in the kernel.
    kernel = torch.outer(taps, taps) / taps.sum() ** 2 * 4
    for index in range(len(config.resolutions) - 1):
        g_ema[f"convs.{2 * index}.conv.blur.kernel"] = kernel.clone()
        g_ema[f"to_rgbs.{index}.upsample.kernel"] = kernel.clone()
    return {"g_ema": g_ema, "latent_avg": state[W_AVG].detach().float().clone()}


def channel_multiplier(config: GeneratorConfig) -> int | None:
    """With which rosinality's own `Generator` has these widths; None where it has none such.

    Its widths are 512 up to 32 px and 16,384 m / r from 64 px on, and z is as wide as w.
    """
    for m in (1, 2, 4):
        widths = {r: 512 if r <= 32 else 16384 * m // r for r in config.resolutions}
        if widths == config.channels and config.z_dim == config.w_dim:
            # Below 64 px every multiplier gives the same network; 2 is the one that people know.
            return m if config.img_resolution > 32 else 2
    return None


def _to_ours(ours: str, value: Tensor) -> Tensor:
    """Take off the axes of one sample that they keep; a tensor of another shape is left to the check."""
    leaf = ours.rpartition(".")[2]
    if leaf == "noise_strength" or (leaf == "bias" and value.ndim == 4):
        return value.reshape([] if leaf == "noise_strength" and value.numel() == 1 else [-1])
    axes = {"const": 3, "noise_const": 2, "bias": 1}.get(leaf, 4)
    while value.ndim > axes and value.shape[0] == 1:
        value = value[0]
    return value


def _to_theirs(ours: str, value: Tensor) -> Tensor:
    if ours.endswith("noise_const"):
        return value[None, None]
    if ours.endswith("torgb.bias"):
        return value.reshape(1, -1, 1, 1)
    single = ours.endswith(("const", "noise_strength")) or value.ndim == 4
    return value[None] if single else value
