"""What programs send, checked; what they sent is never repeated, for it is a stranger's."""

import base64
import binascii
from typing import Any

from editor.errors import BatchError, BoxError, FaceError, ImageInputError
from editor.face.box import PhotoBox
from editor.face.search import MAX_FACES
from editor.pipeline import Editor
from inversion.directions.bank import DirectionBank
from inversion.directions.errors import DirectionError, StrengthError
from inversion.optimise.inversion import MAX_STEPS
from stylegan2.errors import ConfigError

MAX_PHOTO = 30_000_000  # bytes of a photo, as of an upload
MAX_TEXT = MAX_PHOTO * 4 // 3 + 100_000  # characters of its base64, with line breaks
MOST_PHOTOS = 32  # of a batch; together they are bounded as a body, see `MAX_BODY`
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


def check_faces(editor: Editor, strengths: object, face: object) -> dict[int | None, dict[str, Any]]:
    """The strengths of every face that is named, `face` among them; of None where no face is.

    Args:
        editor: Knows the directions.
        strengths: Name of a direction -> strength; or number of a face -> such a mapping.
        face: See `check_face`.

    Raises:
        StrengthError: The strengths are something else, or of too many faces.
        DirectionError: An unknown direction.
        FaceError: As `check_face`.
    """
    number = check_face(face)
    named: dict[int | None, dict[str, Any]] = {} if number is None else {number: {}}
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


def check_face(face: object) -> int | None:
    """`face` as a number, None where none is named; whether the photo has it, `FacePhoto.face` says.

    Raises:
        FaceError: It is no whole number.
    """
    if face is None:
        return None
    if isinstance(face, bool) or not isinstance(face, int | float) or face != face // 1:
        raise FaceError(f"face: got {type(face).__name__}; must be a whole number from 1")
    return int(face)


def check_space(space: object) -> str:
    """`space` if it is text of the length that names of spaces have; whether there is one, the editor says.

    Raises:
        DirectionError: It is not.
    """
    if isinstance(space, str) and len(space) <= 2:
        return space
    raise DirectionError("space: must be w, w+ or f, or null for the most faithful that the model has")


def check_steps(steps: object) -> int:
    """`steps` as a number of steps of optimisation.

    Raises:
        ConfigError: It is none from 0 to `MAX_STEPS`.
    """
    if isinstance(steps, bool) or not isinstance(steps, int | float) or steps != steps // 1:
        raise ConfigError(f"steps: got {type(steps).__name__}; must be a whole number from 0 to {MAX_STEPS}")
    if not 0 <= steps <= MAX_STEPS:
        raise ConfigError(f"steps: out of range; must be from 0 to {MAX_STEPS}")
    return int(steps)


def check_box(box: object) -> PhotoBox | None:
    """`box` as a box on a photo, [left, top, width] in px; None for none.

    Raises:
        BoxError: It is something else.
    """
    if box is None:
        return None
    if not isinstance(box, list) or len(box) != 3 or any(type(value) is not int for value in box):
        raise BoxError("box: must be left, top and width in whole px")
    return PhotoBox(*box)


def check_box_part(box: object) -> tuple[float, float, float]:
    """`box` as left, top and width of a box, in parts of the photo's sides.

    Raises:
        BoxError: It is something else.
    """
    numbers = [value for value in box if type(value) in (int, float)] if isinstance(box, list) else []
    if len(numbers) != 3 or numbers != box or not all(abs(value) <= 1 for value in numbers):
        raise BoxError("box: must be left, top and width in parts of the photo")
    left, top, width = numbers
    return left, top, width


def check_batch(editor: Editor, photos: object, strengths: object) -> list[tuple[Any, Any]]:
    """Photos of a batch, and what is to be done to each; the photos themselves are looked at one by one.

    Args:
        editor: Knows the directions.
        photos: A list of what `decode_photo` takes.
        strengths: Of all photos, see `check_faces`; or a list with those of each.

    Raises:
        BatchError: The photos are no list, or too many; or the lists differ in length.
        StrengthError: Strengths of all photos are none.
        DirectionError: Among them is an unknown direction.
    """
    if not isinstance(photos, list) or not 1 <= len(photos) <= MOST_PHOTOS:
        found = f"a list of {len(photos)}" if isinstance(photos, list) else type(photos).__name__
        raise BatchError(f"photos: got {found}; must be a list of 1 to {MOST_PHOTOS}")
    if not isinstance(strengths, list):
        check_faces(editor, strengths, None)
        return [(photo, strengths) for photo in photos]
    if len(strengths) != len(photos):
        raise BatchError(
            f"strengths: got a list of {len(strengths)}; must be one for all photos, or {len(photos)}"
        )
    return list(zip(photos, strengths, strict=True))
