"""The door for programs: a photo and strengths in, the edited face out."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from editor.errors import FaceError, ImageInputError
from editor.face.photo import describe_face
from editor.face.search import MAX_FACES
from editor.photo.export import encode_png
from editor.photo_editing import crop_of, encode
from editor.photo_session import PhotoSession
from editor.pipeline import OPTIMISATION_STEPS, Editor
from editor.ui.serving.gate import Gate
from editor.ui.stage import data_uri
from inversion.directions.bank import DirectionBank
from inversion.directions.errors import DirectionError, StrengthError
from inversion.optimise.inversion import MAX_STEPS
from stylegan2.errors import ConfigError, StyleGANError

MAX_PHOTO = 30_000_000  # bytes of a photo, as of an upload
MAX_TEXT = MAX_PHOTO * 4 // 3 + 100_000  # characters of its base64, with line breaks
ARGUMENTS = ("photo", "strengths", "space", "steps", "face")
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


def check_strengths(have: DirectionBank, strengths: object) -> dict[str, Any]:
    """`strengths` if it is a mapping of known directions; the numbers are checked by `Editor.edit`.

    What was sent is not repeated: it is a stranger's.

    Raises:
        StrengthError: It is none, or has more entries than there are directions.
        DirectionError: An unknown direction.
    """
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
        self,
        photo: str,
        strengths: dict[str, Any],
        space: str | None = None,
        steps: int = 0,
        face: int | None = None,
    ) -> dict[str, Any]:
        """Edit faces of a photo.

        Args:
            photo: The bytes of an image file as base64, with or without `data:image/...;base64,` before it.
            strengths: Name of a direction -> strength in its unit, of `face`; or number of a face -> such a
                mapping, of several.
            space: "w", "w+" or "f"; None for the most faithful that the model has.
            steps: Of optimisation in each space; 0 takes the encoder's answer.
            face: Number of the face, from 1, the largest first; None for the largest that can be used, or
                the first that is named.

        Returns:
            "photo", the whole photo with the edits at its own size, as a file of its own kind; "edited" and
            "reconstruction" of `face`, cut out, PNG files; all as data: addresses. "faces": number and box of
            every face, see `describe_face`.

        Raises:
            StyleGANError: Any of them is not as above, or there is no face.
        """
        editor = self._editor()
        data, by_face = decode_photo(photo), _by_face(editor, strengths, face)
        steps = _check_steps(steps)
        with self._light.passing():
            found = editor.open_photo(data)
            wanted = {found.first if number is None else number: edits for number, edits in by_face.items()}
            sessions = {number: editor.invert(found, number) for number in wanted}
            for number, session in sessions.items():
                entered = editor.enter(session, check_space(space)) if space else session
                sessions[number] = editor.edit(entered, wanted[number])
        for number, session in sessions.items():
            if steps or editor.awaits_fit(session):
                with self._long.passing():
                    sessions[number] = editor.optimise(session, steps or OPTIMISATION_STEPS)
        with self._light.passing():
            chosen = next(iter(sessions)) if face is None else int(face)
            opened = PhotoSession(photo=found, sessions=sessions, chosen=chosen)
            whole, kind = encode(editor, opened)
            session = opened.session
            crop = encode_png(crop_of(editor, found, session), session.strengths)
            return {
                "photo": data_uri(whole, kind),
                "edited": data_uri(crop, "png"),
                "reconstruction": data_uri(encode_png(editor.reconstruct(session), {}), "png"),
                "faces": [describe_face(each) for each in found.faces],
            }

    def words(self) -> list[str]:
        """What each argument is, in the order of `edit`, for Gradio's description of the API."""
        editor = self._editor()
        edits = editor.directions.values()
        ranges = [f"{edit.name} {edit.range[0]:g} to {edit.range[1]:g} {edit.unit}".strip() for edit in edits]
        return [
            "the bytes of an image file as base64, with or without data:image/...;base64, before it; "
            f"at most {MAX_PHOTO // 10**6} MB",
            "name of an edit -> strength, in standard deviations where no unit is told: "
            f"{', '.join(ranges) or 'none'}; or number of a face -> such a mapping",
            "where to edit: w, w+ or f; null for the most faithful that the model has",
            f"steps of optimisation in each space, 0 to {MAX_STEPS}; 0 takes the encoder's answer",
            "number of the face, from 1, the largest first; null for the largest that can be used",
        ]


def _by_face(editor: Editor, strengths: object, face: object) -> dict[int | None, dict[str, Any]]:
    """The strengths of every face that is named, `face` among them; of None where no face is."""
    if face is None:
        named: dict[int | None, dict[str, Any]] = {}
    elif isinstance(face, bool) or not isinstance(face, int | float) or face != face // 1:
        raise FaceError(f"face: got {type(face).__name__}; must be a whole number from 1")
    else:
        named = {int(face): {}}
    nested = isinstance(strengths, dict) and any(isinstance(value, dict) for value in strengths.values())
    if not nested or not isinstance(strengths, dict):
        return dict.fromkeys(named or [None], check_strengths(editor.directions, strengths))
    if len(strengths) > MAX_FACES or not all(str(key).isdecimal() and len(str(key)) < 4 for key in strengths):
        raise StrengthError(
            "strengths: got edits of several faces; send at most 32, each under the number of its face"
        )
    for key, value in strengths.items():
        named[int(key)] = check_strengths(editor.directions, value)
    return named


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
