"""A photo from its opening to the file that is saved: one face after the other, all edits together."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from editor.errors import BoxError, FaceError, ImageInputError, NoFaceError
from editor.face.box import PhotoBox
from editor.face.crop import MAX_RESOLUTION
from editor.face.photo import FacePhoto, PhotoFace, cut_again
from editor.face.tiles import Box
from editor.photo.colour import Pixels
from editor.photo.export import edit_note, encode_png, save_png
from editor.photo.original import PhotoFile, open_photo
from editor.photo.writing.credentials import Credentials
from editor.photo.writing.saving import Kind, encode_photo, kind_of, save_photo
from editor.photo_session import VIEW_PIXELS, PhotoSession, session_of_crop
from editor.pipeline import OPTIMISATION_STEPS, Editor
from editor.session import EditSession
from editor.transfer.paint import Patch
from inversion.optimise.search import Tell


def open_or_box(editor: Editor, photo: str | Path) -> FacePhoto:
    """A view of a photo with its faces; where there are none, with the largest box in the middle.

    Raises:
        ImageInputError: As `Editor.open_photo`; without a face only where there is no room for a box either.
    """
    try:
        return editor.open_photo(photo, most_pixels=VIEW_PIXELS)
    except NoFaceError as no_face:
        try:
            return editor.open_box(open_photo(photo), most_pixels=VIEW_PIXELS)
        except BoxError:
            raise no_face from None


def start(editor: Editor, photo: FacePhoto, face: int = 1) -> PhotoSession:
    """Begin to edit a photo with one of its faces; raises as `Editor.invert`."""
    return PhotoSession(photo=photo, sessions={face: editor.invert(photo, face)}, chosen=face)


def edited_session(
    editor: Editor,
    session: EditSession,
    strengths: Mapping[str, float],
    *,
    space: str | None = None,
    steps: int = 0,
    progress: Tell | None = None,
) -> EditSession:
    """A face with edits, as it is asked for once and for all: by the shell, and of many photos.

    Args:
        editor: Whose session it is.
        session: As it was inverted.
        strengths: Direction -> strength, in its unit.
        space: To edit in; None for the session's own.
        steps: Of optimisation, in each space; 0 takes the encoder's answer, where there is an encoder.
        progress: See `Editor.optimise`.

    Raises:
        DirectionError: An edit or a space that there is none of.
        StrengthError: A strength beyond its range.
        ConfigError: `steps` is out of range.
    """
    session = editor.edit(session, strengths)
    if space:
        session = editor.enter(session, space)
    steps = steps or (OPTIMISATION_STEPS if editor.awaits_fit(session) else 0)
    return editor.optimise(session, steps, progress) if steps else session


def choose_face(editor: Editor, opened: PhotoSession, face: int) -> PhotoSession:
    """Go on with another face of the photo, which is inverted at its first turn; edits stay.

    Raises:
        FaceError: There is no such face, or it is turned too far away.
    """
    if opened.photo is None:
        raise FaceError("face: this picture is one face, and no photo")
    number = opened.photo.face(face).number
    session = opened.sessions.get(number) or editor.invert(opened.photo, number)
    others = [other for key, other in opened.sessions.items() if key != number]
    base = editor.edit_photo(opened.photo, others) if any(other.edited for other in others) else None
    return replace(opened.updated(session), base=base)


def choose_box(editor: Editor, opened: PhotoSession, box: PhotoBox) -> PhotoSession:
    """Go on with a box on the photo, in the place of its faces or of another box; the edits stay.

    Raises:
        BoxError: It does not lie within the photo, or is too small.
        ImageInputError: There is no photo, or it cannot be read again.
    """
    if opened.photo is None:
        raise ImageInputError("box: this picture is no photo; there is nothing around it")
    _, file = reopened(opened.photo)
    photo = editor.open_box(file, box, most_pixels=VIEW_PIXELS if opened.photo.file is None else None)
    if photo.box == opened.photo.box:
        return replace(opened, placed=True)
    before, session = opened.session, editor.invert(photo)
    session = replace(session, own=before.own, strengths=before.strengths)
    if before.space in editor.spaces(session):
        session = editor.enter(session, before.space)
    return replace(opened, photo=photo, sessions={1: session}, chosen=1, base=None, placed=True)


def as_new_base(editor: Editor, opened: PhotoSession) -> PhotoSession:
    """Go on from the edited picture as if it were the photo: what is edited next starts from it.

    The picture is written as `encode` writes it, and read again, so that it is what a saved photo is; it is
    kept in memory.

    Args:
        editor: Whose sessions they are.
        opened: The photo, with edits.

    Raises:
        FaceError: No face is found in the picture any more.
        ImageInputError: As `encode`.
    """
    earlier = (*opened.earlier, opened.stage)
    if opened.photo is None:
        session = replace(editor.invert_crop(editor.edit_crop(opened.session)), own=opened.session.own)
        return replace(session_of_crop(session), earlier=earlier)
    data, _ = encode(editor, opened)
    photo = editor.open_photo(data, most_pixels=VIEW_PIXELS, box=opened.photo.box)
    begun = start(editor, photo, _again(photo, opened.photo.face(opened.chosen)))
    session = replace(begun.session, own=opened.session.own)
    return replace(begun.updated(session), earlier=earlier, first_name=opened.name)


def _again(photo: FacePhoto, face: PhotoFace) -> int:
    """Number of a face in a picture where it may have another one."""
    was = Box(*face.face.box).center
    usable = [each for each in photo.faces if each.cropped is not None]
    return min(usable, key=lambda each: math.dist(Box(*each.face.box).center, was)).number


def patch(editor: Editor, opened: PhotoSession, session: EditSession) -> Patch | None:
    """What a session of the chosen face changes of `opened.pixels`; None where it has no edit."""
    if opened.photo is not None:
        return editor.painter.on_photo(opened.photo, session, onto=opened.base)
    return Patch(0, 0, session.content.cut(editor.edit_crop(session))) if session.edited else None


def reopened(photo: FacePhoto) -> tuple[FacePhoto, PhotoFile]:
    """The photo at its own size, and its file; what is kept as a view is read again.

    Raises:
        ImageInputError: The file is gone, has changed, or there never was one.
    """
    if photo.file is not None:
        return photo, photo.file
    if photo.source is None:
        raise ImageInputError("photo: it came from no file, so there is none to read again")
    file = open_photo(photo.source)
    if file.pixels.shape[:2] != (photo.height, photo.width):
        raise ImageInputError("photo: its file has changed since it was opened; open it again")
    return replace(photo, file=file, pixels=file.pixels, scale=(1.0, 1.0)), file


def encode(
    editor: Editor, opened: PhotoSession, kind: Kind | None = None, *, sign: Credentials | None = None
) -> tuple[bytes, Kind]:
    """The whole photo with all edits at its own size, as a file that says that it was edited.

    Args:
        editor: Whose sessions they are.
        opened: The photo; where it holds a view, the file is read again.
        kind: "jpeg", "png" or "webp"; None for the photo's own, or the nearest to it.
        sign: Signs Content Credentials; None signs nothing.

    Returns:
        The file's bytes, and its kind. Of a face without a photo a PNG of the crop.

    Raises:
        ImageInputError: The photo's file is gone or has changed; or as `encode_photo`.
    """
    if opened.photo is None:
        return encode_png(_lone(editor, opened.session), opened.session.strengths), "png"
    file, edited, note = _whole(editor, opened, opened.photo)
    kind = kind or kind_of(file)
    return encode_photo(file, edited, kind=kind, note=note, sign=sign), kind


def save(editor: Editor, opened: PhotoSession, path: str | Path, *, sign: Credentials | None = None) -> None:
    """Write what `encode` makes, of the kind that the name says.

    Raises:
        ImageInputError: As `encode`, or from `save_photo`.
    """
    if opened.photo is None:
        save_png(path, _lone(editor, opened.session), opened.session.strengths)
        return
    file, edited, note = _whole(editor, opened, opened.photo)
    save_photo(path, file, edited, note=note, sign=sign)


def _lone(editor: Editor, session: EditSession) -> Pixels:
    """The edited picture of a session without a photo."""
    return session.content.cut(editor.edit_crop(session))


def _whole(editor: Editor, opened: PhotoSession, photo: FacePhoto) -> tuple[PhotoFile, Pixels, str]:
    photo, file = reopened(photo)
    edited = editor.edit_photo(photo, opened.sessions.values())
    return file, edited, edit_note(noted_strengths(opened.sessions), edited="Photo")


def crop_of(editor: Editor, photo: FacePhoto, session: EditSession) -> Pixels:
    """The edited face, cut out and upright, at the size that it has in the photo: [S, S, 3] uint8.

    Of a box what the model's content covers, [h, w, 3].
    """
    whole, _ = reopened(photo)
    face = whole.face(session.face)
    to_photo = face.to_photo
    side = round(float(np.hypot(*to_photo[:2, 0])))
    side = min(max(side, editor.resolution), MAX_RESOLUTION)
    crop = cut_again(whole, face, editor.crop_config, side)
    return session.content.cut(editor.edit_crop(session, crop))


def noted_strengths(sessions: Mapping[int, EditSession]) -> dict[str, float]:
    """All edits of a photo under names that tell the faces apart, where there are several."""
    edited = {number: session for number, session in sorted(sessions.items()) if session.edited}
    if len(edited) == 1:
        (session,) = edited.values()
        return dict(session.strengths)
    return {
        f"face {number} {name}": value
        for number, session in edited.items()
        for name, value in session.strengths.items()
    }
