"""Find edit directions by measuring what latents look like."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from editor.face.landmarks import FaceDetector
from editor.face.warp import resized
from editor.measure.attribute_network import NAMES, SIDE, AttributeNetwork, load_attributes
from editor.measure.attributes import load_networks, measure
from editor.photo.colour import Pixels
from inversion.directions.bank import DIRECTIONS_ROOT, MANIFEST
from stylegan2 import Generator
from stylegan2.bundle.checkpoint import load_generator
from stylegan2.bundle.opening import load_bundle
from stylegan2.engines.engine import choose_device
from stylegan2.engines.renderer import Renderer
from stylegan2.errors import CheckpointError
from train.attributes.stage import tell
from train.data.images import describe_counts
from train.data.pairs import META_FILE
from train.directions.choice import FOUND_SHARE, STRENGTH, Change, MeasureStep, gentlest_step
from train.directions.config import DirectionsConfig
from train.directions.correct import cleanest_step, responses, without_side_effects
from train.directions.fit import Array, partial_directions, sparing_directions
from train.directions.identity_gradients import identity_gradients
from train.directions.probe import StepProbe, draw, measure_faces
from train.errors import DatasetError
from train.losses.identity import IdentityEmbedder, load_identity

FILE = "directions.safetensors"
SPREAD_SAMPLES = 8192  # latents behind the unit of strength
RANGES = (3.0, 2.5, 2.0, 1.5)  # strengths that are tried, largest first, in standard deviations
IDENTITY_WEIGHTS = (0.5, 1.0, 2.0)  # ways that are tried, beside the plain one
FEWEST = 32  # faces; with fewer the regression fits noise
UNIT = (
    "what one standard deviation of w along the plain regression's direction changes of the attribute, "
    "whatever way there was chosen"
)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """How one measured attribute becomes a slider."""

    attribute: str
    label: str
    group: str
    low: str
    high: str
    aliases: tuple[str, ...] = ()  # names that the edit had before


EDITS = {
    "smile": Goal(attribute="smile", label="Smile", group="Expression", low="serious", high="smiling"),
    "mouth": Goal(
        attribute="mouth_open",
        label="Mouth",
        group="Expression",
        low="closed",
        high="open",
        aliases=("mouth_open",),
    ),
    "eyes": Goal(attribute="eyes_open", label="Eyes", group="Expression", low="narrow", high="wide"),
    "age": Goal(attribute="age", label="Age", group="Person", low="younger", high="older"),
    "gender": Goal(attribute="masculine", label="Gender", group="Person", low="feminine", high="masculine"),
    "turn": Goal(
        attribute="yaw",
        label="Turn",
        group="Pose and light",
        low="to the left",
        high="to the right",
        aliases=("yaw",),
    ),
    "light": Goal(
        attribute="light",
        label="Light",
        group="Pose and light",
        low="from the left",
        high="from the right",
        aliases=("lighting",),
    ),
}
# Measured only to be held: no slider may change the colour of a person's skin, or put glasses on them.
CONTROLS = ("brightness", "redness", "yellowness")
TOLD = (
    "glasses",
    "hat",
    "earrings",
    "long_hair",
    "hair",
    "hair_colour",
    "weight",
)  # by the attribute network


def read_pool(folder: Path, count: int, generator_sha256: str) -> tuple[Array, Iterable[Pixels]]:
    """Latents and pictures that a training rendered already (`pairs.cache`), at most `count`.

    Args:
        folder: The pool.
        count: Pairs.
        generator_sha256: Of the generator that must have drawn them.

    Raises:
        CheckpointError: The folder holds no pairs, or those of another generator.
    """
    try:
        owner = json.loads((folder / META_FILE).read_text(encoding="utf-8"))["generator"]
        w, pixels = np.load(folder / "w.npy"), np.load(folder / "pixels.npy", mmap_mode="r")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder}: no pool of pairs there ({META_FILE}, w.npy, pixels.npy): {error}"
        ) from error
    if owner != generator_sha256:
        raise CheckpointError(f"{folder}: pairs of another generator; make a pool of this one's, or use none")
    return w[:count].astype(np.float64), (np.array(picture) for picture in pixels[:count])


def tell_of(network: AttributeNetwork, pixels: Pixels) -> dict[str, float]:
    """What the attribute network says of a face, by the names of `EDITS` and of `TOLD`."""
    values = tell(network, resized(pixels, SIDE)[None], torch.device("cpu"))[0].tolist()
    found = dict(zip(NAMES, values, strict=True))
    return {"age": found["age"], "masculine": found["male"], **{name: found[name] for name in TOLD}}


def find_range(measure_step: MeasureStep, step: Array) -> tuple[float, Change]:
    """The largest strength at whose ends faces are still faces, and what changes there."""
    for strength in RANGES:
        change = measure_step(strength * step)
        if change.found >= FOUND_SHARE:
            break
    return strength, change


def discover(config: DirectionsConfig, report: Callable[[str], None]) -> dict[str, Any]:
    """Sample, measure, regress, choose, check and write.

    Args:
        config: Settings.
        report: Receives one line per event.

    Returns:
        The manifest that was written.

    Raises:
        CheckpointError: The bundle, a network or the pool is missing or damaged.
        DatasetError: Too few of the pictures show a face.
        EngineError: The device or OpenVINO is not there.
    """
    bundle, networks = load_bundle(config.bundle), load_networks(config.networks)
    device, embed = choose_device(config.device), None
    generator = load_generator(bundle.generator_path).to(device)
    if config.identity_weights is not None:
        embed = load_identity(config.identity_weights, bundle.crop_config).to(device)
    renderer = Renderer(generator, device=config.device)
    renderer.engine.prepare()
    renderer.engine.wait()
    teller = None if config.attribute_weights is None else load_attributes(config.attribute_weights)
    told = () if teller is None else TOLD
    names = [*(edit.attribute for edit in EDITS.values()), *CONTROLS, *told]
    if config.pool:
        w, pictures = read_pool(config.pool, config.count, bundle.generator_sha256)
        report(describe_counts(str(config.pool), len(w), files=1))
    else:
        w = _sample(generator, config.count, config.seed, config.psi)
        pictures = draw(renderer, w)
    with FaceDetector() as detector:

        def measure_face(pixels: Pixels) -> dict[str, float] | None:
            found = measure(detector, networks, pixels)
            return found if found is None or teller is None else {**found, **tell_of(teller, pixels)}

        table, found = measure_faces(pictures, measure_face, names)
        report(f"measured {found.sum()} of {len(w)} faces")
        if found.sum() < FEWEST:
            raise DatasetError(
                f"{config.pool or bundle.folder}: a face in {found.sum()} of {len(w)} pictures; "
                f"must be at least {FEWEST}"
            )
        w, table = w[found], table[found]
        plain = partial_directions(w, table)
        sparing = {} if embed is None else _sparing(config, generator, embed, w, table, report)
        # Strengths count in deviations of W itself, whatever the sample's truncation was.
        everyone = _sample(generator, SPREAD_SAMPLES, config.seed, 1.0)
        starts = _sample(generator, config.check, config.seed + 1, config.psi)
        probe = StepProbe(renderer, measure_face, embed, names, table.std(0), starts)
        ways = {
            weight: np.array([_one_deviation(unit, everyone) for unit in units])
            for weight, units in {0.0: plain, **sparing}.items()
        }
        # What the attribute network tells is held, but a unit stays what it is without.
        units = partial_directions(w, table[:, : len(names) - len(told)])
        units = np.array([_one_deviation(unit, everyone) for unit in units])
        entries, steps = _choose(probe, names, ways, units, report)
    manifest = {
        "generator_sha256": bundle.generator_sha256,
        "file": FILE,
        "unit": UNIT,
        "effects": "change of each attribute across the whole range, in its own standard deviations",
        "made_by": command(config, len(found)),
        "licence": bundle.licence,
        "directions": entries,
    }
    write(config.out or DIRECTIONS_ROOT / bundle.name, manifest, steps)
    return manifest


def _choose(
    probe: StepProbe,
    names: Sequence[str],
    ways: Mapping[float, Array],
    units: Array,
    report: Callable[[str], None],
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Of every edit the manifest's entry, and the step of the way that was chosen.

    Args:
        probe: Measures steps.
        names: Attributes [K], those of the edits first.
        ways: By the weight of identity that they were found with, 0 for the plain one: a step for each
            attribute [K, w_dim].
        units: Steps that change as much of each attribute as one unit shall [K', w_dim].
        report: Receives a line for each.
    """
    basis = ways[0.0]
    answers = responses(probe, list(basis))
    report(f"measured what {len(basis)} steps change")
    entries: dict[str, Any] = {}
    steps: dict[str, Array] = {}
    for k, (name, edit) in enumerate(EDITS.items()):
        wanted = float(probe(STRENGTH * units[k]).effects[k])
        cleaned = {
            weight: without_side_effects(probe, way[k], basis, answers, k) for weight, way in ways.items()
        }
        others = {weight: way[k] for weight, way in ways.items() if weight}
        gentle = gentlest_step(probe, units[k], others, k, range(len(EDITS), len(names)))
        person = probe(STRENGTH * gentle[1]).identity
        # What is taken back may cost more of the person than it is worth, or the edit itself.
        clean = cleanest_step(probe, cleaned, k, wanted, person)
        weight, steps[name] = gentle if clean is None else clean
        reach, change = find_range(probe, steps[name])
        entries[name] = {
            **({"aliases": list(edit.aliases)} if edit.aliases else {}),
            "label": edit.label, "group": edit.group, "low": edit.low, "high": edit.high,
            "attribute": edit.attribute,
            "sigma": round(float(np.linalg.norm(steps[name])), 4), "range": [-reach, reach],
            "identity_weight": weight,
            "effects": {a: round(float(v), 2) for a, v in zip(names, change.effects, strict=True)},
        }  # fmt: skip
        report(f"{name} weight {weight:g} {entries[name]['range']} {entries[name]['effects']}")
    return entries, steps


def _sparing(
    config: DirectionsConfig,
    generator: Generator,
    embed: IdentityEmbedder,
    w: Array,
    table: Array,
    report: Callable[[str], None],
) -> dict[float, Array]:
    latents = generator.sample_w(config.gradients, seed=config.seed + 2, truncation_psi=config.psi)
    gradients = _array(identity_gradients(generator, embed, latents, seed=config.seed))
    report(f"found {len(gradients)} gradients of identity")
    return {weight: sparing_directions(w, table, gradients, weight) for weight in IDENTITY_WEIGHTS}


def _sample(generator: Generator, count: int, seed: int, psi: float) -> Array:
    return _array(generator.sample_w(count, seed=seed, truncation_psi=psi))


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.cpu().double().numpy()
    return array


def _one_deviation(unit: Array, w: Array) -> Array:
    step: Array = unit * (w @ unit).std()
    return step


def command(config: DirectionsConfig, count: int) -> str:
    """What to type to find the same directions again; folders are private, and not named."""
    pool = "PAIRS" if config.pool else "null"
    values = {"count": count, "check": config.check, "psi": config.psi, "seed": config.seed, "pool": pool}
    if config.identity_weights is None:
        values["identity_weights"] = "null"
    else:
        values["gradients"] = config.gradients
    if config.attribute_weights is not None:
        values["attribute_weights"] = "ATTRIBUTES"
    changes = " ".join(f"--set {name}={value}" for name, value in values.items())
    return f"python -m train directions --config train/configs/directions.yaml {changes}"


def write(folder: Path, manifest: dict[str, Any], steps: Mapping[str, Array]) -> None:
    """Write unit vectors along `steps` into `folder`, and then the manifest, which is whole or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    vectors = {name: step / np.linalg.norm(step) for name, step in steps.items()}
    save_file({name: torch.from_numpy(v).float().contiguous() for name, v in vectors.items()}, folder / FILE)
    text = yaml.safe_dump(manifest, sort_keys=False, width=120)
    partial = folder / f"{MANIFEST}.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / MANIFEST)
