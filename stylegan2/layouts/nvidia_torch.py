"""Generators of NVIDIA's PyTorch code (StyleGAN2-ADA, and StyleGAN2 in the StyleGAN3 repository)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from stylegan2.errors import CheckpointError
from stylegan2.layouts.conditional import fold_class, told_class
from stylegan2.layouts.found import State
from stylegan2.layouts.translation import (
    CONV_CLAMP,
    W_AVG,
    Translation,
    check_settings,
    count_indices,
    our_names,
    positive_number,
    refuse_strangers,
    stated_clamp,
    translate,
)
from stylegan2.reading.document import Node

CONST = "synthesis.b4.const"  # the entry by which the layout is known
_EMBED, _EMBED_BIAS = "mapping.embed.weight", "mapping.embed.bias"
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


def from_nvidia_module(module: Node, class_number: int | None = None) -> Translation:
    """Translate a pickled `Generator`.

    Args:
        module: It.
        class_number: See `fold_class`.

    Raises:
        CheckpointError: StyleGAN3, another architecture, or see `fold_class` and `translate`.
    """
    state = dict(module_tensors(module))
    settings = _mapping(module.kwargs)
    mapping = _mapping(settings.get("mapping_kwargs"))
    refuse_strangers(state, f"class {module.name}")
    if CONST not in state:
        raise CheckpointError(f"class {module.name}: no entry {CONST!r}; not a StyleGAN2 generator")
    synthesis = _mapping(settings.get("synthesis_kwargs"))
    # `mapping` may have an activation of its own, `synthesis` passes what it does not know to its layers.
    for part in (settings, mapping, synthesis):
        check_settings(part, _FIXED)
    multiplier = positive_number("lr_multiplier", mapping.get("lr_multiplier", 0.01))
    # The StyleGAN3 repository has the settings of `synthesis` among the others.
    limits = {stated_clamp(part) for part in _clamped_parts(module)} or {
        stated_clamp(synthesis if CONV_CLAMP in synthesis else settings)
    }
    if len(limits) > 1:
        raise CheckpointError(f"a generator with several {CONV_CLAMP}: {limits}; only one runs here")
    return from_nvidia_state(
        state, lr_multiplier=multiplier, conv_clamp=limits.pop(), class_number=class_number
    )


def from_nvidia_state(
    state: State,
    *,
    w_avg: Tensor | None = None,
    lr_multiplier: float = 0.01,
    conv_clamp: float | None = None,
    class_number: int | None = None,
) -> Translation:
    """Translate the `state_dict` of theirs: our names and shapes, and their filters beside.

    Args:
        state: Its tensors, without any prefix.
        w_avg: The mean of W [w_dim] that the file keeps elsewhere; None for the state's own.
        lr_multiplier: See `translate`.
        conv_clamp: See `translate`.
        class_number: See `fold_class`.

    Raises:
        CheckpointError: StyleGAN3, another architecture, or see `fold_class` and `translate`.
    """
    refuse_strangers(state, "state dict")
    blocks = [int(m[1]) for name in state if (m := re.match(r"synthesis\.b(\d{1,4})\.", name))]
    depth = max(1, count_indices(state, r"mapping\.fc(\d{1,4})\.weight"))
    names = {name: name for name in our_names(max(blocks, default=4), depth)}  # theirs are ours
    own = {name: value for name, value in state.items() if name != W_AVG}
    embed = own.pop(_EMBED, None)
    if embed is not None:
        own |= _folded(own, embed, class_number)
    found = translate(
        own,
        names,
        lambda _, value: value,
        w_avg=state.get(W_AVG) if w_avg is None else w_avg,
        kernels=("resample_filter",),
        lr_multiplier=lr_multiplier,
        conv_clamp=conv_clamp,
    )
    return found if embed is None else told_class(found, class_number, embed.shape[-1])


def _folded(state: State, embed: Tensor, class_number: int | None) -> State:
    """The first mapping layer of one class; takes the embedding's bias out of `state`."""
    first = [f"mapping.fc0.{leaf}" for leaf in ("weight", "bias")]
    missing = [name for name in (*first, _EMBED_BIAS) if name not in state]
    if missing:
        raise CheckpointError(f"a conditional generator; tensors missing: {', '.join(missing)}")
    weight, bias = (state[name] for name in first)
    folded = fold_class(weight, bias, embed, state.pop(_EMBED_BIAS), class_number)
    return dict(zip(first, folded, strict=True))


def _clamped_parts(module: Node, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The states of a module and its parts that keep a limit of their own: NVIDIA's layers do."""
    state = _mapping(module.state)
    if CONV_CLAMP in state:
        yield state
    for child in _mapping(state.get("_modules")).values() if depth < _DEEPEST else ():
        if isinstance(child, Node):
            yield from _clamped_parts(child, depth + 1)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
