"""load_any_generator: a generator from a weights file of any layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stylegan2.checks import check_finite
from stylegan2.errors import CheckpointError
from stylegan2.layouts.found import Found, Layout, State
from stylegan2.layouts.recognise import recognise
from stylegan2.layouts.translation import W_AVG
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.generator import Generator
from stylegan2.reading import read_document

MEAN_SAMPLES = 10_000  # latents z that a missing mean of W is computed from
MEAN_SEED = 0
_NAMED = 3  # entries that an error names; the report lists them all


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A generator and where it came from."""

    generator: Generator  # float32, evaluation mode, without gradients
    layout: Layout
    w_avg_source: str  # "file", or how it was computed
    left_over: tuple[str, ...]  # the file's entries that nothing here uses
    facts: Mapping[str, str | list[str]]  # for `bundle.yaml`: file, container, layout, w_avg, notes


def load_any_generator(path: str | Path) -> Loaded:
    """Read a weights file, find out its layout and build its generator.

    Raises:
        CheckpointError: Not readable, not recognised, or see `build_generator`.
    """
    return build_generator(recognise(read_document(path)))


def check_generator(found: Found) -> tuple[State, GeneratorConfig]:
    """Check that the generator that `recognise` found can be built.

    Returns:
        Its tensors and its settings.

    Raises:
        CheckpointError: There is none, or tensors are missing, of another shape, or no numbers.
    """
    if found.generator is None or found.config is None:
        raise CheckpointError(f"{found.path}: no generator in it; it holds {found.encoder_kind or 'none'}")
    for what, entries in (("missing", found.missing), ("do not fit", found.misfits)):
        if entries:
            more = f" and {len(entries) - _NAMED} more" if len(entries) > _NAMED else ""
            listed = ", ".join(entries[:_NAMED])
            raise CheckpointError(f"{found.path}: tensors {what} ({found.layout} layout): {listed}{more}")
    check_finite(str(found.path), found.generator)
    return found.generator, found.config


def build_generator(found: Found) -> Loaded:
    """Build the generator that `recognise` found; its tensors are copied.

    Where the file has no mean of W, it is the mean of mapping(z) over `MEAN_SAMPLES` seeded z.

    Raises:
        CheckpointError: See `check_generator`.
    """
    tensors, config = check_generator(found)
    generator = Generator(config)
    state = {name: value.float() for name, value in tensors.items()}
    state.setdefault(W_AVG, generator.w_avg)
    generator.load_state_dict(state)
    generator.eval().requires_grad_(False)
    source = "file"
    if found.w_avg is None:
        w = generator.sample_w(MEAN_SAMPLES, seed=MEAN_SEED)
        generator.w_avg.copy_(w.mean(0))
        source = f"computed: mean of mapping(z) over {MEAN_SAMPLES:,} z of seed {MEAN_SEED}"
    facts: dict[str, str | list[str]] = {
        "file": found.path.name,
        "container": found.container,
        "layout": found.layout,
        "w_avg": source,
        "notes": list(found.notes),
    }
    return Loaded(
        generator=generator,
        layout=found.layout,
        w_avg_source=source,
        left_over=found.left_over,
        facts=facts,
    )
