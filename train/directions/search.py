"""Find edit directions: measure faces, learn edits by what is measured, and check them."""

import json
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from editor.face.landmarks import FaceDetector
from editor.measure.attribute_network import AttributeNetwork, load_attributes
from editor.measure.attributes import MEASURED, measure
from editor.measure.probe import END, Probe, draw, measure_faces
from editor.measure.texture import ZoneTextures, texture_of, texture_statistics
from editor.parts.parser import FaceParser
from editor.photo.colour import Pixels
from inversion.directions.bank import DIRECTIONS_ROOT, MANIFEST, load_directions
from inversion.directions.linear import EditDirection, apply_direction
from inversion.directions.rated import Measures, save_measures
from inversion.directions.writing import save_directions
from inversion.directions.zones import zone_maps, zone_shares
from stylegan2 import Generator
from stylegan2.bundle.checkpoint import load_generator
from stylegan2.bundle.folder import ModelBundle
from stylegan2.bundle.opening import load_bundle
from stylegan2.engines.engine import choose_device
from stylegan2.engines.renderer import Renderer
from stylegan2.errors import CheckpointError, ConfigError
from train.data.images import describe_counts
from train.data.pairs import META_FILE
from train.directions.config import DirectionsConfig
from train.directions.fit import Array, partial_directions
from train.directions.goals import EDITS, Goal, wanted
from train.directions.learn import (
    EditLessons,
    LearnedWay,
    folded_synthesis,
    learn_edit,
    lesson_faces,
    torn_by,
    whitened,
)
from train.directions.surrogate import Surrogate, fit_surrogate
from train.directions.untangle import bending_weights, mixed, mixing_weights, worst
from train.directions.work import WorkFolder
from train.errors import DatasetError
from train.evaluate.metrics import MeasureFace
from train.losses.identity import IdentityEmbedder, load_identity

PSI = 0.8  # truncation of the faces that edits are learned on and checked on
SPREAD_SAMPLES = 8192  # latents behind the frame of W
OWN_WEIGHT = 3.0  # of what an edit is for, against what it shall leave, when edits are untangled
ALIKE = 0.4  # shares of zones may differ by so much where edits are mixed
TEXTURED = 800  # measured faces, at most, that textures are compared with
FEWEST = 32  # faces; with fewer the regression fits noise
UNIT = "a standard deviation of the attribute over invented faces; or years or degrees, `unit_size` to one"
EFFECTS = (
    "change of each attribute by a standard deviation of strength, in its own deviations; mean of -1.5 to 1.5"
)


class Search:
    """One search for edits.

    Args:
        config: Settings.
        report: Receives one line per event.

    Raises:
        CheckpointError: The bundle, a network or the pool is missing or damaged.
        ConfigError: An edit that there is none of, or a work folder that cannot be used.
        EngineError: The device or OpenVINO is not there.
    """

    def __init__(self, config: DirectionsConfig, report: Callable[[str], None]) -> None:
        self._config, self._report = config, report
        self.bundle: ModelBundle = load_bundle(config.bundle)
        self._device = choose_device(config.device)
        self._generator: Generator = load_generator(self.bundle.generator_path).to(self._device)
        self._network: AttributeNetwork = load_attributes(config.attribute_weights)
        self._identity: IdentityEmbedder | None = None
        if config.identity_weights is not None:
            self._identity = load_identity(config.identity_weights, self.bundle.crop_config)
            self._identity = self._identity.to(self._device).requires_grad_(False)
        self._zones = zone_maps(self.bundle.crop_config)
        self._renderer = Renderer(self._generator, zones=self._zones, device=config.device)
        self._renderer.engine.prepare()
        self._renderer.engine.wait()
        self._work = WorkFolder(config.work, self.bundle.generator_sha256)
        chosen = config.edits or tuple(EDITS)
        unknown = [name for name in chosen if name not in EDITS]
        if unknown:
            raise ConfigError(f"edits: {unknown[0]!r} is none; have: {', '.join(EDITS)}")
        self._goals = {name: EDITS[name] for name in chosen}

    def run(self) -> list[EditDirection]:
        """Measure, learn, check and write; returns the edits that were written.

        Raises:
            DatasetError: Too few of the pictures show a face.
        """
        config = self._config
        with FaceDetector() as detector:
            look = partial(measure, detector, self._network)
            w, pixels, table = self._work.pool(lambda: self._measured(look))
            spread = table.std(0)
            frame, starts = self._frame(w, table)
            textures = ZoneTextures(self._network, pixels[:TEXTURED], self._zones)
            for number in range(1, config.rounds + 1):
                taught = partial(self._surrogate, number, pixels, table)
                ways = self._learn(number, taught, frame, starts, spread, textures)
                if number < config.rounds:
                    self._work.edited(number, partial(self._edited, number, ways, look))
            return self._check(look, ways, (table.mean(0), spread), starts.cpu(), textures, pixels)

    def _measured(self, look: MeasureFace) -> tuple[Array, np.ndarray, Array]:
        """Latents [N, w_dim], pictures [N, R, R, 3] and measures [N, K] of faces."""
        config = self._config
        if config.pool is not None:
            w, pictures = read_pool(config.pool, config.count, self.bundle.generator_sha256)
            self._report(describe_counts(str(config.pool), len(w), files=1))
        else:
            sampled = self._generator.sample_w(config.count, seed=config.seed, truncation_psi=config.psi)
            w, pictures = _array(sampled), draw(self._renderer, self._generator.broadcast(sampled).cpu())
        kept = list(pictures)
        table, found = measure_faces(kept, look)
        self._report(f"measured {found.sum()} of {len(w)} faces")
        if found.sum() < FEWEST:
            raise DatasetError(
                f"{config.pool or self.bundle.folder}: a face in {found.sum()} of {len(w)} pictures; "
                f"must be at least {FEWEST}"
            )
        return w[found], np.stack(kept)[found], table[found]

    def _surrogate(self, number: int, pixels: np.ndarray, table: Array) -> Surrogate:
        def teach() -> Surrogate:
            # What edits made of faces before is measured too: a surrogate that never saw it can be fooled.
            more = [self._work.edited(earlier) for earlier in range(1, number)]
            return fit_surrogate(
                self._network,
                np.concatenate([pixels, *(each for each, _ in more)]),
                np.concatenate([table, *(each for _, each in more)]),
                (table.mean(0), table.std(0)),
                self._config.lessons,
                self._config.seed + number,
                self._report,
            )

        empty = Surrogate(self._network, len(MEASURED))
        return self._work.surrogate(number, empty, teach).to(self._device)

    def _frame(self, w: Array, table: Array) -> tuple[Tensor, Tensor]:
        """Rows that span W, and of each measure the regression's step of one deviation [K, w_dim]."""
        everyone = _array(
            self._generator.sample_w(SPREAD_SAMPLES, seed=self._config.seed, truncation_psi=1.0)
        )
        plain = partial_directions(w, table)
        steps = plain * (everyone @ plain.T).std(0)[:, None]
        return whitened(everyone).to(self._device), torch.from_numpy(steps).float().to(self._device)

    def _learn(
        self,
        number: int,
        taught: Callable[[], Surrogate],
        frame: Tensor,
        starts: Tensor,
        spread: Array,
        textures: ZoneTextures,
    ) -> dict[str, LearnedWay]:
        config = self._config
        lessons: EditLessons | None = None  # take their time, and a search that goes on may need none
        ways: dict[str, LearnedWay] = {}
        for name, goal in self._goals.items():
            asked = wanted(goal, MEASURED, spread).to(self._device)
            start = (asked.change[:, None] * starts).sum(0)
            way = ways[name] = LearnedWay(frame, start, self._generator.num_ws).to(self._device)
            if self._work.load_way(number, name, way):
                continue
            lessons = lessons or self._lessons(taught(), textures)
            if number == 1 or not self._work.load_way(number - 1, name, way):
                lessons.fit_length(way, asked)
            last: dict[str, float] = {}
            seed = (config.seed, number, list(EDITS).index(name))
            learn_edit(lessons, way, asked, config.steps, config.batch, seed, last.update)
            self._work.save_way(number, name, way)
            words = ", ".join(f"{key} {value:.2f}" for key, value in last.items())
            self._report(f"round {number}, {name}: {words}")
        return ways

    def _lessons(self, surrogate: Surrogate, textures: ZoneTextures) -> EditLessons:
        config, generator = self._config, self._generator
        synthesis = folded_synthesis(generator, self._zones, self._device)
        latents = generator.sample_w(config.faces, seed=config.seed + 1, truncation_psi=PSI)
        parser = FaceParser()
        parser.engine.prepare()
        parser.engine.wait()
        ws = generator.broadcast(latents)
        faces = lesson_faces(synthesis, surrogate, self._identity, parser, ws)
        torn = torn_by(deepcopy(self._network).to(self._device), textures)
        return EditLessons(synthesis, surrogate, self._identity, faces, torn)

    def _edited(
        self, number: int, ways: Mapping[str, LearnedWay], look: MeasureFace
    ) -> tuple[np.ndarray, Array]:
        """Pictures and measures of faces under edits of random strength."""
        config, generator = self._config, self._generator
        pictures: list[Pixels] = []
        for index, (name, way) in enumerate(ways.items()):
            seed = config.seed + 1000 * number + index
            ws = generator.broadcast(generator.sample_w(config.edited, seed=seed, truncation_psi=PSI))
            strength = torch.rand(config.edited, generator=torch.Generator().manual_seed(seed)) * 2 - 1
            goal = self._goals[name]
            edit = edit_of(name, goal, way).reaching(goal.reach)
            for one, share in zip(ws.cpu().split(1), strength.tolist(), strict=True):  # type: ignore[no-untyped-call]
                edited = apply_direction(one, edit, share * goal.reach * goal.unit_size)
                pictures += draw(self._renderer, edited)
        table, found = measure_faces(pictures, look)
        self._report(f"measured {found.sum()} of {len(pictures)} edited faces")
        return np.stack(pictures)[found], table[found]

    def _check(
        self,
        look: MeasureFace,
        ways: Mapping[str, LearnedWay],
        scale: tuple[Array, Array],
        starts: Tensor,
        textures: ZoneTextures,
        pixels: np.ndarray,
    ) -> list[EditDirection]:
        config, generator = self._config, self._generator
        latents = generator.sample_w(config.check, seed=config.seed + 2, truncation_psi=PSI)
        probe = Probe(self._renderer, look, generator.broadcast(latents).cpu(), scale[1], textures.tear)
        learned = {name: edit_of(name, self._goals[name], way) for name, way in ways.items()}
        entries: dict[str, EditDirection] = {}
        for name, edit in self._untangled(probe, learned).items():
            most = self._goals[name].reach  # beyond, nothing was learned
            checked = probe.checked(probe.paced(edit), most)
            if not checked.effects:  # a mixture that, made longer, loses the faces
                checked = probe.checked(probe.paced(learned[name]), most)
            low, high = checked.range
            first, last = (end * checked.unit_size for end in self._goals[name].ends)
            entries[name] = replace(checked, range=(max(low, first), min(high, last)))
            self._report(f"{name} {entries[name].range} {entries[name].effects}")
        folder, sha256 = config.out or DIRECTIONS_ROOT / self.bundle.name, self.bundle.generator_sha256
        if config.edits and (folder / MANIFEST).is_file():  # the others stay as they are
            entries = {**load_directions(folder, sha256, generator.w_dim, generator.num_ws), **entries}
        about = {"unit": UNIT, "effects": EFFECTS, "licence": self.bundle.licence}
        edits = [entries[name] for name in dict.fromkeys([*EDITS, *entries]) if name in entries]
        save_directions(folder, edits, sha256, made_by=command(config, len(pixels)), about=about)
        steps = generator.broadcast(starts.to(generator.w_avg)).cpu().clone()
        for edit in edits:
            # What an edit does in its zones tells nothing of what it does all over.
            if edit.attribute in MEASURED and edit.direction.ndim == 2 and not edit.zones:
                column = MEASURED.index(edit.attribute)
                deviation = float(scale[1][column]) if edit.unit else 1.0
                steps[column] = deviation * edit.sigma * edit.direction
        texture = texture_of(texture_statistics(self._network, pixels))  # own edits act all over the face
        measures = Measures(names=MEASURED, mean=scale[0], spread=scale[1], steps=steps, texture=texture)
        save_measures(folder, measures, sha256)
        return edits

    def _untangled(self, probe: Probe, edits: Mapping[str, EditDirection]) -> dict[str, EditDirection]:
        asked = [wanted(self._goals[name], MEASURED, probe.spread) for name in edits]
        change, weight = (
            np.array([getattr(each, part).double().numpy() for each in asked])
            for part in ("change", "weight")
        )
        own = [MEASURED.index(self._goals[name].attribute) for name in edits]
        weight[change != 0] = np.maximum(weight[change != 0], OWN_WEIGHT)
        free = weight * (change == 0)  # how an edit's own change bends is let be
        before, bent = _curves(probe, edits)
        # A mixture has one edit's zones: only those may go in that have about the same.
        shares = np.array([zone_shares(edit.zones).numpy() for edit in edits.values()])
        alike = np.abs(shares[:, None] - shares[None]).max(2) <= ALIKE
        slopes = mixing_weights(before, change, weight, alike)
        bends = bending_weights(before, bent, free, alike)
        found = mixed(edits, slopes, bends)
        after, after_bent = _curves(probe, found)
        worst_before, worst_after = worst(before, bent, own, weight), worst(after, after_bent, own, weight)
        kept = {}
        for number, name in enumerate(edits):
            old, new = worst_before[number], worst_after[number]
            self._report(f"untangled {name}: what moves most besides {old:.2f} -> {new:.2f}")
            kept[name] = found[name] if new < old and self._goals[name].mixed else edits[name]
        return kept


def _curves(probe: Probe, edits: Mapping[str, EditDirection]) -> tuple[Array, Array]:
    curves = [probe.curve(edit) for edit in edits.values()]
    return np.array([each[0] for each in curves]), np.array([each[1] for each in curves])


def discover(config: DirectionsConfig, report: Callable[[str], None]) -> list[EditDirection]:
    """A `Search`, from its settings to the edits that it wrote; raises as it does."""
    return Search(config, report).run()


def edit_of(name: str, goal: Goal, way: LearnedWay) -> EditDirection:
    """A learned way as an edit, in the goal's unit."""
    slope, bend = (rows.detach().cpu() for rows in (way.slope @ way.frame, way.bend @ way.frame))
    longest = float(slope.norm(dim=1).max())
    size = goal.unit_size
    return EditDirection(
        name=name, label=goal.label, group=goal.group, low=goal.low, high=goal.high, aliases=goal.aliases,
        direction=(slope / longest).half().float(), sigma=longest / size,
        bend=(bend / size**2).half().float(), layers=(0, len(slope)),
        range=(-END * size, END * size), unit=goal.unit, unit_size=size, attribute=goal.attribute,
        zones=goal.zones,
    )  # fmt: skip


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


def command(config: DirectionsConfig, count: int) -> str:
    """What to type to find the same directions again; folders are private, and not named."""
    values: dict[str, Any] = {"count": count, "pool": "PAIRS" if config.pool else "null"}
    for name in ("psi", "rounds", "lessons", "steps", "batch", "faces", "edited", "check", "seed"):
        values[name] = getattr(config, name)
    if config.identity_weights is None:
        values["identity_weights"] = "null"
    changes = " ".join(f"--set {name}={value}" for name, value in values.items())
    return f"python -m train directions --config train/configs/directions.yaml {changes}"


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.cpu().double().numpy()
    return array
