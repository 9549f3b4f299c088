"""The door for programs: a photo and strengths in, the edited face out."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from editor.errors import ImageInputError
from editor.photo.export import encode_png
from editor.pipeline import OPTIMISATION_STEPS, Editor
from editor.ui.serving.gate import Gate
from editor.ui.stage import data_uri
from inversion.directions.errors import DirectionError, StrengthError
from inversion.optimise.inversion import MAX_STEPS
from stylegan2.errors import ConfigError, StyleGANError

MAX_PHOTO = 30_000_000  # bytes of a photo, as of an upload
MAX_TEXT = MAX_PHOTO * 4 // 3 + 100_000  # characters of its base64, with line breaks
ARGUMENTS = ("photo", "strengths", "space", "steps")
_URL_SAFE = str.maketrans("-_", "+/")


def decode_photo(text: object) -> bytes:
    """The bytes of a photo that a program sent as base64, with or without a data: address before it.

    White space, the letters of base64 for addresses, and missing padding are taken.

    Raises:
        ImageInputError: Something else was sent.
    """
    found = f"a text of {len(text)} characters" if isinstance(text, str) else type(text).__name__
    try:
        if isinstance(text, str) and 0 < len(text) <= MAX_TEXT:
            letters = "".join(text.rpartition(",")[2].split()).translate(_URL_SAFE).rstrip("=")
            return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        pass
    raise ImageInputError(
        f"photo: got {found}; send the file's bytes as base64, or as data:image/...;base64,..., "
        f"at most {MAX_PHOTO // 10**6} MB"
    )


def check_strengths(editor: Editor, strengths: object) -> dict[str, Any]:
    """`strengths` if it is a mapping of the editor's directions; the numbers are checked by `Editor.edit`.

    What was sent is not repeated: it is a stranger's.

    Raises:
        StrengthError: It is none, or has more entries than there are directions.
        DirectionError: An unknown direction.
    """
    have = editor.directions
    if not isinstance(strengths, dict):
        found = type(strengths).__name__
        raise StrengthError(f"strengths: got {found}; send a number for each direction by name")
    if len(strengths) > len(have):
        raise StrengthError(f"strengths: got {len(strengths)}; this model has {len(have)} directions")
    if not all(name in have for name in strengths):
        raise DirectionError(f"strengths: no such direction; have: {', '.join(sorted(have)) or 'none'}")
    return strengths


class EditAPI:
    """`POST /gradio_api/run/edit`, and `edit` of Gradio's clients.

    Nothing is remembered, and nothing touches the disk.

    Args:
        editor: Answers with the one in use.
        light: Where inversions and drawings take their turn.
        long: Where optimisations do.
    """

    def __init__(self, editor: Callable[[], Editor], light: Gate, long: Gate) -> None:
        self._editor, self._light, self._long = editor, light, long

    def edit(
        self, photo: str, strengths: dict[str, float], space: str | None = None, steps: int = 0
    ) -> dict[str, str]:
        """Edit the largest face of a photo.

        Args:
            photo: The bytes of an image file as base64, with or without `data:image/...;base64,` before it.
            strengths: Name of a direction -> standard deviations.
            space: "w", "w+" or "f"; None for the most faithful that the model has.
            steps: Of optimisation in each space; 0 takes the encoder's answer.

        Returns:
            "edited" and "reconstruction", PNG files as data: addresses.

        Raises:
            StyleGANError: Any of them is not as above, or there is no face.
        """
        editor = self._editor()
        data, wanted = decode_photo(photo), check_strengths(editor, strengths)
        steps = _check_steps(steps)
        with self._light.passing():
            session = editor.invert(data)
            del data
            if space:
                session = editor.enter(session, check_space(space))
            session = editor.edit(session, wanted)
        if steps or editor.awaits_fit(session):
            with self._long.passing():
                session = editor.optimise(session, steps or OPTIMISATION_STEPS)
        with self._light.passing():
            return {
                "edited": data_uri(encode_png(editor.render(session), session.strengths), "png"),
                "reconstruction": data_uri(encode_png(editor.reconstruct(session), {}), "png"),
            }

    def words(self) -> list[str]:
        """What each argument is, in the order of `edit`, for Gradio's description of the API."""
        editor = self._editor()
        edits = editor.directions.values()
        ranges = [f"{edit.name} {edit.range[0]:g} to {edit.range[1]:g}" for edit in edits]
        return [
            "the bytes of an image file as base64, with or without data:image/...;base64, before it; "
            f"at most {MAX_PHOTO // 10**6} MB",
            f"name of an edit -> strength in standard deviations: {', '.join(ranges) or 'none'}",
            "where to edit: w, w+ or f; null for the most faithful that the model has",
            f"steps of optimisation in each space, 0 to {MAX_STEPS}; 0 takes the encoder's answer",
        ]


def check_space(space: object) -> str:
    """`space` if it is text of the length that names of spaces have; whether there is one, the editor says.

    Raises:
        DirectionError: It is not.
    """
    if isinstance(space, str) and len(space) <= 2:
        return space
    raise DirectionError("space: must be w, w+ or f, or null for the most faithful that the model has")


def _check_steps(steps: object) -> int:
    if isinstance(steps, bool) or not isinstance(steps, int | float) or steps != steps // 1:
        raise ConfigError(f"steps: got {type(steps).__name__}; must be a whole number from 0 to {MAX_STEPS}")
    if not 0 <= steps <= MAX_STEPS:
        raise ConfigError(f"steps: out of range; must be from 0 to {MAX_STEPS}")
    return int(steps)


def spoken(error: StyleGANError) -> str:
    """An error as one line."""
    return " ".join(str(error).split())
