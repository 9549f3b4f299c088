"""Simulated users: how well an edit from 20 thumbs meets what a user had in mind.

The user judges by one attribute, which nobody is told: thumbs up for faces that have more of it than half of
all faces do. The edit that is made of the thumbs then moves faces that the user never saw, and the attribute
is measured. Age and sex are told by the networks of the metrics folder, by which no edit is made.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from editor.measure.attribute_network import load_attributes
from editor.measure.attributes import load_networks, measure
from editor.measure.probe import END, MeasureFace, draw
from editor.own.maker import OwnEdits, RatedFace
from editor.pipeline import Editor, open_editor
from inversion.directions.errors import DirectionError
from inversion.directions.linear import EditDirection, apply_direction
from train.evaluate.side_effects import rank_correlation

HIDDEN = ("age", "masculine", "smile", "yaw", "hair_colour")
STRENGTHS = (-END, -END / 2, 0.0, END / 2, END)
FACES, EVERYONE = 6, 200  # faces that are moved, and those that the user's middle is taken from


def thumbs(faces: Sequence[RatedFace], look: MeasureFace, hidden: str, middle: float) -> list[float]:
    """1 for a face that has more of an attribute than `middle`, -1 for others."""
    seen = (look(face.pixels) for face in faces)
    return [1.0 if found is not None and found[hidden] > middle else -1.0 for found in seen]


def strength_correlation(editor: Editor, edit: EditDirection, look: MeasureFace, hidden: str) -> float:
    """Median over faces of Spearman's correlation of an attribute with the edit's strength."""
    w = editor.generator.sample_w(FACES, seed=99, truncation_psi=0.8)
    found = []
    for ws in editor.generator.broadcast(w).cpu().split(1):  # type: ignore[no-untyped-call]
        wide = edit.reaching(END)
        pictures = [apply_direction(ws, wide, strength) for strength in STRENGTHS]
        seen = [look(pixels) for pixels in draw(editor.decoder.renderer, torch.cat(pictures))]
        if all(each is not None for each in seen):
            found.append(rank_correlation([each[hidden] for each in seen if each is not None]))
    return float(np.median(found)) if found else float("nan")


def middles(editor: Editor, look: MeasureFace) -> dict[str, float]:
    """Medians of the hidden attributes over many faces."""
    w = editor.generator.sample_w(EVERYONE, seed=98, truncation_psi=1.0)
    pictures = draw(editor.decoder.renderer, editor.generator.broadcast(w).cpu())
    seen = [found for pixels in pictures if (found := look(pixels)) is not None]
    return {name: float(np.median([each[name] for each in seen])) for name in HIDDEN}


def simulate_users(
    model: str | Path, metrics: Path, seeds: int, count: Callable[[int], object] = lambda done: None
) -> dict[str, list[float]]:
    """For every hidden attribute the correlations of `seeds` users' edits, see `strength_correlation`.

    Args:
        model: A bundle's folder.
        metrics: Holds the networks that tell age and sex.
        seeds: Users for every attribute.
        count: Receives the number of users done since its last call.
    """
    editor = open_editor(model)
    editor.prepare()
    editor.decoder.renderer.engine.wait()
    look = partial(measure, editor.detector, load_attributes(), judges=load_networks(metrics))
    own, middle = _Unmeasured(editor), middles(editor, look)
    found: dict[str, list[float]] = {name: [] for name in HIDDEN}
    for seed in range(seeds):
        faces = own.faces(seed)
        for name in HIDDEN:
            try:
                edit = own.of_ratings(name, faces, thumbs(faces, look, name, middle[name]))
                found[name].append(strength_correlation(editor, edit, look, name))
            except DirectionError:  # all thumbs are alike
                found[name].append(0.0)
            count(1)
    editor.detector.close()
    return found


class _Unmeasured(OwnEdits):
    """Makes edits and leaves out their range and effects, which take longer than all else here."""

    def _measured(self, edit: EditDirection, tell: object) -> EditDirection:
        return edit
