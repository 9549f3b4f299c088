"""What is in a weights file, in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stylegan2.layouts.found import Found
from stylegan2.layouts.loading import MEAN_SAMPLES, MEAN_SEED
from stylegan2.network.config import GeneratorConfig

# Settings by which people tell one checkpoint from another.
_INTERESTING = (
    "output_size",
    "stylegan_size",
    "size",
    "encoder_type",
    "input_nc",
    "n_styles",
    "learn_in_w",
    "start_from_latent_avg",
    "dataset_type",
    "layers_to_tune",
    "stylegan_weights",
    "checkpoint_path",
)
_LISTED = 8  # names of a long list


def describe(found: Found) -> list[tuple[str, str]]:
    """(what, finding) for each line of a report on a file."""
    return list(_lines(found))


def _lines(found: Found) -> Iterator[tuple[str, str]]:
    yield "format", found.container
    yield "layout", found.layout
    if found.config is None:
        yield "generator", "none"
    else:
        yield from _generator_lines(found, found.config)
    kind = found.encoder_kind or "unknown"
    count = f"{found.encoder_parameters:,} numbers in {len(found.encoder)} tensors"
    yield "encoder", f"{kind}, {count}" if found.encoder else "none"
    if opts := _options(found.opts):
        yield "opts", opts
    for what, names in (
        ("missing", found.missing),
        ("does not fit", found.misfits),
        ("left over", found.left_over),
    ):
        if names:
            yield what, _listed(names)
    for note in found.notes:
        yield "note", note


def _generator_lines(found: Found, config: GeneratorConfig) -> Iterator[tuple[str, str]]:
    side = config.img_resolution
    yield "generator", f"StyleGAN2, {side} x {side} px, {found.generator_parameters:,} parameters"
    yield "widths", ", ".join(f"{config.channels[r]} at {r}" for r in config.resolutions)
    yield (
        "mapping",
        (
            f"{config.mapping_layers} layers, z_dim {config.z_dim}, w_dim {config.w_dim}, "
            f"{config.num_ws} styles a picture"
        ),
    )
    computed = f"not in the file: will be the mean of mapping(z) over {MEAN_SAMPLES:,} z of seed {MEAN_SEED}"
    yield "w_avg", "in the file" if found.w_avg else computed


def _options(opts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={opts[name]!r}" for name in _INTERESTING if name in opts)


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)}: {', '.join(names[:_LISTED])}{more}"
