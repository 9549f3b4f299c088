"""Generators of NVIDIA's PyTorch code (StyleGAN2-ADA, and StyleGAN2 in the StyleGAN3 repository)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from stylegan2.errors import CheckpointError
from stylegan2.layouts.found import State
from stylegan2.layouts.translation import (
    LAYER_LEAVES,
    TORGB_LEAVES,
    W_AVG,
    Translation,
    check_settings,
    clamp_notes,
    conv_layers,
    count_indices,
    positive_number,
    resolutions_up_to,
    translate,
)
from stylegan2.reading.document import Node

CONST = "synthesis.b4.const"  # the entry by which the layout is known
_DEEPEST = 20  # modules inside modules; a real generator has four
_FIXED: Mapping[str, Any] = {
    "architecture": "skip",
    "activation": "lrelu",
    "resample_filter": [1, 3, 3, 1],
    "use_noise": True,
}


def module_tensors(module: Node, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a pickled module, as its `state_dict` would give them.

    Raises:
        CheckpointError: The node is not a module, or modules are nested without end.
    """
    if depth > _DEEPEST or not isinstance(module.state, Mapping):
        raise CheckpointError(f"{module.name}: not a network: no tensors in it, or no end to its parts")
    for group in ("_parameters", "_buffers"):
        for name, value in _mapping(module.state.get(group)).items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
    for name, child in _mapping(module.state.get("_modules")).items():
        if isinstance(child, Node):
            yield from module_tensors(child, f"{prefix}{name}.", depth + 1)


def from_nvidia_module(module: Node) -> Translation:
    """Translate a pickled `Generator`.

    Raises:
        CheckpointError: StyleGAN3, a conditional generator, another architecture, or see `translate`.
    """
    state = dict(module_tensors(module))
    settings = _mapping(module.kwargs)
    mapping = _mapping(settings.get("mapping_kwargs"))
    refuse_others(state, module.name)
    if CONST not in state:
        raise CheckpointError(f"class {module.name}: no entry {CONST!r}; not a StyleGAN2 generator")
    c_dim = settings.get("c_dim") or 0
    if c_dim:
        raise CheckpointError(f"a conditional generator (c_dim {c_dim}): only unconditional ones run here")
    synthesis = _mapping(settings.get("synthesis_kwargs"))
    # `mapping` may have an activation of its own, `synthesis` passes what it does not know to its layers.
    for part in (settings, mapping, synthesis):
        check_settings(part, _FIXED)
    multiplier = positive_number("lr_multiplier", mapping.get("lr_multiplier", 0.01))
    found = from_nvidia_state(state, lr_multiplier=multiplier)
    return replace(found, notes=(*found.notes, *clamp_notes(synthesis)))


def from_nvidia_state(
    state: State, *, w_avg: Tensor | None = None, lr_multiplier: float = 0.01
) -> Translation:
    """Translate the `state_dict` of theirs: our names and shapes, and their filters beside.

    Args:
        state: Its tensors, without any prefix.
        w_avg: The mean of W [w_dim] that the file keeps elsewhere; None for the state's own.
        lr_multiplier: See `translate`.

    Raises:
        CheckpointError: StyleGAN3, a conditional generator, another architecture, or see `translate`.
    """
    refuse_others(state, "state dict")
    blocks = [int(m[1]) for name in state if (m := re.match(r"synthesis\.b(\d{1,4})\.", name))]
    depth = max(1, count_indices(state, r"mapping\.fc(\d{1,4})\.weight"))
    names = nvidia_names(max(blocks, default=4), depth)
    own = {name: value for name, value in state.items() if name != W_AVG}
    return translate(
        own,
        names,
        lambda _, value: value,
        w_avg=state.get(W_AVG) if w_avg is None else w_avg,
        kernels=("resample_filter",),
        lr_multiplier=lr_multiplier,
    )


def nvidia_names(resolution: int, mapping_layers: int) -> dict[str, str]:
    """Every tensor of a generator but `mapping.w_avg`: their names are ours."""
    names = [f"mapping.fc{i}.{leaf}" for i in range(mapping_layers) for leaf in ("weight", "bias")]
    names.append(CONST)
    for layer in conv_layers(resolution):
        names += [f"{layer}.{leaf}" for leaf in (*LAYER_LEAVES, "noise_const")]
    for r in resolutions_up_to(resolution):
        names += [f"synthesis.b{r}.torgb.{leaf}" for leaf in TORGB_LEAVES]
    return {name: name for name in names}


def refuse_others(state: Mapping[str, Tensor], name: str) -> None:
    """Name what is not an unconditional StyleGAN2 with RGB skips.

    Raises:
        CheckpointError: It is StyleGAN3, StyleGAN1, conditional, or of the residual architecture.
    """
    if "stylegan3" in name or any(re.match(r"synthesis\.(L\d+_|input\.)", entry) for entry in state):
        raise CheckpointError(f"a StyleGAN3 generator (class {name}): only StyleGAN2 runs here")
    if any("style_mod" in entry or "progression." in entry for entry in state):
        raise CheckpointError(f"a StyleGAN1 generator ({name}): only StyleGAN2 runs here")
    if "mapping.embed.weight" in state:
        raise CheckpointError("a conditional generator (mapping.embed): only unconditional ones run here")
    if any(re.match(r"synthesis\.b\d+\.skip\.", entry) for entry in state):
        raise CheckpointError("a generator of the 'resnet' architecture: only 'skip' runs here")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
