"""PhotoSession: a photo of which one face after the other is edited."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from editor.edit_stage import EditStage, FaceEdit
from editor.face.photo import FacePhoto
from editor.face.warp import Matrix
from editor.photo.colour import Pixels
from editor.session import EditSession

VIEW_PIXELS = 1_000_000  # of a photo's view, which the page shows and edits are painted on while sliders move


@dataclass(frozen=True, kw_only=True)
class PhotoSession:
    """What is known of a photo being edited; never changed in place."""

    photo: FacePhoto | None  # None for a picture that is nothing but one crop
    sessions: Mapping[int, EditSession]  # of the faces that were inverted, by their number
    chosen: int = 1  # number of the face that is edited at the moment
    base: Pixels | None = None  # `photo.pixels` with the edits of all other faces; None where there are none
    # What had been done to the photo before its picture became a photo of its own, see `as_new_base`.
    earlier: tuple[EditStage, ...] = ()
    placed: bool = True  # whether somebody has said where the photo's box lies; of faces nobody has to
    first_name: str = ""  # of the file that the first of these was done to

    @property
    def name(self) -> str:
        """Of the photo's file; empty where it came from none."""
        source = None if self.photo is None else self.photo.source
        return source.name if isinstance(source, Path) else self.first_name

    @property
    def stage(self) -> EditStage:
        """The edits that the photo has; its chosen face is named also where it has none."""
        faces = {
            number: FaceEdit(
                strengths={name: value for name, value in session.strengths.items() if value},
                space=session.space,
                steps=session.optimised,
            )
            for number, session in self.sessions.items()
            if session.edited or number == self.chosen
        }
        return EditStage(faces=faces, chosen=self.chosen, box=None if self.photo is None else self.photo.box)

    @property
    def session(self) -> EditSession:
        """Of the chosen face."""
        return self.sessions[self.chosen]

    @property
    def pixels(self) -> Pixels:
        """What the chosen face is painted onto [H, W, 3]."""
        if self.photo is None:
            return self.session.content.cut(self.session.crop)
        return self.photo.pixels if self.base is None else self.base

    @property
    def to_pixels(self) -> Matrix:
        """Affine map [3, 3] from the chosen crop's content, corners (0, 0) and (1, 1), to `pixels`."""
        if self.photo is None:
            height, width = self.pixels.shape[:2]
            return np.diag((width, height, 1.0))
        to_pixels = self.photo.to_pixels(self.photo.face(self.chosen)) @ self.session.content.to_square
        return np.asarray(to_pixels, np.float64)

    def updated(self, session: EditSession) -> "PhotoSession":
        """With another session of one of its faces, which is then the chosen one."""
        sessions = {**self.sessions, session.face: session}
        return replace(self, sessions=sessions, chosen=session.face)


def session_of_crop(session: EditSession) -> PhotoSession:
    """Of a face without a photo."""
    return PhotoSession(photo=None, sessions={session.face: session}, chosen=session.face)
