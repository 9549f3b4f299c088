"""Generators of NVIDIA's TensorFlow code (StyleGAN2, and StyleGAN2-ADA for TensorFlow)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from stylegan2.errors import CheckpointError
from stylegan2.layouts.conditional import fold_class, told_class
from stylegan2.layouts.found import State
from stylegan2.layouts.translation import (
    Translation,
    check_settings,
    conv_layers,
    count_indices,
    our_names,
    positive_number,
    refuse_strangers,
    stated_clamp,
    translate,
)
from stylegan2.reading.document import Node

CLASS = "dnnlib.tflib.network.Network"
_EMBED, _EMBED_BIAS = "mapping/LabelEmbed/weight", "mapping/LabelEmbed/bias"
_DEEPEST = 8  # components inside components; a real generator has two levels
_FIXED: Mapping[str, Any] = {
    "architecture": "skip",
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "resample_kernel": [1, 3, 3, 1],
    "use_noise": True,
}
_LEAVES = {
    "weight": "weight",
    "bias": "bias",
    "affine.weight": "mod_weight",
    "affine.bias": "mod_bias",
    "noise_strength": "noise_strength",
}


def is_network(value: object) -> bool:
    """Whether this is a pickled network of theirs."""
    return isinstance(value, Node) and value.name == CLASS and isinstance(value.state, Mapping)


def network_variables(network: Node, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Names ("synthesis/4x4/Const/const") and values of a network's variables and its components'.

    TensorFlow hands out variables without axes as scalars of numpy, which the reader gives as numbers.

    Raises:
        CheckpointError: Components are nested without end.
    """
    if depth > _DEEPEST:
        raise CheckpointError(f"{network.name}: no end to its components")
    for entry in network.state.get("variables") or ():
        if not isinstance(entry, list | tuple) or len(entry) != 2:
            continue
        name, value = entry
        if isinstance(value, int | float):
            value = torch.tensor(value, dtype=torch.float32)
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
    components = network.state.get("components") or {}
    for name, component in components.items() if isinstance(components, Mapping) else ():
        if is_network(component):
            yield from network_variables(component, f"{prefix}{name}/", depth + 1)


def from_nvidia_tf(network: Node, class_number: int | None = None) -> Translation:
    """Translate `Gs`, the average generator.

    What its variables make is judged, not the version that the file states: every version from which a
    complete StyleGAN2 comes is the same network.

    Args:
        network: It.
        class_number: See `fold_class`.

    Raises:
        CheckpointError: StyleGAN1, StyleGAN2 with classes as it was before ADA, another architecture, or see
            `fold_class` and `translate`.
    """
    state: State = dict(network_variables(network))
    settings = network.state.get("static_kwargs")
    settings = settings if isinstance(settings, Mapping) else {}
    _refuse_others(state, network.state, settings)
    check_settings(settings, _FIXED)
    sizes = [int(m[1]) for name in state if (m := re.match(r"synthesis/(\d{1,4})x\1/", name))]
    depth = max(1, count_indices(state, r"mapping/Dense(\d{1,4})/weight"))
    names = tf_names(max(sizes, default=4), depth)
    w_avg = state.pop("dlatent_avg", None)
    multiplier = positive_number("mapping_lrmul", settings.get("mapping_lrmul", 0.01))
    embed = state.pop(_EMBED, None)
    if embed is not None:
        state |= _folded(state, embed, class_number)
    found = translate(
        state,
        names,
        _to_ours,
        w_avg=w_avg,
        lr_multiplier=multiplier,
        conv_clamp=stated_clamp(settings),
    )
    return found if embed is None else told_class(found, class_number, embed.shape[0])


def tf_names(resolution: int, mapping_layers: int) -> dict[str, str]:
    """Our name -> theirs, for every tensor of a generator but `mapping.w_avg`."""
    noises = {
        f"{layer}.noise_const": f"synthesis/noise{i}" for i, layer in enumerate(conv_layers(resolution))
    }
    return {ours: noises.get(ours) or _theirs(ours) for ours in our_names(resolution, mapping_layers)}


def _theirs(ours: str) -> str:
    network, part, leaf = ours.split(".", 2)
    if network == "mapping":
        return f"mapping/Dense{part.removeprefix('fc')}/{leaf}"
    r = int(part.removeprefix("b"))
    if leaf == "const":
        return f"synthesis/{r}x{r}/Const/const"
    layer, leaf = leaf.split(".", 1)
    theirs = {"torgb": "ToRGB", "conv0": "Conv0_up", "conv1": "Conv" if r == 4 else "Conv1"}[layer]
    return f"synthesis/{r}x{r}/{theirs}/{_LEAVES[leaf]}"


def _refuse_others(
    state: Mapping[str, Tensor], header: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    title = f"{CLASS} {str(header.get('name'))!r}, version {header.get('version')}"
    names = list(state)
    refuse_strangers(names, title)
    if (labels := state.get("mapping/LabelConcat/weight")) is not None or (
        settings.get("label_size") and _EMBED not in state
    ):
        count = settings.get("label_size") if labels is None else labels.shape[0]
        raise CheckpointError(
            f"a conditional generator of {count} classes ({title}), which normalises z together with the "
            "class: no class can be folded in; those of StyleGAN2-ADA can"
        )
    if not any(name.endswith("mod_weight") for name in names):
        raise CheckpointError(f"no StyleGAN2 generator ({title}): no variable 'mod_weight' in it")


def _folded(state: State, embed: Tensor, class_number: int | None) -> State:
    """The first mapping layer of one class, by their names; takes the embedding's bias out of `state`."""
    weight, bias = (f"mapping/Dense0/{leaf}" for leaf in ("weight", "bias"))
    missing = [name for name in (weight, bias, _EMBED_BIAS) if name not in state]
    if missing:
        raise CheckpointError(f"a conditional generator; tensors missing: {', '.join(missing)}")
    embedding = (embed.t(), state.pop(_EMBED_BIAS))
    folded, shifted = fold_class(state[weight].t(), state[bias], *embedding, class_number)
    return {weight: folded.t(), bias: shifted}


def _to_ours(ours: str, value: Tensor) -> Tensor:
    """Turn (in, out) and (height, width, in, out), put in the style's bias of one; misfits stay as is."""
    leaf = ours.split(".", 2)[2]
    if leaf == "const":
        return value[0] if value.ndim == 4 and value.shape[0] == 1 else value
    if leaf.endswith("noise_const"):
        return value[0, 0] if value.ndim == 4 and value.shape[:2] == (1, 1) else value
    if leaf.endswith("affine.bias"):
        return value + 1
    if value.ndim == 2:
        return value.t()
    if value.ndim == 4:
        kernel = value.permute(3, 2, 0, 1)
        # They convolve transposed by dilating and correlating, which sees the kernel from its other end.
        return kernel.flip(2, 3) if leaf.startswith("conv0") else kernel
    return value.reshape([]) if leaf.endswith("noise_strength") and value.numel() == 1 else value
