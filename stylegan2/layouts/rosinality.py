"""rosinality's names, which most inversion networks use for their decoder, and those of its kin."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.layouts.found import Layout, State
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
from stylegan2.network.config import GeneratorConfig
from stylegan2.ops.upfirdn2d import FIR_TAPS


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """How a project that follows rosinality's code spells the entries of the same network."""

    layout: Layout
    const: str  # the entry by which the layout is known
    mapping: str  # layer of the mapping network, numbered from 1: number 0 is the normalisation
    matrix: str = "weight"  # of a layer of the mapping network
    first: str  # convolution at 4 x 4
    others: str  # the convolutions above it, numbered from 0
    noise: str  # noise picture, numbered from 0
    leaves: Mapping[str, str]  # of a convolution or ToRGB layer, by our names
    bgr: bool = False  # whether it draws blue first, as OpenCV reads pictures


ROSINALITY = Spelling(
    layout="rosinality",
    const="input.input",
    mapping="style.{}",
    first="conv1",
    others="convs",
    noise="noises.noise_{}",
    leaves={
        "weight": "conv.weight",
        "affine.weight": "conv.modulation.weight",
        "affine.bias": "conv.modulation.bias",
        "noise_strength": "noise.weight",
    },
)
BASICSR = Spelling(
    layout="basicsr",
    const="constant_input.weight",
    mapping="style_mlp.{}",
    first="style_conv1",
    others="style_convs",
    noise="noises.noise{}",
    leaves={
        "weight": "modulated_conv.weight",
        "affine.weight": "modulated_conv.modulation.weight",
        "affine.bias": "modulated_conv.modulation.bias",
        "noise_strength": "weight",
    },
)
MMGEN = Spelling(
    layout="mmgen",
    const="constant_input.input",
    mapping="style_mapping.{}",
    matrix="linear.weight_orig",  # the weight before it is scaled, as all `weight_orig` of theirs
    first="conv1",
    others="convs",
    noise="injected_noise_{}",
    leaves={
        "weight": "conv.weight_orig",
        "affine.weight": "conv.style_modulation.linear.weight_orig",
        "affine.bias": "conv.style_modulation.bias",
        "noise_strength": "noise_injector.weight",
    },
    bgr=True,
)
SPELLINGS = (ROSINALITY, BASICSR, MMGEN)
_KERNELS = ("blur.kernel", "upsample.kernel")


def spelling_of(state: Mapping[str, Tensor]) -> Spelling | None:
    """Whose spelling a state dict is in; None where it is in none of these."""
    for spelling in SPELLINGS:
        stem = spelling.mapping.partition("{")[0]
        if spelling.const in state and any(name.startswith(stem) for name in state):
            return spelling
    return ROSINALITY if ROSINALITY.const in state else None


def rosinality_names(resolution: int, mapping_layers: int, spelling: Spelling = ROSINALITY) -> dict[str, str]:
    """Our name -> the project's, for every tensor of a generator but `mapping.w_avg`."""
    leaves = spelling.leaves
    names: dict[str, str] = {}
    for i in range(mapping_layers):
        layer = spelling.mapping.format(i + 1)
        names |= {
            f"mapping.fc{i}.weight": f"{layer}.{spelling.matrix}",
            f"mapping.fc{i}.bias": f"{layer}.bias",
        }
    names["synthesis.b4.const"] = spelling.const
    for index, ours in enumerate(conv_layers(resolution)):
        theirs = spelling.first if index == 0 else f"{spelling.others}.{index - 1}"
        names |= {f"{ours}.{leaf}": f"{theirs}.{leaves.get(leaf, 'activate.bias')}" for leaf in LAYER_LEAVES}
        names[f"{ours}.noise_const"] = spelling.noise.format(index)
    for index, r in enumerate(resolutions_up_to(resolution)):
        theirs = "to_rgb1" if index == 0 else f"to_rgbs.{index - 1}"
        names |= {
            f"synthesis.b{r}.torgb.{leaf}": f"{theirs}.{leaves.get(leaf, 'bias')}" for leaf in TORGB_LEAVES
        }
    return names


def from_rosinality(
    state: Mapping[str, Tensor], latent_avg: Tensor | None, spelling: Spelling = ROSINALITY
) -> Translation:
    """Translate rosinality's `g_ema`, or the same network in another project's spelling.

    Resolution and depth are those of the largest index that there is, so that a file that lacks a tensor
    in the middle is one with something missing, not a smaller network.

    Args:
        state: Its tensors, without any prefix.
        latent_avg: Mean of W [w_dim]; None where the file has none.
        spelling: Of the entries' names.

    Raises:
        CheckpointError: See `translate`.
    """
    pictures = count_indices(state, r"to_rgbs\.(\d{1,4})\.")
    layer = re.escape(f"{spelling.mapping}.{spelling.matrix}").replace(r"\{\}", r"(\d{1,4})")
    names = rosinality_names(4 * 2**pictures, max(1, count_indices(state, layer) - 1), spelling)
    to_ours = _to_ours_from_bgr if spelling.bgr else _to_ours
    return translate(state, names, to_ours, w_avg=latent_avg, kernels=_KERNELS)


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


def _to_ours_from_bgr(ours: str, value: Tensor) -> Tensor:
    value = _to_ours(ours, value)
    return value.flip(0) if ours.endswith((".torgb.weight", ".torgb.bias")) else value


def _to_theirs(ours: str, value: Tensor) -> Tensor:
    if ours.endswith("noise_const"):
        return value[None, None]
    if ours.endswith("torgb.bias"):
        return value.reshape(1, -1, 1, 1)
    single = ours.endswith(("const", "noise_strength")) or value.ndim == 4
    return value[None] if single else value
