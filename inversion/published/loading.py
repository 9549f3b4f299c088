"""Published weights into the networks here: strict on every entry, and a report of what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from inversion.published.config import NAMES, PublishedConfig, channels_of, config_of
from inversion.published.contrastive import ContrastiveImageEncoder, ContrastiveLatentEncoder
from inversion.published.encoders import ClcaeEncoder, build_encoder
from inversion.published.model import PublishedModel
from stylegan2.checks import check_finite
from stylegan2.errors import CheckpointError
from stylegan2.layouts import Found, recognise
from stylegan2.layouts.translation import W_AVG
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.generator import Generator
from stylegan2.reading import read_document

_NAMED = 4  # entries that an error names; their number is told too


@dataclass(frozen=True, kw_only=True)
class Contrastive:
    """Half of CLCAE's contrastive pair."""

    network: ContrastiveImageEncoder | ContrastiveLatentEncoder
    report: str


def load_published(source: str | Path | Found, generator: Generator) -> PublishedModel:
    """Build the encoder of a CLCAE, pSp or e4e file, for use.

    Float32 tensors are used where they lie, which for a file is a mapping of it: the file must not be
    shortened meanwhile. Dead weights of CLCAE's attention are checked as all others and then folded away.

    Args:
        source: A weights file, one that `save_inverter` wrote, or what `recognise` found in one.
        generator: The file's own, or one of the same sizes.

    Raises:
        CheckpointError: No such encoder, entries that are missing, left over or of another shape, or a
            generator of other sizes.
    """
    found = source if isinstance(source, Found) else recognise(read_document(source))
    config = config_of(found, generator.num_ws)
    _check_generator(found, config, generator.config)
    stray = tuple(name for name in found.left_over if name.startswith(("encoder.", "decoder.")))
    bad = _listed("generator entries missing", found.missing) + _listed("generator shapes", found.misfits)
    if bad or stray:
        raise CheckpointError(f"{found.path}: {'; '.join([*bad, *_listed('left over', stray)])}")
    with torch.device("meta"):
        encoder = build_encoder(config)
    expected = len(encoder.state_dict())
    fill_strictly(encoder, found.encoder, f"{found.path}: not a {NAMES[config.kind]} encoder")
    if isinstance(encoder, ClcaeEncoder):
        encoder.fold_attention()
    from_file = found.generator is not None and W_AVG in found.generator
    check_finite(str(found.path), {} if found.generator is None else found.generator)
    w_avg = found.generator[W_AVG].float() if found.generator is not None and from_file else generator.w_avg
    return PublishedModel(
        config,
        encoder,
        w_avg.detach().clone(),
        report=_report(found, config, expected, from_file=from_file),
    )


def check_encoder(found: Found) -> None:
    """Check that a file's encoder, and its generator with it, are such as `load_published` takes.

    Raises:
        CheckpointError: See `load_published`.
    """
    if found.config is None:
        raise CheckpointError(f"{found.path}: no generator in it; it holds {found.encoder_kind or 'none'}")
    config = config_of(found, found.config.num_ws)
    _check_generator(found, config, found.config)
    with torch.device("meta"):
        encoder = build_encoder(config)
    check_strictly(encoder, found.encoder, f"{found.path}: not a {NAMES[config.kind]} encoder")


def load_contrastive(source: str | Path | Found) -> Contrastive:
    """Build one of CLCAE's contrastive encoders; as strict as `load_published`.

    Raises:
        CheckpointError: No such encoder, or entries that are missing, left over or of another shape.
    """
    found = source if isinstance(source, Found) else recognise(read_document(source))
    if found.layout != "clcae-contrastive":
        raise CheckpointError(
            f"{found.path}: a file of layout {found.layout!r}; expected CLCAE's contrastive weights"
        )
    with torch.device("meta"):
        network = _contrastive_network(found)
    expected = len(network.state_dict())
    fill_strictly(network, found.encoder, f"{found.path}: not a {found.encoder_kind}")
    left = ", ".join(found.left_over) or "none"
    lines = [
        f"{expected} of {expected} tensors of the {found.encoder_kind}, missing: none, left over: {left}"
    ]
    return Contrastive(network=network, report="; ".join(lines))


def fill_strictly(network: nn.Module, state: Mapping[str, Tensor], title: str) -> None:
    """Give a network without storage its tensors, in float32, and leave it ready for inference.

    Args:
        network: On the meta device.
        state: Its tensors; those of float32 are used as they are and not copied.
        title: What a complaint begins with.

    Raises:
        CheckpointError: See `check_strictly`.
    """
    check_strictly(network, state, title)
    wanted = network.state_dict()
    # `assign` keeps the file's mapping: filling fresh storage would need the encoder's size once more.
    converted = {name: value.to(wanted[name].dtype) for name, value in state.items()}
    network.load_state_dict(converted, assign=True)
    network.eval().requires_grad_(False)


def check_strictly(network: nn.Module, state: Mapping[str, Tensor], title: str) -> None:
    """Check that `state` has every tensor of `network`, of its shape, and no other.

    Raises:
        CheckpointError: Missing, left over and misshapen entries, the first of each by name; no numbers.
    """
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    misfits = [
        f"{name} {list(value.shape)}, expected {list(wanted[name])}"
        for name, value in state.items()
        if name in wanted and tuple(value.shape) != wanted[name]
    ]
    missing = [name for name in wanted if name not in state]
    left_over = [name for name in state if name not in wanted]
    complaints = [
        *_listed("missing", missing),
        *_listed("left over", left_over),
        *_listed("of another shape", misfits),
    ]
    if complaints:
        raise CheckpointError(
            f"{title}: {'; '.join(complaints)}. "
            "`python -m stylegan2 convert --generator-only` makes a model of the generator alone"
        )
    check_finite(title, state)


def _check_generator(found: Found, config: PublishedConfig, generator: GeneratorConfig) -> None:
    if (config.num_ws, config.width) != (generator.num_ws, generator.w_dim):
        raise CheckpointError(
            f"{found.path}: an encoder of {config.num_ws} styles of {config.width} numbers; its generator "
            f"takes {generator.num_ws} of {generator.w_dim}"
        )
    channels = generator.channels[config.f_resolution]
    if config.kind == "clcae" and channels != config.f_channels:
        raise CheckpointError(
            f"{found.path}: f has {config.f_channels} channels, the generator {channels} at 16 x 16"
        )


def _contrastive_network(found: Found) -> ContrastiveImageEncoder | ContrastiveLatentEncoder:
    if "pos_embedding" not in found.encoder and "logit_scale" in found.encoder:
        channels = channels_of(found.encoder, "encoder.")
        return ContrastiveImageEncoder() if channels is None else ContrastiveImageEncoder(channels)
    position, first = (found.encoder.get(name) for name in ("pos_embedding", "coarse.linear1.bias"))
    if position is None or first is None or position.ndim != 3 or position.shape[2] % 4:
        return ContrastiveLatentEncoder()
    return ContrastiveLatentEncoder(position.shape[2], hidden=first.shape[0])


def _report(found: Found, config: PublishedConfig, expected: int, *, from_file: bool) -> str:
    decoder = found.generator_entries
    counts = [f"{expected} of {expected} encoder tensors"]
    if decoder:
        counts.append(f"{decoder} of {decoder} decoder tensors")
    height, width = config.in_size
    lines = [
        f"{NAMES[config.kind]} encoder, {config.num_ws} styles, sees {width} x {height} px",
        f"{', '.join(counts)}, missing: none, left over: {', '.join(found.left_over) or 'none'}",
        f"w_avg: {'from the file' if from_file else 'from the generator'}"
        + ("" if config.adds_mean else ", not added, as the file's settings say"),
    ]
    if config.kind == "clcae":
        lines.append("mean image: drawn as G(w_avg)")
    return "; ".join(lines)


def _listed(what: str, names: Sequence[str]) -> list[str]:
    """[] where there are none, else one phrase with their number and the first few."""
    if not names:
        return []
    more = ", ..." if len(names) > _NAMED else ""
    return [f"{len(names)} {what} ({', '.join(names[:_NAMED])}{more})"]
