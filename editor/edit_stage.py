"""EditStage: what was done to the faces of a photo, in plain values."""

from collections.abc import Mapping
from dataclasses import dataclass

from editor.face.box import PhotoBox


@dataclass(frozen=True, kw_only=True)
class FaceEdit:
    """What is done to one face."""

    strengths: Mapping[str, float]  # direction -> strength, in its unit
    space: str
    # Steps in each space of every optimisation before; one that was stopped is repeated to its end.
    steps: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EditStage:
    """The edits of a photo's faces."""

    faces: Mapping[int, FaceEdit]  # by their number in the photo
    chosen: int = 1  # of them, the one that was edited last
    box: PhotoBox | None = None  # that stands for the only face; None where faces were found
