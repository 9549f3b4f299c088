"""Find edit directions by measuring what latents look like."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import save_file

from editor.attributes import load_networks, measure
from editor.landmarks import FaceDetector
from inversion.directions import DIRECTIONS_ROOT, MANIFEST
from stylegan2.bundle import load_bundle
from stylegan2.checkpoint import load_generator
from stylegan2.errors import CheckpointError
from stylegan2.renderer import Renderer
from train.directions_config import DirectionsConfig
from train.errors import DatasetError
from train.pairs import META_FILE

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Measure = Callable[[Pixels], dict[str, float] | None]

FILE = "directions.safetensors"
SPREAD_SAMPLES = 8192  # latents behind the unit of strength
KEPT_VARIANCE = 0.95  # share of W's variance that directions may use; the rest is estimation noise
RANGES = (3.0, 2.5, 2.0, 1.5)  # strengths that are tried, largest first, in standard deviations
FEWEST = 32  # faces; with fewer the regression fits noise
FOUND_SHARE = 0.95  # of the edited faces, at the ends of the range, must still be found


@dataclass(frozen=True, kw_only=True)
class Edit:
    """How one measured attribute becomes a slider."""

    attribute: str
    label: str
    group: str
    low: str
    high: str


EDITS = {
    "smile": Edit(attribute="smile", label="Smile", group="Expression", low="serious", high="smiling"),
    "mouth_open": Edit(attribute="mouth_open", label="Mouth", group="Expression", low="closed", high="open"),
    "eyes": Edit(attribute="eyes_open", label="Eyes", group="Expression", low="narrow", high="wide"),
    "age": Edit(attribute="age", label="Age", group="Person", low="younger", high="older"),
    "gender": Edit(attribute="masculine", label="Gender", group="Person", low="feminine", high="masculine"),
    "yaw": Edit(
        attribute="yaw", label="Turn", group="Pose and light", low="to the left", high="to the right"
    ),
    "lighting": Edit(
        attribute="light", label="Light", group="Pose and light", low="from the left", high="from the right"
    ),
}
# Measured only to be regressed out: no slider may change how light a person's skin is.
CONTROLS = ("brightness",)


def standardise(values: Array) -> Array:
    """Columns of zero mean and unit standard deviation, outliers pulled in to three deviations."""
    clipped: Array = np.clip((values - values.mean(0)) / values.std(0), -3, 3)
    return clipped


def partial_directions(w: Array, attributes: Array) -> Array:
    """Mean change of w per attribute with every other attribute held fixed, as unit vectors.

    Multivariate linear regression `w - mean = attributes @ C + noise`: row k of C moves attribute k while
    the regression
    leaves the others where they are. W is cut to the principal components that hold `KEPT_VARIANCE` of its
    variance.

    Args:
        w: Latents [N, w_dim].
        attributes: Measurements [N, K].

    Returns:
        Unit vectors [K, w_dim], each pointing to more of its attribute.
    """
    centred = w - w.mean(0)
    _, scale, basis = np.linalg.svd(centred, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(scale**2) / np.sum(scale**2), KEPT_VARIANCE)) + 1
    design = np.column_stack([standardise(attributes), np.ones(len(w))])
    coefficients = np.linalg.lstsq(design, centred, rcond=None)[0][:-1]
    directions = coefficients @ basis[:kept].T @ basis[:kept]
    unit: Array = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return unit


def measure_faces(
    pictures: Iterable[Pixels], measure_face: Measure, names: Sequence[str]
) -> tuple[Array, NDArray[np.bool_]]:
    """Attributes [N, K] of N pictures, NaN without a face; and where a face was found [N]."""
    rows = [measure_face(pixels) for pixels in pictures]
    table = np.array([[row[name] if row else np.nan for name in names] for row in rows])
    return table, ~np.isnan(table[:, 0])


def effect_table(
    low: Iterable[Pixels], high: Iterable[Pixels], measure_face: Measure, names: Sequence[str], spread: Array
) -> tuple[Array, float]:
    """What an edit changes: mean attributes of `high` less those of `low`, and the share of faces found.

    Args:
        low: Pictures of some faces at one end of the edit.
        high: The same faces at the other end.
        measure_face: Picture -> attributes, or None.
        names: Attributes [K].
        spread: Their standard deviations [K], the unit of the change.
    """
    low_table, found_low = measure_faces(low, measure_face, names)
    high_table, found_high = measure_faces(high, measure_face, names)
    both = found_low & found_high
    share = float(np.mean(np.concatenate([found_low, found_high])))
    change = (high_table - low_table)[both].mean(0) / spread if both.any() else np.full(len(names), np.nan)
    return change, share


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


def find_range(measure_ends: Callable[[float], tuple[Array, float]]) -> tuple[float, Array]:
    """The largest strength at whose ends faces are still faces, and the effects there."""
    for strength in RANGES:
        effects, share = measure_ends(strength)
        if share >= FOUND_SHARE:
            break
    return strength, effects


def discover(config: DirectionsConfig, report: Callable[[str], None]) -> dict[str, Any]:
    """Sample, measure, regress, check and write.

    Args:
        config: Settings.
        report: Receives one line per event.

    Returns:
        The manifest that was written.

    Raises:
        CheckpointError: The bundle, a measuring network or the pool is missing or damaged.
        DatasetError: Too few of the pictures show a face.
        EngineError: The device or OpenVINO is not there.
    """
    bundle, networks = load_bundle(config.bundle), load_networks(config.networks)
    generator = load_generator(bundle.generator_path)
    renderer = Renderer(generator, device=config.device)
    renderer.engine.prepare()
    renderer.engine.wait()
    names = [*(edit.attribute for edit in EDITS.values()), *CONTROLS]

    def render(latents: Array) -> Iterable[Pixels]:
        for one in torch.from_numpy(latents).float():
            yield renderer.render(one[None])[0].numpy()

    def sample(count: int, seed: int, psi: float) -> Array:
        w: Array = generator.sample_w(count, seed=seed, truncation_psi=psi).double().numpy()
        return w

    if config.pool:
        w, pictures = read_pool(config.pool, config.count, bundle.generator_sha256)
    else:
        w = sample(config.count, config.seed, config.psi)
        pictures = render(w)
    entries: dict[str, Any] = {}
    with FaceDetector() as detector:

        def measure_face(pixels: Pixels) -> dict[str, float] | None:
            return measure(detector, networks, pixels)

        table, found = measure_faces(pictures, measure_face, names)
        report(f"measured {found.sum()} of {len(w)} faces")
        if found.sum() < FEWEST:
            raise DatasetError(
                f"{config.pool or bundle.folder}: a face in {found.sum()} of {len(w)} pictures; "
                f"must be at least {FEWEST}"
            )
        vectors = partial_directions(w[found], table[found])
        # Strengths count in deviations of W itself, whatever the sample's truncation was.
        sigmas = (sample(SPREAD_SAMPLES, config.seed, 1.0) @ vectors.T).std(0)
        spread = table[found].std(0)
        starts = sample(config.check, config.seed + 1, config.psi)
        for (name, edit), vector, sigma in zip(EDITS.items(), vectors, sigmas, strict=False):

            def measure_ends(strength: float, step: Array = vector * sigma) -> tuple[Array, float]:
                low, high = (render(starts + sign * strength * step) for sign in (-1, 1))
                return effect_table(low, high, measure_face, names, spread)

            reach, effects = find_range(measure_ends)
            entries[name] = {
                "label": edit.label, "group": edit.group, "low": edit.low, "high": edit.high,
                "sigma": round(float(sigma), 4), "range": [-reach, reach],
                "effects": {a: round(float(v), 2) for a, v in zip(names, effects, strict=True)},
            }  # fmt: skip
            report(f"{name} {entries[name]['range']} {entries[name]['effects']}")
    manifest = {
        "generator_sha256": bundle.generator_sha256,
        "file": FILE,
        "unit": "standard deviations of w along the direction",
        "effects": "change of each attribute across the whole range, in its own standard deviations",
        "made_by": command(config, len(w)),
        "licence": bundle.licence,
        "directions": entries,
    }
    write(config.out or DIRECTIONS_ROOT / bundle.name, manifest, dict(zip(EDITS, vectors, strict=False)))
    return manifest


def command(config: DirectionsConfig, count: int) -> str:
    """What to type to find the same directions again; a pool is not named, since folders are private."""
    pool = "PAIRS" if config.pool else "null"
    values = {"count": count, "check": config.check, "psi": config.psi, "seed": config.seed, "pool": pool}
    changes = " ".join(f"--set {name}={value}" for name, value in values.items())
    return f"python -m train directions --config train/configs/directions.yaml {changes}"


def write(folder: Path, manifest: dict[str, Any], vectors: dict[str, Array]) -> None:
    """Write the safetensors file into `folder`, and then the manifest, which is whole or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: torch.from_numpy(v).float().contiguous() for name, v in vectors.items()}, folder / FILE)
    text = yaml.safe_dump(manifest, sort_keys=False, width=120)
    partial = folder / f"{MANIFEST}.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / MANIFEST)
