"""Edits on the photo itself: what they keep of photo and edit, and how near they come to the truth."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from editor.face.warp import resized
from editor.measure.detail import CLOSEST
from editor.painter import Painter
from editor.parts.network import SIDE as PARSED_SIDE
from editor.photo.colour import Pixels
from editor.session import EditSession
from editor.transfer.fields import Field
from editor.transfer.ground import Ground, ground_of_crop, ground_of_photo
from editor.transfer.paint import paint_crop
from inversion.chain.inversion import Space
from inversion.directions.bank import DirectionBank
from inversion.directions.linear import EditDirection
from stylegan2.image import from_uint8, psnr
from train.data.pairs import UNSEEN_PAIRS
from train.evaluate.config import PHOTO_SIDE
from train.evaluate.edit_truth import FACES as TRUE_FACES
from train.evaluate.edit_truth import PSI, STRENGTH
from train.evaluate.measure import number
from train.evaluate.metrics import MeasureFace, median
from train.evaluate.photo.measures import doubled_contours, fine_detail, seam
from train.evaluate.photo.notebook import Column, Measured, Moves, Notebook
from train.evaluate.retention import own_attribute
from train.evaluate.subject import Subject
from train.losses.identity import IdentityEmbedder

STEP = 0.05  # standard deviations: a slider's smallest move
STEADY_EVERY = 4  # photos, of which one has its sliders moved
STARTS = (0.0, 1.0)  # strengths from which such a move is made
FindOutline = Callable[[Pixels], "np.ndarray[Any, Any] | None"]  # crop [S, S, 3] -> mesh [K, 2] px, or None

# Session, photo [S, S, 3], strengths -> the photo edited.
Way = Callable[[EditSession, Pixels, Mapping[str, float]], Pixels]


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """What measures."""

    measure_face: MeasureFace
    outline: FindOutline
    identity: IdentityEmbedder | None


@torch.no_grad()
def measure_photo_edits(
    subject: Subject,
    painter: Painter,
    photos: Tensor,
    instruments: Instruments,
    *,
    true_faces: int = TRUE_FACES,
    spaces: tuple[Space, ...] = ("f",),
    others: Mapping[str, Way] | None = None,
    count: Callable[[int], object] = lambda done: None,
    notebook: Notebook | None = None,
) -> dict[str, Any]:
    """Edit real photos and invented faces by the product's own painter.

    Args:
        subject: The model.
        painter: Paints.
        photos: Held-out cropped faces [N, `PHOTO_SIDE`, `PHOTO_SIDE`, 3] uint8.
        instruments: What measures.
        true_faces: Invented faces, whose true edits are known.
        spaces: Where photos are edited; those that the model lacks are left out.
        others: Other ways to edit a photo, to compare with, by name.
        count: Receives the number of faces done since its last call.
        notebook: Keeps what was measured of each face, so that a run that was ended goes on.

    Returns:
        {"protocol", "real": {way: ...}, "truth": {way: ...}, "steady": {...}}, ready for JSON. Ways are the
        spaces, painted onto the photo, and "f drawn": the model's own picture in F, enlarged.
    """
    edits = measured_edits(subject.directions)
    known = tuple(space for space in spaces if space in subject.model.spaces)
    work = _Work(subject, painter, edits, instruments, known, others or {})
    kept = notebook or Notebook(None, {})
    found = Measured()
    for seed in range(true_faces):
        found.add(kept.of("invented", seed, partial(work.invented, seed)))
        count(1)
    for index, pixels in enumerate(photos.numpy()):
        steps = index % STEADY_EVERY == 0
        found.add(kept.of("photo", index, partial(work.photo, pixels, steps=steps)))
        count(1)
    own = {name: column.change() for name, column in found.generated.get("true", {}).items()}
    return {
        "protocol": {
            "photos": len(photos),
            "photo_side": PHOTO_SIDE,
            "invented_faces": true_faces,
            "psi": PSI,
            "strengths": [-STRENGTH, STRENGTH],
            "kept": "mean change of the edit's own attribute over that of the invented faces' true edits",
            "identity": "cosine with the photo, or with the true edit: mean and median over faces and edits",
            "detail": "mean of |luma - luma blurred by 1.2 px| as a share of the photo's, or of the truth's",
            "seam": "how steep the picture is where the edit ends, over how steep the photo is there",
            "contours": doubled_contours.__doc__.splitlines()[0] if doubled_contours.__doc__ else "",
        },
        "real": {way: _real_summary(columns, edits, own) for way, columns in found.real.items()},
        "truth": {way: _truth_summary(columns) for way, columns in found.truth.items()},
        "steady": _steady(found),
    }


class _Work:
    def __init__(
        self,
        subject: Subject,
        painter: Painter,
        edits: DirectionBank,
        instruments: Instruments,
        spaces: tuple[Space, ...],
        others: Mapping[str, Way],
    ) -> None:
        self._subject, self._edits, self._with, self._spaces = subject, edits, instruments, spaces
        self._others = others
        self._painter = Painter(subject.model.decoder, edits, painter.transfer)
        self._region: Field | None = None  # of the edit that was painted last

    def invented(self, seed: int) -> Measured:
        """Edit an invented face, and compare with its true edit."""
        subject, measured = self._subject, Measured()
        ws = invented_styles(subject, seed)
        photo = subject.truth(ws)[0].numpy()
        session = _session(subject, photo, ground_of_crop(photo))
        for name, strength in self._ends():
            true = subject.truth(self._edits.apply(ws, {name: strength}))[0].numpy()
            column = measured.generated.setdefault("true", {}).setdefault(name, Column())
            self._note_attribute(column, self._edits[name], strength, true)
            who = self._embedding(true)
            for way, pixels in self._ways(session, photo, name, strength):
                column = measured.truth.setdefault(way, {}).setdefault(name, Column())
                found, wanted = torch.from_numpy(pixels)[None], torch.from_numpy(true)[None]
                column.psnr.append(float(psnr(found, wanted)[0]))
                column.detail.append(fine_detail(pixels) / max(fine_detail(true), 1e-6))
                column.contours.append(doubled_contours(pixels, true))
                self._note_identity(column, who, pixels)
        if seed % STEADY_EVERY == 0:
            self._step(lambda strengths: subject.truth(self._edits.apply(ws, strengths)), measured.true_moves)
        return measured

    def photo(self, pixels: Pixels, *, steps: bool) -> Measured:
        """Edit a real photo; `steps` also moves its sliders by the smallest step. Nothing without a face."""
        measured = Measured()
        session = photo_session(self._subject, self._painter, pixels, self._with.outline)
        if session is None:
            return measured
        who, whole = self._embedding(pixels), fine_detail(pixels)
        for name, strength in self._ends():
            for way, edited in self._ways(session, pixels, name, strength):
                column = measured.real.setdefault(way, {}).setdefault(name, Column())
                self._note_attribute(column, self._edits[name], strength, edited)
                self._note_identity(column, who, edited)
                column.detail.append(fine_detail(edited) / max(whole, 1e-6))
                if way in self._spaces and self._region is not None:
                    column.seam.append(seam(pixels, edited, self._region))
        if steps:
            self._step(
                lambda strengths: torch.from_numpy(self._painted(session, pixels, strengths))[None],
                measured.moves,
            )
        return measured

    def _step(self, edited: Callable[[Mapping[str, float]], Tensor], moves: Moves) -> None:
        """Move every slider by the smallest step; `edited` answers pixels [1, S, S, 3] under strengths."""
        for name in self._edits:
            size = self._edits[name].unit_size
            for start in STARTS:
                found, wanted = (edited({name: size * at}) for at in (start, start + STEP))
                # Equal pictures are infinitely close, which no quantile likes.
                value = min(float(psnr(found, wanted)[0]), CLOSEST)
                moves.setdefault(name, []).append(value)

    def _ends(self) -> Iterator[tuple[str, float]]:
        for name in self._edits:
            size = STRENGTH * self._edits[name].unit_size
            yield name, -size
            yield name, size

    def _ways(
        self, session: EditSession, photo: Pixels, name: str, strength: float
    ) -> Iterator[tuple[str, Pixels]]:
        for space in self._spaces:
            yield space, self._painted(replace(session, space=space), photo, {name: strength})
        decoder, last = self._subject.model.decoder, self._spaces[-1]
        drawn = decoder.draw(session.inversion, last, lambda ws: self._edits.apply(ws, {name: strength}))[
            0
        ].numpy()
        yield f"{last} drawn", resized(drawn, len(photo))
        for other, way in self._others.items():
            yield other, way(session, photo, {name: strength})

    def _painted(self, session: EditSession, photo: Pixels, strengths: Mapping[str, float]) -> Pixels:
        fields = self._painter.fields(replace(session, strengths=strengths))
        self._region = None if fields is None else fields.region
        return photo if fields is None else paint_crop(photo, fields)

    def _note_attribute(self, column: Column, edit: EditDirection, strength: float, pixels: Pixels) -> None:
        found = self._with.measure_face(pixels)
        value = float("nan") if found is None else found[own_attribute(edit) or ""]
        (column.high if strength > 0 else column.low).append(value)

    def _embedding(self, pixels: Pixels) -> Tensor | None:
        if self._with.identity is None:
            return None
        device = self._subject.generator.w_avg.device
        img = from_uint8(torch.from_numpy(pixels.copy())[None]).to(device)
        found: Tensor = self._with.identity(img)
        return found.cpu()

    def _note_identity(self, column: Column, who: Tensor | None, pixels: Pixels) -> None:
        other = None if who is None else self._embedding(pixels)
        if who is not None and other is not None:
            column.identity.append(float((who * other).sum()))


def photo_session(
    subject: Subject, painter: Painter, pixels: Pixels, outline: FindOutline
) -> EditSession | None:
    """A cropped face of a photo [S, S, 3], opened as the product opens it; None where no face is found."""
    large = resized(pixels, PARSED_SIDE)
    found = outline(large)
    if found is None:
        return None
    own = np.asarray(found / PARSED_SIDE, np.float32)
    ground = ground_of_photo(large, painter.transfer.parser, own, [])
    return _session(subject, resized(pixels, subject.generator.img_resolution), ground)


def invented_styles(subject: Subject, seed: int) -> Tensor:
    """Styles [1, num_ws, w_dim] of an invented face that no training saw."""
    w = subject.generator.sample_w(1, seed=UNSEEN_PAIRS + seed, truncation_psi=PSI)
    return subject.generator.broadcast(w)


def measured_edits(directions: DirectionBank) -> DirectionBank:
    """Those whose own attribute is known, up to `STRENGTH` and no farther."""
    return DirectionBank(
        {
            name: edit.reaching(STRENGTH)
            for name, edit in directions.items()
            if own_attribute(edit) is not None
        }
    )


def _session(subject: Subject, crop: Pixels, ground: Ground) -> EditSession:
    inversion = subject.model.inverter.invert(torch.from_numpy(crop)[None])
    return EditSession(crop=crop, ground=ground, inversion=inversion)


def _steady(found: Measured) -> dict[str, Any]:
    """How far the picture moves with a slider's smallest step, by edit; beside it invented faces' own."""
    out: dict[str, Any] = {"step": STEP, "starts": list(STARTS)}
    for name, values in found.moves.items():
        out[name] = {**_moved("", values), **_moved("own_", found.true_moves.get(name, []))}
    return out


def _moved(prefix: str, values: list[float]) -> dict[str, Any]:
    if not values:
        return {}
    found = torch.tensor(values)
    worst = torch.quantile(found, 0.01)
    return {f"{prefix}psnr_median": number(median(found)), f"{prefix}psnr_worst_of_hundred": number(worst)}


def _real_summary(
    columns: dict[str, Column], edits: Mapping[str, EditDirection], own: Mapping[str, float]
) -> dict[str, Any]:
    kept = {name: column.change() / own[name] for name, column in columns.items()}
    values = list(kept.values())
    return {
        "kept_mean": round(float(np.mean(values)), 4),
        "kept_min": round(min(values), 4),
        "kept_max": round(max(values), 4),
        **_spread(columns, "identity"),
        **_spread(columns, "detail"),
        **_spread(columns, "seam"),
        "by_edit": {
            name: {
                "attribute": own_attribute(edits[name]),
                "kept": round(kept[name], 4),
                **_spread({name: column}, "identity"),
                **_spread({name: column}, "detail"),
            }
            for name, column in columns.items()
        },
    }


def _truth_summary(columns: dict[str, Column]) -> dict[str, Any]:
    names = ("psnr", "identity", "detail", "contours")
    whole = {key: value for name in names for key, value in _spread(columns, name).items()}
    by_edit = {
        name: {key: value for part in names for key, value in _spread({name: column}, part).items()}
        for name, column in columns.items()
    }
    return {**whole, "by_edit": by_edit}


def _spread(columns: Mapping[str, Column], name: str) -> dict[str, Any]:
    values = torch.tensor([value for column in columns.values() for value in getattr(column, name)])
    if not len(values):
        return {f"{name}_median": "n/a"}
    return {f"{name}_median": number(median(values)), f"{name}_mean": number(values.double().mean())}
