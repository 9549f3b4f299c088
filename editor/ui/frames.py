"""Frames: what the page itself asks for, past Gradio's queue: pictures, another face, the file to save."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from editor.face.box import PhotoBox
from editor.photo.writing.saving import Kind
from editor.photo_editing import as_new_base, choose_box, choose_face, encode, patch
from editor.photo_session import PhotoSession
from editor.pipeline import Editor
from editor.recipe import MOST_STAGES, as_command, as_python, read_recipe, recipe_of, repeat
from editor.session import EditSession
from editor.ui.messages import (
    MODEL_CHANGED,
    NO_FACE_YET,
    NO_PHOTO,
    OVERTAKEN,
    TO_BE_FITTED,
    VISIT_OVER,
    NothingEditedError,
    OvertakenError,
    VisitOverError,
)
from editor.ui.serving.asked import check_box_part, check_space, check_strengths
from editor.ui.serving.gate import Gate
from editor.ui.stage import SpaceView, data_uri, inspected, jpeg_uri
from editor.ui.store import Visit, VisitStore
from stylegan2.errors import StyleGANError

Answer = dict[str, Any]
# Visit, the editor, its new state and the old -> the stage's value.
Show = Callable[[Visit, Editor, PhotoSession, PhotoSession], str | None]


class Frames:
    """Answers of the server to the stage; see `editor/ui/assets`.

    Args:
        store: Visits.
        light: Where inversions and drawings take their turn.
        show: Makes a new state the visit's, and says what the stage shows of it; None where it came too late.
        editor: Answers with the one in use.
        generation: How often the model was changed.
    """

    def __init__(
        self,
        store: VisitStore,
        light: Gate,
        show: Show,
        editor: Callable[[], Editor],
        generation: Callable[[], int],
    ) -> None:
        self._store, self._light, self._show = store, light, show
        self._editor, self._generation = editor, generation

    def draw(self, question: object) -> Answer:
        """One live frame of the chosen face.

        Args:
            question: {"token", "version", "strengths", "space"}; without a space, the session's own. The
                version is that of the state on the page: a question about another one is not answered.

        Returns:
            {"src", "left", "top", "milliseconds", "engine"}: what the edit changes of the view, and where it
            lies, in px of the view; src is None where there is no edit. {"error", "over", "overtaken"} where
            the question cannot be answered, see `_refusal`.
        """
        try:
            _, editor, opened, session = self._asked(question)
            start = time.perf_counter()
            changed = patch(editor, opened, session)
        except StyleGANError as error:
            return _refusal(error)
        milliseconds = (time.perf_counter() - start) * 1e3
        return {
            "src": None if changed is None else jpeg_uri(changed.pixels),
            "left": 0 if changed is None else changed.left,
            "top": 0 if changed is None else changed.top,
            "milliseconds": milliseconds,
            "engine": editor.engine_name(session),
        }

    def inspect(self, question: object) -> Answer:
        """What the model makes of the chosen face, unedited: asked for after the photo is on show.

        Args:
            question: As for `draw`.

        Returns:
            {"spaces", "fit", "reason"}, see `inspected`; {"error", "over", "overtaken"} likewise.
        """
        try:
            _, editor, opened, _ = self._asked(question)
            session = opened.session
            with self._light.passing():
                views = [_view(editor, session, space) for space in editor.spaces(session)]
                fit = editor.fit(session)
        except StyleGANError as error:
            return _refusal(error)
        return inspected(session.content.cut(session.crop), views, fit)

    def save(self, question: object) -> Answer:
        """The photo at its own size with all edits: `draw`'s question -> {"src", "name"} or {"error"}."""
        try:
            with self._light.passing():
                _, editor, opened, session = self._asked(question)
                data, kind = encode(editor, opened.updated(session))
        except StyleGANError as error:
            return _refusal(error)
        return {"src": data_uri(data, kind), "name": _name(opened, kind)}

    def choose(self, question: object) -> Answer:
        """Another face: `draw`'s question and its "face" -> {"value", "note"} or {"error", "over"}."""
        face = question.get("face", 0) if isinstance(question, dict) else 0
        return self._changed(question, lambda editor, opened: choose_face(editor, opened, face))

    def box(self, question: object) -> Answer:
        """A box on the photo: `draw`'s question and its "box", see `check_box_part` -> as `choose`."""
        part = question.get("box") if isinstance(question, dict) else None

        def change(editor: Editor, opened: PhotoSession) -> PhotoSession:
            left, top, wide = check_box_part(part)
            if opened.photo is None:
                raise StyleGANError(NO_PHOTO)
            width, height = opened.photo.width, opened.photo.height
            box = PhotoBox(round(left * width), round(top * height), round(wide * width))
            return choose_box(editor, opened, box)

        return self._changed(question, change)

    def describe(self, question: object) -> Answer:
        """The edits as a file and in words: `draw`'s question -> {"file", "name", "command", "python"}."""
        try:
            _, editor, opened, session = self._asked(question)
            recipe = recipe_of(editor, opened.updated(session))
        except StyleGANError as error:
            return _refusal(error)
        photo = opened.name or "photo.jpg"
        file, out = f"{Path(photo).stem}-edit.json", f"{Path(photo).stem}-edited.jpg"
        return {
            "file": recipe.to_json(),
            "name": file,
            "command": as_command(recipe, photo, out, file),
            "python": as_python(photo, out, file),
        }

    def rebase(self, question: object) -> Answer:
        """Go on from the edited picture as the photo: `draw`'s question -> as `choose`."""

        def change(editor: Editor, opened: PhotoSession) -> PhotoSession:
            if not any(session.edited for session in opened.sessions.values()):
                raise NothingEditedError("There is no edit yet that could become the base.")
            if len(opened.earlier) >= MOST_STAGES - 1:
                raise NothingEditedError(f"{MOST_STAGES - 1} bases after another are the most.")
            return as_new_base(editor, opened)

        return self._changed(question, change)

    def repeat(self, question: object) -> Answer:
        """Do what a saved edit says: `draw`'s question and its "file" -> as `choose`."""
        file = question.get("file") if isinstance(question, dict) else None
        text = file if isinstance(file, str) else ""
        return self._changed(
            question, lambda editor, opened: repeat(editor, opened, read_recipe(text), optimise=False)
        )

    def _changed(self, question: object, change: Callable[[Editor, PhotoSession], PhotoSession]) -> Answer:
        """Another state of the photo, made from that which the question is about."""
        try:
            with self._light.passing():
                visit, editor, opened, session = self._asked(question)
                after = change(editor, opened.updated(session))
            value = self._show(visit, editor, after, opened)
        except StyleGANError as error:
            return _refusal(error)
        if value is None:
            changed = editor is not self._editor()
            return _refusal(StyleGANError(MODEL_CHANGED) if changed else OvertakenError(OVERTAKEN))
        return {"value": value, "note": TO_BE_FITTED if editor.awaits_fit(after.session) else ""}

    def _asked(self, question: object) -> tuple[Visit, Editor, PhotoSession, EditSession]:
        """Whose question it is, and the session that it is about, with the edits that it names."""
        asked = question if isinstance(question, dict) else {}
        visit = self._store.find(asked.get("token"))
        if visit is None:
            raise VisitOverError(VISIT_OVER)
        work = self._store.work(visit)
        if work is None:
            raise StyleGANError(MODEL_CHANGED if self._generation() else NO_FACE_YET)
        editor, opened, version = work
        if asked.get("version", version) != version:
            raise OvertakenError(OVERTAKEN)
        session = editor.enter(opened.session, check_space(asked.get("space", opened.session.space)))
        session = replace(session, own=visit.own)
        have = editor.directions.joined(session.own)
        return visit, editor, opened, editor.edit(session, check_strengths(have, asked.get("strengths")))


def _view(editor: Editor, session: EditSession, space: str) -> SpaceView:
    start = time.perf_counter()
    pixels = editor.reconstruct(editor.enter(session, space))
    milliseconds = (time.perf_counter() - start) * 1e3
    drawn_before = space == "f" and session.inversion.drawn is not None
    return SpaceView(
        space=space,
        pixels=session.content.cut(pixels),
        milliseconds=session.milliseconds["invert"] if drawn_before else milliseconds,
        with_inversion=drawn_before,
        likeness=editor.likeness(session, pixels),
    )


def _refusal(error: StyleGANError) -> Answer:
    """The error in words; whether the visit is over, and whether it was overtaken, which needs no words."""
    return {
        "error": str(error),
        "over": isinstance(error, VisitOverError),
        "overtaken": isinstance(error, OvertakenError),
    }


def _name(opened: PhotoSession, kind: Kind) -> str:
    """What the saved file is called: as the photo was, and what was done."""
    suffix = {"jpeg": "jpg"}.get(kind, kind)
    return f"{Path(opened.name).stem}-edited.{suffix}" if opened.name else f"edited.{suffix}"
