"""recognise: from a file's inert data to what is in it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from stylegan2.errors import CheckpointError
from stylegan2.layouts import nvidia_tf, nvidia_torch, psp_family, rosinality
from stylegan2.layouts.found import Found, Layout, State
from stylegan2.layouts.inverter_file import kept_entries, kept_layout, kept_settings
from stylegan2.layouts.plain import plain_settings
from stylegan2.layouts.translation import W_AVG, Translation, mean_row, unwrapped
from stylegan2.reading.document import Document, Node, Tree

# Where files keep an averaged generator, the best first; a plain "g" or "G" is the one that was trained.
_AVERAGED, _TRAINED = ("g_ema", "G_ema"), ("g", "G")


def recognise(document: Document) -> Found:
    """Find out the layout of a file and translate the generator in it.

    Nothing that may be missing is an error here: what is not there, or of another shape, is listed.

    Raises:
        CheckpointError: No layout that is known, or a generator that is not an unconditional StyleGAN2
            with RGB skips, named.
    """
    try:
        return _recognise(document)
    except CheckpointError as error:
        raise CheckpointError(f"{document.path}: {error}") from error


def _recognise(document: Document) -> Found:
    tree = document.tree
    if isinstance(tree, list | tuple) and any(nvidia_tf.is_network(part) for part in tree):
        return _found(document, "nvidia-tf", nvidia_tf.from_nvidia_tf(_average_of(tree)))
    if isinstance(tree, Node):
        if nvidia_tf.is_network(tree):
            return _found(document, "nvidia-tf", nvidia_tf.from_nvidia_tf(tree))
        # A bare module is what PTI leaves; NVIDIA's own files are dicts.
        return _found(document, "pti", nvidia_torch.from_nvidia_module(tree))
    if not isinstance(tree, Mapping):
        raise CheckpointError(f"holds {_kind(tree)}; no generator or encoder that is known")
    return _recognise_mapping(document, tree)


def _recognise_mapping(document: Document, tree: Mapping[str, Tree]) -> Found:
    for key in (*_AVERAGED, *_TRAINED):
        part = tree.get(key)
        if not isinstance(part, Node | Mapping):
            continue
        notes = () if key in _AVERAGED else (f"no averaged generator in it: {key!r} was taken",)
        rest = tuple(str(name) for name in tree if name not in (key, "latent_avg", "args"))
        if isinstance(part, Node):
            translation = nvidia_torch.from_nvidia_module(part)
            return _found(document, "nvidia-torch", translation, left_over=rest, notes=notes)
        return _generator_state(document, unwrapped(_tensors(part)), tree, left_over=rest, notes=notes)
    if isinstance(inner := tree.get("generator_smooth"), Mapping):
        rest = tuple(str(name) for name in tree if name not in ("generator_smooth", "latent_avg"))
        state = unwrapped(_tensors(inner))
        return _generator_state(document, state, tree, left_over=rest, layout="styleres")
    inner = tree.get("state_dict")
    state = unwrapped(_tensors(inner if isinstance(inner, Mapping) else tree))
    rest = tuple(str(name) for name in tree if name not in ("state_dict", "opts", "latent_avg", "iter"))
    return _bare_state(document, state, tree, left_over=rest if isinstance(inner, Mapping) else ())


def _bare_state(
    document: Document, state: State, tree: Mapping[str, Tree], *, left_over: tuple[str, ...]
) -> Found:
    opts = plain_settings(tree.get("opts")) or kept_settings(document.metadata)
    if kind := psp_family.contrastive_kind(state):
        return _found(
            document, "clcae-contrastive", left_over=left_over, opts=opts, encoder=state, encoder_kind=kind
        )
    if not psp_family.is_family(state):
        return _generator_state(document, state, tree, left_over=left_over)
    layout = kept_layout(document.metadata) or psp_family.family_layout(state, opts)
    latent_avg, notes = _latent_avg(tree)
    translation = psp_family.decoder_of(state, latent_avg)
    left_over = (*left_over, *psp_family.left_over_of(state, layout))
    encoder = psp_family.encoder_of(state)
    if translation is None:
        notes = (*notes, "no decoder in it")
    kind = psp_family.ENCODER_KINDS.get(layout) if encoder else None
    return _found(
        document,
        layout,
        translation,
        left_over=left_over,
        notes=notes,
        opts=opts,
        encoder=encoder,
        encoder_kind=kind,
        generator_entries=kept_entries(document.metadata),
    )


def _generator_state(
    document: Document,
    state: State,
    tree: Mapping[str, Tree],
    *,
    left_over: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    layout: Layout | None = None,
) -> Found:
    """A generator's state dict, with `latent_avg` in it or beside it."""
    latent_avg, note = _latent_avg({"latent_avg": state.pop("latent_avg", tree.get("latent_avg"))})
    options: dict[str, Any] = {
        "left_over": left_over,
        "notes": (*notes, *note),
        "opts": plain_settings(tree.get("args")),
    }
    if rosinality.INPUT in state:
        translation = rosinality.from_rosinality(state, latent_avg)
        return _found(document, layout or "rosinality", translation, **options)
    nvidia_torch.refuse_others(state, "state dict")
    if nvidia_torch.CONST in state:
        named: Layout = "ours" if document.container == "safetensors" else "nvidia-state"
        translation = nvidia_torch.from_nvidia_state(state, w_avg=latent_avg)
        return _found(document, layout or named, translation, **options)
    names = ", ".join(repr(name) for name in list(state or tree)[:4])
    raise CheckpointError(
        f"no entry {nvidia_torch.CONST!r} or {rosinality.INPUT!r}; not a StyleGAN2 generator, and no "
        f"encoder that is known (it has {names or 'nothing'})"
    )


def _found(
    document: Document,
    layout: Layout,
    translation: Translation | None = None,
    *,
    left_over: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    **parts: Any,  # noqa: ANN401  (fields of Found, checked there)
) -> Found:
    found = Found(
        path=document.path,
        container=document.container,
        layout=layout,
        left_over=left_over,
        notes=notes,
        **parts,
    )
    if translation is None:
        return found
    return replace(
        found,
        generator=translation.tensors,
        config=translation.config,
        generator_entries=translation.entries,
        w_avg="file" if W_AVG in translation.tensors else None,
        missing=translation.missing,
        misfits=translation.misfits,
        left_over=(*translation.left_over, *left_over),
        notes=(*notes, *translation.notes),
    )


def _average_of(networks: list[Tree] | tuple[Tree, ...]) -> Node:
    """Gs of (G, D, Gs)."""
    found: list[Node] = [part for part in networks if nvidia_tf.is_network(part)]
    return found[-1]


def _latent_avg(tree: Mapping[str, Tree]) -> tuple[Tensor | None, tuple[str, ...]]:
    value = tree.get("latent_avg")
    return mean_row(value) if isinstance(value, Tensor) and value.numel() else (None, ())


def _tensors(tree: Mapping[Any, Tree]) -> State:
    return {
        name: value for name, value in tree.items() if isinstance(name, str) and isinstance(value, Tensor)
    }


def _kind(tree: Tree) -> str:
    if isinstance(tree, Tensor):
        return f"one tensor {list(tree.shape)}"
    if isinstance(tree, list | tuple):
        return f"a {type(tree).__name__} of {len(tree)}"
    return f"a value of type {type(tree).__name__}"
