"""Attribute retention: how much of what an edit changes on generated faces it also changes on real ones."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inversion.chain.decoder import unedited
from inversion.directions.linear import EditDirection, apply_direction
from stylegan2.errors import CheckpointError, EngineError
from stylegan2.image import from_uint8
from train.data.pairs import UNSEEN_PAIRS
from train.evaluate.edit_truth import BATCH
from train.evaluate.measure import number
from train.evaluate.metrics import MeasureFace, median
from train.evaluate.subject import Redraw, Subject
from train.losses.detail import detail_share
from train.losses.identity import IdentityEmbedder

FACES = 64  # generated ones, and as many real ones
PSI = 0.8  # truncation of the generated faces
STRENGTH = 2.0  # standard deviations, to either side


def own_attribute(direction: EditDirection) -> str | None:
    """What `direction` is about, or else what it changes most; None where no effect is known."""
    if direction.attribute is not None and direction.attribute in direction.effects:
        return direction.attribute
    known = {name: abs(value) for name, value in direction.effects.items() if math.isfinite(value)}
    return max(known, key=known.__getitem__, default=None)


@contextmanager
def open_instruments(folder: Path) -> Iterator[MeasureFace]:
    """What measures the attributes of a face, as `editor.measure.attributes.measure` does.

    Args:
        folder: Holds the age and gender networks, which judge these; all else is where the editor finds it.

    Raises:
        CheckpointError: A network, the landmark model or a package is missing.
        EngineError: OpenVINO is missing.
    """
    try:
        # Here and not at the top: OpenCV wants libraries of the system that a machine for training may lack.
        from editor.face.landmarks import FaceDetector
        from editor.measure.attribute_network import load_attributes
        from editor.measure.attributes import load_networks, measure
    except ImportError as error:
        message = f"faces cannot be measured ({error}); install what requirements.txt lists"
        raise CheckpointError(message) from error
    judges, network = load_networks(folder), load_attributes()
    with FaceDetector() as detector:
        detector.load()
        yield partial(measure, detector, network, judges=judges)


def report_retention(
    subject: Subject,
    pixels: Tensor,
    *,
    identity: IdentityEmbedder | None,
    folder: Path,
    faces: int = FACES,
) -> dict[str, Any]:
    """`measure_retention` with the instruments in `folder`.

    Returns:
        What `measure_retention` returns; {"retention": "n/a", "retention_reason": ...} where the model has no
        directions or an instrument is missing.
    """
    if not any(own_attribute(direction) for direction in subject.directions.values()):
        return _missing("the model has no directions whose effects are known")
    with ExitStack() as stack:
        try:
            measure_face = stack.enter_context(open_instruments(folder))
        except (CheckpointError, EngineError) as error:
            return _missing(str(error))
        return measure_retention(
            subject,
            pixels,
            measure_face=measure_face,
            identity=identity,
            faces=faces,
        )


def _missing(reason: str) -> dict[str, Any]:
    return {"retention": "n/a", "retention_reason": reason}


@torch.no_grad()
def measure_retention(
    subject: Subject,
    pixels: Tensor,
    *,
    measure_face: MeasureFace,
    identity: IdentityEmbedder | None,
    faces: int = FACES,
) -> dict[str, Any]:
    """Edit generated faces and inverted real ones alike, and compare what the edits change.

    Each direction goes from -`STRENGTH` to +`STRENGTH`, also where its slider stops earlier. Its change is
    the mean of its own attribute (`own_attribute`) at the high end less that at the low end, over the faces
    that are found at both; its retention is the real faces' change over the generated faces' change, so that
    1 loses nothing.

    Args:
        subject: Its edits without known effects are left out, but one must have them.
        pixels: Held-out cropped faces [N, R, R, 3] uint8, R the generator's resolution. The last are
            used: earlier values of `RefinerConfig.readiness` were chosen on the first.
        measure_face: Measures one picture.
        identity: Measures identity; None leaves it out.
        faces: How many generated and, at most, real ones; at least 1.

    Returns:
        {"protocol": {...}, "generated": {"identity_median", "detail_median", "by_edit": {name: {"attribute",
        "change", "identity_median", "detail_median", "found"}}}}, and for each space ("w", and with refiners
        "w+" and "f") {"retention_median", "retention_min", "identity_median",
        "identity_to_reconstruction_median", "detail_median", "by_edit": {name: {"attribute", "retention",
        "identity_median", "identity_to_reconstruction_median", "detail_median", "found"}}}, ready for
        JSON. Median and minimum of the retention are over the directions. Identity is
        the cosine of an edited picture with the face as it was before inversion, and with the unedited
        reconstruction in the same space: medians over faces and both ends, "n/a" without the network.
        Detail is that of the edited picture as a share of that of the face as it was before inversion
        (`train.losses.detail.detail_share`, mean of the octaves): below 1, edits blur.
        "change" is in the attribute's own unit, "found" the share of edited pictures, both ends, in which
        a face is found. A retention is None where no face is found at both ends or the generated faces do
        not change; the median and the minimum are over the others.
    """
    edits = {
        name: direction.reaching(STRENGTH)  # a slider may stop earlier
        for name, direction in subject.directions.items()
        if own_attribute(direction) is not None
    }
    columns: dict[str, dict[str, _Column]] = {}
    generator = subject.generator
    w = generator.sample_w(faces, seed=UNSEEN_PAIRS, truncation_psi=PSI)
    for part in torch.split(w, BATCH):
        ws = generator.broadcast(part)
        _add(columns, edits, {"generated": _drawing(subject, ws)}, measure_face, identity, w.device)
    pixels = pixels[-faces:]
    for part in torch.split(pixels, BATCH):
        variants = subject.variants(part)
        del variants["none"]  # the picture itself, which no edit changes
        _add(columns, edits, variants, measure_face, identity, w.device, _Face.of(part, identity, w.device))
    generated = columns.pop("generated")
    protocol = {
        "generated_faces": faces,
        "psi": PSI,
        "real_faces": len(pixels),
        "strengths": [-STRENGTH, STRENGTH],
        "retention": "mean change of the edit's own attribute on real faces over that on generated faces",
        "identity": "cosine of the edited picture with the photo, or with the unedited reconstruction",
        "detail": "of the edited picture as a share of the photo's, mean of the two finest octaves",
        "real_faces_are": "the last of the data",
        "left_out": [name for name in subject.directions if name not in edits],
        "noise_mode": "const",
    }
    spaces = {space: _summary(found, generated) for space, found in columns.items()}
    return {"protocol": protocol, "generated": _reference(generated), **spaces}


@dataclass(frozen=True, kw_only=True)
class _Column:
    """One edit of many faces in one space, an entry a batch."""

    attribute: str
    low: list[Tensor] = field(default_factory=list)  # the attribute at the low end, NaN without a face
    high: list[Tensor] = field(default_factory=list)
    to_photo: list[Tensor] = field(default_factory=list)  # identity cosines, both ends
    to_reconstruction: list[Tensor] = field(default_factory=list)
    detail: list[Tensor] = field(default_factory=list)  # shares of the photo's, both ends

    def change(self) -> Tensor:
        """Mean over the faces that are found at both ends; NaN where there is none."""
        return (torch.cat(self.high) - torch.cat(self.low)).nanmean()

    def found(self) -> float | None:
        """Share of the pictures in which a face is found."""
        return number((~torch.cat(self.low + self.high).isnan()).double().mean())


@dataclass(frozen=True, kw_only=True)
class _Face:
    """Faces that edited ones are compared with."""

    img: Tensor
    embedding: Tensor | None  # None without the network

    @staticmethod
    def of(pixels: Tensor, identity: IdentityEmbedder | None, device: torch.device) -> "_Face":
        img = from_uint8(pixels).to(device)
        return _Face(img=img, embedding=None if identity is None else identity(img))

    def likeness(self, other: "_Face") -> Tensor:
        """Cosine of each face with the other's [N]; NaN without the network."""
        if self.embedding is None or other.embedding is None:
            return torch.full((len(self.img),), math.nan)
        return (self.embedding * other.embedding).sum(1).cpu()


def _drawing(subject: Subject, ws: Tensor) -> Redraw:
    return lambda edit: subject.model.decoder.renderer.render(edit(ws))


def _add(
    columns: dict[str, dict[str, _Column]],
    edits: Mapping[str, EditDirection],
    variants: Mapping[str, Redraw],
    measure_face: MeasureFace,
    identity: IdentityEmbedder | None,
    device: torch.device,
    photo: _Face | None = None,
) -> None:
    """Measure a batch under every edit; photo: None where the unedited pictures are the photos."""
    for variant, render in variants.items():
        own = _Face.of(render(unedited), identity, device)
        before = photo or own
        for name, direction in edits.items():
            attribute = own_attribute(direction) or ""
            column = columns.setdefault(variant, {}).setdefault(name, _Column(attribute=attribute))
            for strength, values in ((-STRENGTH, column.low), (STRENGTH, column.high)):
                edit = partial(apply_direction, direction=direction, strength=strength * direction.unit_size)
                drawn = render(edit)
                values.append(_measured(drawn, measure_face, attribute))
                face = _Face.of(drawn, identity, device)
                column.detail.append(detail_share(face.img, before.img).mean(1).cpu())
                if face.embedding is not None:
                    column.to_photo.append(face.likeness(before))
                    column.to_reconstruction.append(face.likeness(own))


def _measured(pixels: Tensor, measure_face: MeasureFace, attribute: str) -> Tensor:
    """The attribute of each picture [N] float64, NaN where no face is found."""
    faces = [measure_face(picture) for picture in pixels.numpy()]
    values = [math.nan if face is None else face.get(attribute, math.nan) for face in faces]
    return torch.tensor(values, dtype=torch.float64)


def _summary(columns: Mapping[str, _Column], generated: Mapping[str, _Column]) -> dict[str, Any]:
    ratios = {name: column.change() / generated[name].change() for name, column in columns.items()}
    known = torch.stack(list(ratios.values()))
    known = known[known.isfinite()]
    return {
        "retention_median": number(median(known)) if len(known) else None,
        "retention_min": number(known.min()) if len(known) else None,
        **_identities(columns.values()),
        "detail_median": _median(columns.values(), "detail"),
        "by_edit": {
            name: {
                "attribute": column.attribute,
                "retention": number(ratios[name]),
                **_identities([column]),
                "detail_median": _median([column], "detail"),
                "found": column.found(),
            }
            for name, column in columns.items()
        },
    }


def _reference(generated: Mapping[str, _Column]) -> dict[str, Any]:
    """What the edits do to generated faces; their photo is their reconstruction."""
    return {
        "identity_median": _median(generated.values(), "to_photo"),
        "detail_median": _median(generated.values(), "detail"),
        "by_edit": {
            name: {
                "attribute": column.attribute,
                "change": number(column.change()),
                "identity_median": _median([column], "to_photo"),
                "detail_median": _median([column], "detail"),
                "found": column.found(),
            }
            for name, column in generated.items()
        },
    }


def _identities(columns: Iterable[_Column]) -> dict[str, Any]:
    columns = list(columns)
    return {
        "identity_median": _median(columns, "to_photo"),
        "identity_to_reconstruction_median": _median(columns, "to_reconstruction"),
    }


def _median(columns: Iterable[_Column], name: str) -> float | str | None:
    parts = [part for column in columns for part in getattr(column, name)]
    return number(median(torch.cat(parts))) if parts else "n/a"
