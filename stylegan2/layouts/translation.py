"""From a layout's names to ours: what every layout shares."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.layouts.found import State
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.generator import Generator
from stylegan2.ops.upfirdn2d import FIR_TAPS

LAYER_LEAVES = ("weight", "bias", "affine.weight", "affine.bias", "noise_strength")
TORGB_LEAVES = ("weight", "bias", "affine.weight", "affine.bias")
W_AVG = "mapping.w_avg"
CONV_CLAMP = "conv_clamp"  # NVIDIA's setting, and of that name in the metadata of our files
_COLOURS = 3
# More layers than any known network has: an index beyond is a damaged or hostile name.
_MOST = 64
_NOISE_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A generator in our names, and how well the file's tensors make one."""

    tensors: State
    config: GeneratorConfig
    missing: tuple[str, ...]
    misfits: tuple[str, ...]
    left_over: tuple[str, ...]
    notes: tuple[str, ...]
    entries: int  # of the file that were used, constant filters included
    class_number: int | None = None  # that a conditional generator was made to draw


def count_indices(names: Iterable[str], pattern: str) -> int:
    """One more than the largest number that the group of `pattern` matches; 0 where nothing matches.

    Raises:
        CheckpointError: A number that no generator has.
    """
    found = [int(match[1]) for name in names if (match := re.match(pattern, name))]
    largest = max(found, default=-1)
    if largest >= _MOST:
        raise CheckpointError(f"an entry {pattern!r} with number {largest}; at most {_MOST} are known")
    return largest + 1


def resolutions_up_to(resolution: int) -> list[int]:
    """4, 8, ..., `resolution`."""
    return [2**i for i in range(2, resolution.bit_length())]


def conv_layers(resolution: int) -> list[str]:
    """Our names of the convolutions from the input to the picture: b4.conv1, b8.conv0, b8.conv1, ..."""
    above = [f"synthesis.b{r}.conv{half}" for r in resolutions_up_to(resolution) if r > 4 for half in (0, 1)]
    return ["synthesis.b4.conv1", *above]


def our_names(resolution: int, mapping_layers: int) -> list[str]:
    """Every tensor of a generator but `mapping.w_avg`."""
    names = [f"mapping.fc{i}.{leaf}" for i in range(mapping_layers) for leaf in ("weight", "bias")]
    names.append("synthesis.b4.const")
    for layer in conv_layers(resolution):
        names += [f"{layer}.{leaf}" for leaf in (*LAYER_LEAVES, "noise_const")]
    for r in resolutions_up_to(resolution):
        names += [f"synthesis.b{r}.torgb.{leaf}" for leaf in TORGB_LEAVES]
    return names


def translate(
    state: Mapping[str, Tensor],
    names: Mapping[str, str],
    convert: Callable[[str, Tensor], Tensor],
    *,
    w_avg: Tensor | None,
    kernels: tuple[str, ...] = (),
    lr_multiplier: float = 0.01,
    conv_clamp: float | None = None,
) -> Translation:
    """Take a generator out of a layout's tensors.

    One that draws in grey draws the same grey as three colours, exactly; transparency is left out.

    Args:
        state: The file's tensors.
        names: Our name -> the file's name, for every tensor of the generator but `mapping.w_avg`.
        convert: (our name, the file's tensor) -> the tensor in our layout.
        w_avg: Mean of W [w_dim]; None where the file has none.
        kernels: Endings of the names of resampling filters, which are constants here.
        lr_multiplier: That the mapping's weights are stored with; they are rescaled to 0.01, ours.
        conv_clamp: See `GeneratorConfig`.

    Raises:
        CheckpointError: Another resampling filter, or not even the architecture can be told.
    """
    tensors = {ours: convert(ours, state[theirs]) for ours, theirs in names.items() if theirs in state}
    filters = [name for name in state if kernels and name.endswith(kernels)]
    for name in filters:
        _check_filter(name, state[name])
    notes = [] if lr_multiplier == 0.01 else [f"mapping weights rescaled from multiplier {lr_multiplier:g}"]
    if lr_multiplier != 0.01:
        scale = lr_multiplier / 0.01
        tensors |= {k: v.float() * scale for k, v in tensors.items() if k.startswith("mapping.")}
    if w_avg is not None:
        tensors[W_AVG] = w_avg
    notes += _as_colours(tensors)
    config = infer_config(tensors, names, conv_clamp)
    expected = expected_shapes(config)
    noises = [name for name in names if name.endswith("noise_const")]
    if not any(name in tensors for name in noises):
        # Older files keep no noise pictures; the code that reads them draws its own once, and so do we.
        chance = torch.Generator().manual_seed(_NOISE_SEED)
        tensors |= {name: torch.randn(expected[name], generator=chance) for name in noises}
        notes.append(f"the file has no noise pictures: drawn with seed {_NOISE_SEED}")
    used = {*names.values(), *filters}
    return Translation(
        tensors=tensors,
        config=config,
        missing=tuple(names[ours] for ours in names if ours not in tensors),
        misfits=tuple(_misfits(tensors, expected, names)),
        left_over=tuple(name for name in state if name not in used),
        notes=tuple(notes),
        entries=sum(name in used for name in state),
    )


def infer_config(
    state: Mapping[str, Tensor], names: Mapping[str, str], conv_clamp: float | None = None
) -> GeneratorConfig:
    """Architecture from the shapes of tensors in our layout.

    Args:
        state: The tensors.
        names: Our name -> the file's, for the tensors that there should be.
        conv_clamp: See `GeneratorConfig`; no tensor tells it.

    Raises:
        CheckpointError: Too little is there, or it is no architecture of ours.
    """
    resolutions = [int(m[1]) for name in names if (m := re.match(r"synthesis\.b(\d+)\.torgb\.weight", name))]
    depth = count_indices(names, r"mapping\.fc(\d+)\.weight")
    w_dim, z_dim = _matrix_shape("mapping.fc0.weight", state, names)
    channels = {r: _width(f"synthesis.b{r}", state, names) for r in resolutions}
    try:
        return GeneratorConfig(
            img_resolution=max(resolutions),
            z_dim=z_dim,
            w_dim=w_dim,
            mapping_layers=depth,
            channels=channels,
            conv_clamp=conv_clamp,
        )
    except ConfigError as error:
        raise CheckpointError(f"no StyleGAN2 generator that is known here: {error}") from error


def expected_shapes(config: GeneratorConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of this architecture; no weights are made for it."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in Generator(config).state_dict().items()}


def check_settings(settings: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Refuse settings that change what a generator computes without changing a tensor's shape.

    Args:
        settings: The file's.
        fixed: Name -> the only value that runs here, which is also the one where the file states none.

    Raises:
        CheckpointError: Another value.
    """
    for name, wanted in fixed.items():
        found = settings.get(name)
        if found is not None and (list(found) if isinstance(found, tuple) else found) != wanted:
            raise CheckpointError(f"a generator with {name} {found!r}: only {wanted!r} runs here")


def stated_clamp(settings: Mapping[str, Any]) -> float | None:
    """The limit that NVIDIA's code keeps activations within, as settings state it; None where they do not.

    Raises:
        CheckpointError: It is no number above zero.
    """
    limit = settings.get(CONV_CLAMP)
    return None if limit is None else positive_number(CONV_CLAMP, limit)


def positive_number(name: str, value: object) -> float:
    """`value`, checked.

    Raises:
        CheckpointError: It is no number above zero.
    """
    if isinstance(value, int | float) and 0 < value < float("inf"):
        return float(value)
    raise CheckpointError(f"{name}: {value!r}; must be a positive number")


def mean_row(value: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """The mean of W as [w_dim] from [w_dim], [1, w_dim] or [num_ws, w_dim], and a note where rows differ."""
    rows = value.reshape(-1, value.shape[-1]) if value.ndim else value.reshape(1, 1)
    if torch.equal(rows, rows[:1].expand_as(rows)):
        return rows[0], ()
    return rows.float().mean(0), (f"latent_avg has {len(rows)} rows that differ: their mean was taken",)


def without_prefix(state: Mapping[str, Tensor], prefix: str) -> State:
    """The entries that begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def unwrapped(state: State) -> State:
    """Take off the `module.` that DataParallel puts before every name."""
    return without_prefix(state, "module.") if all(name.startswith("module.") for name in state) else state


def _as_colours(tensors: State) -> tuple[str, ...]:
    """Make the three colours of ToRGB layers that draw one channel or four; a note where they do.

    The layers of all sizes are added up channel by channel, so that repeating or leaving out a channel of
    each is the same for the picture.
    """
    layers = [name for name in tensors if ".torgb." in name and name.endswith(("torgb.weight", "torgb.bias"))]
    counts = {tensors[name].shape[0] if tensors[name].ndim else 0 for name in layers}
    if counts == {1}:
        tensors.update({name: tensors[name].repeat_interleave(_COLOURS, 0) for name in layers})
        return ("draws in grey: its one channel is drawn as red, green and blue",)
    if counts == {_COLOURS + 1}:
        tensors.update({name: tensors[name][:_COLOURS] for name in layers})
        return ("draws with transparency, which is left out",)
    return ()


def _matrix_shape(name: str, state: Mapping[str, Tensor], names: Mapping[str, str]) -> tuple[int, int]:
    value = state.get(name)
    if value is None:
        raise CheckpointError(f"missing {names.get(name, name)!r}, which says how wide W is")
    if value.ndim != 2:
        raise CheckpointError(f"{names[name]}: found {list(value.shape)}, expected a matrix")
    rows, columns = value.shape
    return rows, columns


def _width(block: str, state: Mapping[str, Tensor], names: Mapping[str, str]) -> int:
    # The axis of each tensor that is as long as the block is wide; any one of them does.
    for leaf, axis in (("torgb.weight", 1), ("conv1.weight", 0), ("conv1.bias", 0)):
        value = state.get(f"{block}.{leaf}")
        if value is not None and value.ndim > axis:
            return int(value.shape[axis])
    wanted = names[f"{block}.torgb.weight"]
    raise CheckpointError(f"missing {wanted!r}, which says how wide its block is")


def _misfits(
    tensors: State, expected: Mapping[str, tuple[int, ...]], names: Mapping[str, str]
) -> Iterable[str]:
    for ours, value in tensors.items():
        wanted = expected.get(ours)
        if wanted is not None and tuple(value.shape) != wanted:
            yield f"{names.get(ours, 'w_avg')}: found {list(value.shape)}, expected {list(wanted)}"


def _check_filter(name: str, value: Tensor) -> None:
    taps = torch.tensor(FIR_TAPS)
    ours = torch.outer(taps, taps) / taps.sum() ** 2
    theirs = value.float().reshape(value.shape[-2:]) if value.numel() == ours.numel() else value.float()
    if theirs.shape != ours.shape or not torch.allclose(theirs / theirs.sum(), ours, atol=1e-4):
        raise CheckpointError(
            f"{name}: another resampling filter {list(theirs.shape)}; only [1, 3, 3, 1] runs here"
        )


_ONLY = "only StyleGAN2 with RGB skips runs here"
# Pattern of an entry that no other network has -> what it is. The first that is found decides.
_STRANGERS: tuple[tuple[str, str], ...] = (
    (
        r"(G|GE)\.(initial_block|to_initial_block\.|initial_conv\.)",
        "a network of lucidrains' stylegan2-pytorch",
    ),
    (r".*relative_position_bias_table$", "a StyleSwin generator"),
    (r"stylegan_decoder\.", "a GFPGAN network, which restores photos and draws nothing of its own"),
    (r"style_conv1\.bias$", "GFPGAN's clean generator, whose layers are scaled otherwise"),
    (r"mapping\.embed_proj\.", "a StyleGAN-XL generator"),
    (r"synthesis\.(L\d+_|input\.)", "a StyleGAN3 generator"),
    (r".*(\bstyle_mod\.|\bStyleMod/|\bprogression\.)", "a StyleGAN1 generator"),
    (r"synthesis\.b\d+\.skip\.|.*\d+x\d+/Skip/", "a generator of the 'resnet' architecture"),
)
# The same by the class of a pickled module.
_CLASSES = {"SuperresGenerator": "a StyleGAN-XL generator"}


def refuse_strangers(names: Collection[str], title: str) -> None:
    """Refuse a network that is known and no StyleGAN2 with RGB skips.

    Args:
        names: Of its entries.
        title: Where they were found, for people.

    Raises:
        CheckpointError: It is one, by its name.
    """
    own = re.split(r"[ .]", title)[-1]
    if own in _CLASSES or "stylegan3" in title:
        raise CheckpointError(f"{_CLASSES.get(own, 'a StyleGAN3 generator')} ({title}): {_ONLY}")
    for pattern, what in _STRANGERS:
        if any(re.match(pattern, name) for name in names):
            raise CheckpointError(f"{what} ({title}): {_ONLY}")
