"""recognise: from a file's inert data to what is in it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from stylegan2.errors import CheckpointError
from stylegan2.layouts import genforce, nvidia_tf, nvidia_torch, psp_family, rosinality
from stylegan2.layouts.found import Found, Layout, State, plain_settings
from stylegan2.layouts.inverter_file import kept_entries, kept_layout, kept_settings
from stylegan2.layouts.translation import (
    CONV_CLAMP,
    W_AVG,
    Translation,
    mean_row,
    positive_number,
    refuse_strangers,
    unwrapped,
    without_prefix,
)
from stylegan2.reading.document import Document, Node, Tree

# Where files keep an averaged generator, the best first, and where the one that was trained.
_AVERAGED = ("g_ema", "G_ema", "params_ema", "generator_ema", "generator_smooth")
_TRAINED = ("g", "G", "params", "generator")
_WRAPS = ("state_dict", "models", "model", "GAN")  # around everything
_BESIDE = ("latent_avg", "args", "opts", "iter")  # of a network, and no network
_PREFIXES = tuple(f"{key}." for key in (*_AVERAGED, *_TRAINED))  # of entries, where there is no such dict


def recognise(document: Document, class_number: int | None = None) -> Found:
    """Find out the layout of a file and translate the generator in it.

    Nothing that may be missing is an error here: what is not there, or of another shape, is listed.

    Args:
        document: The file.
        class_number: Of a conditional generator the class to draw, see `fold_class`.

    Raises:
        CheckpointError: No layout that is known, or a generator that is not a StyleGAN2 with RGB skips,
            named; a class where there are none, or none where there are.
    """
    try:
        found = _Recognition(document, class_number).found()
        if class_number is not None and found.class_number is None:
            raise CheckpointError(f"class {class_number}: the file's generator has no classes")
        return found
    except CheckpointError as error:
        raise CheckpointError(f"{document.path}: {error}") from error


@dataclass(frozen=True)
class _Recognition:
    """The recognising of one file."""

    document: Document
    class_number: int | None

    def found(self) -> Found:
        tree = self.document.tree
        if isinstance(tree, list | tuple) and any(nvidia_tf.is_network(part) for part in tree):
            return self._found("nvidia-tf", nvidia_tf.from_nvidia_tf(_average_of(tree), self.class_number))
        if isinstance(tree, Node):
            if nvidia_tf.is_network(tree):
                return self._found("nvidia-tf", nvidia_tf.from_nvidia_tf(tree, self.class_number))
            # A bare module is what PTI leaves; NVIDIA's own files are dicts.
            return self._found("pti", nvidia_torch.from_nvidia_module(tree, self.class_number))
        if not isinstance(tree, Mapping):
            raise CheckpointError(f"holds {_kind(tree)}; no generator or encoder that is known")
        return self._of_mapping(tree, tree.get("opts"), ())

    def _of_mapping(self, tree: Mapping[str, Tree], opts: Tree, left_over: tuple[str, ...]) -> Found:
        """What a dict holds: a generator under a name, a dict that wraps it, or the tensors themselves."""
        for key in (*_AVERAGED, *_TRAINED):
            part = tree.get(key)
            if not isinstance(part, Node | Mapping):
                continue
            notes, rest = _trained_note(key), (*left_over, *_others(tree, key))
            if isinstance(part, Node):
                translation = nvidia_torch.from_nvidia_module(part, self.class_number)
                return self._found("nvidia-torch", translation, left_over=rest, notes=notes)
            state = unwrapped(_tensors(part))
            nvidia: Layout | None = "styleres" if key == "generator_smooth" else None
            return self._of_generator(state, tree, left_over=rest, notes=notes, nvidia=nvidia)
        for key in _WRAPS:
            inner = tree.get(key)
            if isinstance(inner, Mapping):
                rest = (*left_over, *_others(tree, key))
                beside = {name: tree[name] for name in ("latent_avg",) if name in tree}
                return self._of_mapping({**beside, **inner}, opts, rest)
        return self._of_state(unwrapped(_tensors(tree)), tree, opts, left_over)

    def _of_state(
        self, state: State, tree: Mapping[str, Tree], opts: Tree, left_over: tuple[str, ...]
    ) -> Found:
        metadata = self.document.metadata
        settings = plain_settings(opts) or kept_settings(metadata)
        if kind := psp_family.contrastive_kind(state):
            return self._found(
                "clcae-contrastive", left_over=left_over, opts=settings, encoder=state, encoder_kind=kind
            )
        if not psp_family.is_family(state):
            prefix = next((p for p in _PREFIXES if any(name.startswith(p) for name in state)), "")
            rest = () if not prefix else tuple(name for name in state if not name.startswith(prefix))
            return self._of_generator(
                without_prefix(state, prefix),
                tree,
                left_over=(*left_over, *(name for name in rest if name not in _BESIDE)),
                notes=_trained_note(prefix.removesuffix(".")),
            )
        state.pop("latent_avg", None)
        layout = kept_layout(metadata) or psp_family.family_layout(state, settings)
        latent_avg, notes = _latent_avg(tree)
        translation = psp_family.decoder_of(state, latent_avg)
        if translation is None:
            notes = (*notes, "no decoder in it")
        encoder = psp_family.encoder_of(state)
        return self._found(
            layout,
            translation,
            left_over=(*left_over, *psp_family.left_over_of(state, layout)),
            notes=notes,
            opts=settings,
            encoder=encoder,
            encoder_kind=psp_family.ENCODER_KINDS.get(layout) if encoder else None,
            generator_entries=kept_entries(metadata),
        )

    def _of_generator(
        self,
        state: State,
        tree: Mapping[str, Tree],
        *,
        left_over: tuple[str, ...] = (),
        notes: tuple[str, ...] = (),
        nvidia: Layout | None = None,
    ) -> Found:
        """A generator's state dict, with `latent_avg` in it or beside it."""
        metadata = self.document.metadata
        latent_avg, note = _latent_avg({"latent_avg": state.pop("latent_avg", tree.get("latent_avg"))})
        refuse_strangers(state, "state dict")
        layout: Layout
        if (spelling := rosinality.spelling_of(state)) is not None:
            layout, translation = (
                spelling.layout,
                rosinality.from_rosinality(state, latent_avg, spelling),
            )
        elif genforce.CONST in state:
            layout, translation = "genforce", genforce.from_genforce(state)
        elif nvidia_torch.CONST in state:
            own: Layout = "ours" if self.document.container == "safetensors" else "nvidia-state"
            layout = nvidia or own
            limit = metadata.get(CONV_CLAMP)
            translation = nvidia_torch.from_nvidia_state(
                state,
                w_avg=latent_avg,
                conv_clamp=None if limit is None else _kept_number(CONV_CLAMP, limit),
                class_number=self.class_number,
            )
        else:
            names = ", ".join(repr(name) for name in list(state or tree)[:4])
            raise CheckpointError(
                f"no entry {nvidia_torch.CONST!r} or {rosinality.ROSINALITY.const!r}; not a StyleGAN2 "
                f"generator, and no encoder that is known (it has {names or 'nothing'})"
            )
        return self._found(
            layout,
            translation,
            left_over=left_over,
            notes=(*notes, *note),
            opts=plain_settings(tree.get("args")),
        )

    def _found(
        self,
        layout: Layout,
        translation: Translation | None = None,
        *,
        left_over: tuple[str, ...] = (),
        notes: tuple[str, ...] = (),
        **parts: Any,  # noqa: ANN401  (fields of Found, checked there)
    ) -> Found:
        found = Found(
            path=self.document.path,
            container=self.document.container,
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
            class_number=translation.class_number,
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


def _others(tree: Mapping[str, Tree], key: str) -> tuple[str, ...]:
    return tuple(str(name) for name in tree if name != key and name not in _BESIDE)


def _trained_note(key: str) -> tuple[str, ...]:
    return (f"no averaged generator in it: {key!r} was taken",) if key in _TRAINED else ()


def _latent_avg(tree: Mapping[str, Tree]) -> tuple[Tensor | None, tuple[str, ...]]:
    value = tree.get("latent_avg")
    return mean_row(value) if isinstance(value, Tensor) and value.numel() else (None, ())


def _kept_number(name: str, text: str) -> float:
    try:
        return positive_number(name, float(text))
    except ValueError:
        raise CheckpointError(f"{name}: {text[:20]!r} in the file's metadata; must be a number") from None


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
