"""MovingFace: one face of a moving picture, with what is remembered of it from frame to frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from editor.face.choice import MAX_YAW
from editor.face.crop import cut_square, points_in_crop
from editor.face.mesh import Face
from editor.face.warp import Matrix, resized
from editor.motion.one_euro import OneEuro
from editor.motion.placing import Placing
from editor.parts.network import SIDE as PARSED_SIDE
from editor.photo.colour import Pixels
from editor.pipeline import Editor
from editor.session import EditSession
from editor.transfer.fields import EditFields, Field
from editor.transfer.ground import DrawnMemo, Ground, ground_around
from editor.transfer.paint import paint_crop
from inversion.chain.inversion import Inversion, Space
from inversion.directions.bank import DirectionBank

LEAST, SLOPE = 1.0, 4.0  # of latents: Hz, and Hz for each unit a second, see `OneEuro`
FADE_YAW = 10.0  # degrees before `MAX_YAW` over which edits give way
HEAD_SHARE = 0.5  # of a newly found head in what is known of it
_SAMPLES = 64  # w that tell how far apart latents of two people are


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A face as it was in one frame."""

    face: Face  # in px of the frame
    to_frame: Matrix  # affine map [3, 3] from its crop, corners (0, 0) and (1, 1), to px of the frame
    large: Pixels  # the crop [PARSED_SIDE, PARSED_SIDE, 3]
    crop: Pixels  # and at the model's size [R, R, 3]
    inversion: Inversion


def look(editor: Editor, pixels: Pixels, face: Face, to_frame: Matrix, space: Space) -> Seen:
    """Cut out a face and find its latents: in W at a glance, in other spaces as of a photo.

    Args:
        editor: Whose model it is.
        pixels: The frame [H, W, 3] uint8.
        face: Where it is.
        to_frame: Of its crop.
        space: Where it will be edited.
    """
    large = cut_square(pixels, to_frame, PARSED_SIDE)
    side = editor.resolution
    crop = resized(large, side) if side <= PARSED_SIDE else cut_square(pixels, to_frame, side)
    invert = editor.inverter.glance if space == "w" else editor.inverter.invert
    inversion = invert(torch.from_numpy(crop)[None])
    return Seen(face=face, to_frame=to_frame, large=large, crop=crop, inversion=inversion)


class MovingFace:
    """What is remembered of a face from frame to frame; used by one thread at a time.

    Args:
        editor: Does the work.
        space: Where the face is edited.
        parse_every: Frames of which one has its head looked for, before and after the edit in turn.
        hold: How far latents may move until pictures are drawn anew, as a share of the distance between two
            people; 0 draws every frame's.
    """

    def __init__(
        self, editor: Editor, space: Space = "w", *, parse_every: int = 1, hold: float = 0.0
    ) -> None:
        self.placing = Placing(editor.crop_config)
        self._editor, self._space, self._parse_every, self._hold = editor, space, parse_every, hold
        self._held: tuple[Inversion, DrawnMemo, DrawnMemo] | None = None  # with its pictures
        self._latents = OneEuro(LEAST, SLOPE)
        spread = spread_of_w(editor)
        self._unit = spread if space == "w" else spread * float(np.sqrt(editor.generator.num_ws))
        self._frames = 0
        self._head: Field | None = None  # of the frames, in the crop
        self._after: Field | None = None  # and of the edited pictures

    def fields(
        self,
        seen: Seen,
        others: Sequence[Face],
        strengths: Mapping[str, float],
        seconds: float,
        own: DirectionBank | None = None,
    ) -> EditFields | None:
        """The edit as it is painted onto the frame; None where there is none.

        Args:
            seen: The face in this frame.
            others: Further faces of the frame.
            strengths: Direction -> strength, in its unit.
            seconds: Of the frame.
            own: Further edits.
        """
        part = min(1.0, max(0.0, (MAX_YAW - abs(seen.face.yaw)) / FADE_YAW))
        wanted = {name: value * part for name, value in strengths.items()}
        inversion, drawn, edited = self._kept(self._steadied(seen.inversion, seconds))
        ground = replace(self._ground(seen, others), drawn=drawn, edited=edited)
        session = EditSession(crop=seen.crop, ground=ground, inversion=inversion, space=self._space)
        session = replace(session, own=own) if own is not None else session
        session = replace(session, strengths=wanted)
        found = self._editor.painter.fields(session, lambda edit: self._head_after(seen.large, edit))
        self._frames += 1
        return found

    def forget(self) -> None:
        """The face is another one, or elsewhere: begin anew."""
        self.recall({})

    def remember(self) -> dict[str, Any]:
        """What it knows as plain values, for `recall`."""
        told: dict[str, Any] = {
            "placing": self.placing.remember(),
            "latents": self._latents.remember(),
            "frames": self._frames,
        }
        for name, field in (("head", self._head), ("after", self._after)):
            if field is not None:
                told[name] = field.tolist()
        return told

    def recall(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `remember` told."""
        self.placing.recall(state.get("placing", {}))
        self._latents.recall(state.get("latents", {}))
        self._frames, self._held = int(state.get("frames", 0)), None
        self._head, self._after = (
            np.array(state[name], np.float32) if name in state else None for name in ("head", "after")
        )

    def _steadied(self, found: Inversion, seconds: float) -> Inversion:
        """Latents in time. Those of F are left alone: its code was found for its own ws."""
        if self._space == "f" and found.f is not None:
            return found
        latents = found.w[:, None] if self._space == "w" else found.ws
        steady = self._latents(latents.numpy().astype(np.float64).ravel(), seconds, self._unit)
        moved = torch.from_numpy(steady.astype(np.float32)).reshape(latents.shape)
        return replace(found, w=moved[:, 0]) if self._space == "w" else replace(found, ws=moved)

    def _kept(self, found: Inversion) -> tuple[Inversion, DrawnMemo, DrawnMemo]:
        """What was drawn last, with its pictures, while the latents are where they were."""
        held = self._held
        if held is not None and self._space == "w" and self._hold > 0:
            moved = float((found.w - held[0].w).norm()) / self._unit
            if moved <= self._hold:
                return held
        self._held = found, DrawnMemo(), DrawnMemo()
        return self._held

    def _ground(self, seen: Seen, others: Sequence[Face]) -> Ground:
        if self._head is None or self._due(0):
            self._head = _mixed(self._head, self._editor.painter.transfer.parser.head(seen.large))
        own, *around = (points_in_crop(face, seen.to_frame) for face in (seen.face, *others))
        return ground_around(seen.large, self._head, own, around)

    def _head_after(self, large: Pixels, edit: EditFields) -> Field:
        if self._after is None or self._due(1):
            found = self._editor.painter.transfer.parser.head(paint_crop(large, edit))
            self._after = _mixed(self._after, found)
        return self._after

    def _due(self, turn: int) -> bool:
        """Whether it is this frame's turn to look for the head, before (0) or after (1) the edit."""
        return self._frames % self._parse_every == turn % self._parse_every


def spread_of_w(editor: Editor) -> float:
    """Root mean square distance between the w of two invented faces."""
    w = editor.generator.sample_w(_SAMPLES, seed=0).cpu()
    return float((2 * w.var(0).sum()).sqrt())


def _mixed(before: Field | None, found: Field) -> Field:
    if before is None:
        return found
    return np.asarray(before + HEAD_SHARE * (found - before), np.float32)
