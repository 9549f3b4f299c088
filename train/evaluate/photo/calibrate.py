"""How many times as far photos have to be moved, so that an edit changes them as much as invented faces."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from editor.face.landmarks import FaceDetector
from editor.measure.attributes import find_mesh
from editor.model.opening import open_model
from editor.painter import Painter
from editor.photo.colour import Pixels
from editor.session import EditSession
from editor.transfer.paint import paint_crop
from editor.transfer.photo_transfer import PhotoTransfer
from inversion.chain.inversion import Space
from inversion.directions.bank import DIRECTIONS_ROOT, MANIFEST, DirectionBank, load_directions
from inversion.directions.linear import EditDirection
from stylegan2.aside import written_aside
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import ConfigError
from stylegan2.reading.listing import read_listing
from stylegan2.settings import require
from train.data.images import find_images, in_validation, read_images
from train.evaluate.config import PHOTO_SIDE
from train.evaluate.edit_truth import STRENGTH
from train.evaluate.metrics import MeasureFace
from train.evaluate.photo.edits import FindOutline, invented_styles, measured_edits, photo_session
from train.evaluate.retention import open_instruments, own_attribute
from train.evaluate.subject import Subject

# Gains beyond which an edit is not what it was, or photos come apart by eye: sooner where it moves hair and
# background too.
LEAST, MOST, MOST_AROUND = 0.7, 1.6, 1.2
BATCH = 16  # faces read at once
Gains = dict[str, dict[str, float]]  # edit -> space


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig:
    """`python -m train calibrate`: gains of a bundle's directions on photos, written into their manifest."""

    bundle: Path
    photos: str  # cropped faces that nothing is reported on: a shard, several, or a folder
    networks: Path  # folder with age-v1.onnx and gender-v1.onnx
    folder: Path | None = None  # of the directions; null: directions/NAME of the bundle
    validation_fraction: float = 1.0  # of the photos that may be used: those that training with it left out
    count: int = 48  # photos
    invented: int = 48  # faces that they shall change as much as
    rounds: int = 3  # of measuring and correcting: change does not grow in proportion
    device: str = "auto"  # auto, cpu, cuda or mps
    engine: str = "auto"  # auto, torch or openvino

    def __post_init__(self) -> None:
        share = self.validation_fraction
        require(0 < share <= 1, f"validation_fraction: {share}; must be above 0 and at most 1")
        for name in ("count", "invented", "rounds"):
            value = getattr(self, name)
            require(value >= 1, f"{name}: {value}; must be at least 1")


def calibrate(config: CalibrateConfig, report: Callable[[str], None]) -> Gains:
    """Measure, correct, and write `photo_gains` into the manifest.

    Raises:
        ConfigError: The manifest cannot be written.
        DirectionError: The directions belong to another generator.
        CheckpointError: Weights, a manifest or a measuring network is missing or damaged.
        DatasetError: There are no photos.
        EngineError: The device or engine is not there.
    """
    bundle = load_bundle(config.bundle)
    folder = config.folder or DIRECTIONS_ROOT / bundle.name
    model = open_model(bundle, directions=folder, device=config.device, engine=config.engine)
    transfer = PhotoTransfer(bundle.resolution, device=config.device, engine=config.engine)
    for part in (model, transfer):
        part.prepare()
        part.wait()
    generator = model.generator
    directions = load_directions(folder, bundle.generator_sha256, generator.w_dim, generator.num_ws)
    subject = Subject(model=model, directions=directions)
    photos = read_photos(config)
    with open_instruments(config.networks) as measure_face, FaceDetector() as detector:
        gains = find_gains(
            subject,
            transfer,
            photos,
            measure_face,
            partial(find_mesh, detector),
            invented=config.invented,
            rounds=config.rounds,
            report=report,
        )
    write_gains(folder / MANIFEST, gains)
    return gains


def read_photos(config: CalibrateConfig) -> Tensor:
    """The first `count` of the photos that may be used [N, PHOTO_SIDE, PHOTO_SIDE, 3] uint8.

    Raises:
        DatasetError: There are none.
    """

    def keep(key: str) -> bool:
        return in_validation(key, config.validation_fraction)

    source = find_images(config.photos)
    return torch.cat(list(read_images(source, PHOTO_SIDE, BATCH, keep=keep, limit=config.count)))


@torch.no_grad()
def find_gains(
    subject: Subject,
    transfer: PhotoTransfer,
    photos: Tensor,
    measure_face: MeasureFace,
    outline: FindOutline,
    *,
    invented: int,
    rounds: int,
    report: Callable[[str], None] = lambda line: None,
) -> Gains:
    """Gains at which the mean change of an edit's own attribute, over photos, is that of invented faces.

    Args:
        subject: The model; gains that its directions have are the start.
        transfer: Carries photos through edits.
        photos: Cropped faces [N, S, S, 3] uint8.
        measure_face: Measures.
        outline: Finds the mesh of a face.
        invented: Faces whose true edits are the measure.
        rounds: Of measuring and correcting.
        report: Receives a line per space and round.
    """
    edits = measured_edits(subject.directions)
    wanted = {
        name: _changes(_invented(subject, edits, invented), edit, measure_face)
        for name, edit in edits.items()
    }
    opener = Painter(subject.model.decoder, edits, transfer)
    found = [photo_session(subject, opener, pixels, outline) for pixels in photos.numpy()]
    opened = [(p, session) for p, session in zip(photos.numpy(), found, strict=True) if session is not None]
    gains: Gains = {name: {} for name in edits}
    for space in subject.model.spaces:
        most = {name: most_gain(edit) for name, edit in edits.items()}
        here = {name: min(edit.photo_gains.get(space, 1.0), most[name]) for name, edit in edits.items()}
        tried: dict[str, list[tuple[float, float]]] = {name: [] for name in here}
        for number in range(rounds):
            bank = DirectionBank(
                {name: replace(edit, photo_gains={space: here[name]}) for name, edit in edits.items()}
            )
            painter = Painter(subject.model.decoder, bank, transfer)
            kept = {
                name: _changes(_painted(painter, opened, space), edit, measure_face) / wanted[name]
                for name, edit in bank.items()
            }
            shown = ", ".join(f"{name} {kept[name]:.2f} at {here[name]:.2f}" for name in kept)
            report(f"{space}, round {number + 1}: kept {shown}")
            for name, pairs in tried.items():
                pairs.append((here[name], kept[name]))
            here = {name: corrected(here[name], kept[name], most[name]) for name in kept}
        for name, pairs in tried.items():
            gains[name][space] = round(settled(pairs), 2)
    return gains


def missed(kept: float) -> float:
    """How far a share that was kept is from all of it: the same for twice as much and for half."""
    return abs(math.log(kept)) if math.isfinite(kept) and kept > 0 else math.inf


def settled(tried: Sequence[tuple[float, float]]) -> float:
    """The gain to keep of those that were tried, each with the share that was kept at it.

    Between a gain that was too small and one that was too large, where there are both: shares are taken to
    grow as a power of the gain between the two that came nearest. Some edits are not had by going farther:
    then the one that came nearest is kept, and not what would be next.
    """
    known = [(gain, kept) for gain, kept in tried if math.isfinite(missed(kept))]
    below, above = ([pair for pair in known if (pair[1] < 1) is small] for small in (True, False))
    if below and above:
        (g0, k0), (g1, k1) = (min(some, key=lambda pair: missed(pair[1])) for some in (below, above))
        if g0 < g1:
            return float(g0 * (g1 / g0) ** (math.log(1 / k0) / math.log(k1 / k0)))
    return min(known or tried, key=lambda pair: missed(pair[1]))[0]


def corrected(gain: float, kept: float, most: float = MOST) -> float:
    """The next gain to try, after one at which so much of the change was kept."""
    if not math.isfinite(kept) or kept <= 0:
        return gain
    return min(max(gain / kept, LEAST), most)


def most_gain(edit: EditDirection) -> float:
    """The largest gain that an edit may have."""
    return MOST if edit.zones and not edit.zones.get("around") else MOST_AROUND


def write_gains(manifest: Path, gains: Mapping[str, Mapping[str, float]]) -> None:
    """Put gains into a manifest of directions, and end ranges sooner by the largest; all else in it stays.

    So a photo is led no farther along an edit's way than invented faces hold together.

    Raises:
        CheckpointError: The manifest is missing or damaged.
        ConfigError: It cannot be written.
    """
    listing: dict[str, Any] = dict(read_listing(manifest))
    for name, by_space in gains.items():
        entry = listing["directions"][name]
        longer = _largest(entry.get("photo_gains", {})) / _largest(by_space)
        entry["range"] = [round(end * longer, 2) for end in entry["range"]]
        entry["photo_gains"] = dict(by_space)
    try:
        with written_aside(manifest) as aside:
            aside.write_text(yaml.safe_dump(listing, sort_keys=False, width=120), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"folder: {manifest} cannot be written ({error})") from error


def _largest(gains: Mapping[str, float]) -> float:
    return max([1.0, *gains.values()])


# Strength of one edit -> a row of pictures.
_Edited = Callable[[str, float], "list[Pixels]"]


def _changes(edited: _Edited, edit: EditDirection, measure_face: MeasureFace) -> float:
    """Mean change of the edit's own attribute between its ends."""
    own, ends = own_attribute(edit) or "", []
    for strength in (-STRENGTH * edit.unit_size, STRENGTH * edit.unit_size):
        measured = [measure_face(pixels) for pixels in edited(edit.name, strength)]
        ends.append([math.nan if found is None else found[own] for found in measured])
    return float(np.nanmean(np.array(ends[1]) - np.array(ends[0])))


def _invented(subject: Subject, edits: DirectionBank, count: int) -> _Edited:
    def edited(name: str, strength: float) -> list[Pixels]:
        faces = (invented_styles(subject, seed) for seed in range(count))
        return [subject.truth(edits.apply(ws, {name: strength}))[0].numpy() for ws in faces]

    return edited


def _painted(painter: Painter, opened: list[tuple[Pixels, EditSession]], space: Space) -> _Edited:
    def edited(name: str, strength: float) -> list[Pixels]:
        out = []
        for pixels, session in opened:
            fields = painter.fields(replace(session, space=space, strengths={name: strength}))
            out.append(pixels if fields is None else paint_crop(pixels, fields))
        return out

    return edited
