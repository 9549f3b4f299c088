"""OwnEditPanel: what happens when a visitor makes an edit of their own, or brings one along."""

import base64
import html
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from editor.own.maker import MOST_LETTERS, Judge, OwnEdits, RatedFace, Tell
from editor.own.mixing import layers_of, mixed_edit
from editor.photo_session import VIEW_PIXELS
from editor.pipeline import Editor
from editor.session import EditSession
from editor.ui.aside import Outcome, run_aside
from editor.ui.examples import invented
from editor.ui.handlers import Handlers
from editor.ui.messages import VISIT_OVER, before_you, problem
from editor.ui.stage import jpeg_uri
from editor.ui.words import side_effects
from inversion.directions.bank import DirectionBank
from inversion.directions.errors import DirectionError
from inversion.directions.linear import EditDirection
from inversion.directions.sharing import SUFFIX, read_shared_edit, shared_edit
from stylegan2.bundle.content import Content
from stylegan2.errors import StyleGANError

NO_CLIP = "A sentence needs CLIP's encoders: start the app with --clip FOLDER, see docs/directions.md."
OF_PHOTO, FACES_OFFERED = "Face {} of this photo", 4
MOST = 8  # own edits of a visit
FINDS = {"Factor of the weights (SeFa)": "factor", "Component of w (GANSpace)": "component"}
Updates = tuple[Any, Any]  # what the step is about, status line
Make = Callable[[OwnEdits, Tell], EditDirection]


class OwnEditPanel:
    """Makes edits for visits; each visit has its own, which no other sees and which go with it.

    Args:
        handlers: Know the visits and the editor in use.
        judge: Tells how well faces fit a sentence; None where nobody named CLIP's encoders.
    """

    def __init__(self, handlers: Handlers, judge: Judge | None = None) -> None:
        self.judge = judge
        self._handlers, self._lock = handlers, threading.Lock()
        self._maker: tuple[Editor, OwnEdits] | None = None

    def invent(self, token: str | None) -> Iterator[Updates]:
        """Faces to be rated: their pictures as JSON, and how it goes."""
        visit = self._handlers.store.find(token)
        if visit is None:
            yield gr.skip(), VISIT_OVER
            return
        seed, own = visit.rounds, self._own()
        for news in self._told(lambda tell: own.faces(seed, tell)):
            if isinstance(news, str):
                yield gr.skip(), news
            else:
                visit.rounds, visit.rated = seed + 1, news
                pictures = json.dumps([jpeg_uri(face.pixels) for face in news])
                yield (
                    pictures,
                    "Rate the faces: a click is more, another one less. A few of either are enough.",
                )

    def rate(self, token: str | None, label: str, ratings: str, strengths: str) -> Iterator[Updates]:
        """The edit from ratings, JSON with 1, 0 (none) or -1 for each face of `invent`."""

        def make(own: OwnEdits, tell: Tell) -> EditDirection:
            visit = self._handlers.store.find(token)
            faces: list[RatedFace] = [] if visit is None else visit.rated
            given = _numbers(ratings, len(faces))
            judged = [(face, rating) for face, rating in zip(faces, given, strict=True) if rating]
            return own.of_ratings(label, [face for face, _ in judged], [rating for _, rating in judged], tell)

        yield from self._make(token, label, strengths, make)

    def find(
        self, token: str | None, label: str, kind: str, number: float, strengths: str
    ) -> Iterator[Updates]:
        """A factor or component of the model."""

        def make(own: OwnEdits, tell: Tell) -> EditDirection:
            found = own.component if FINDS.get(kind) == "component" else own.factor
            return found(int(number or 0), tell)

        yield from self._make(token, label, strengths, make)

    def point(self, token: str | None, label: str, place: str, strengths: str) -> Iterator[Updates]:
        """The channel that draws a place of the face, JSON [x, y, rank]."""

        def make(own: OwnEdits, tell: Tell) -> EditDirection:
            x, y, rank = _numbers(place, 3)
            to_square = (self._handlers.editor.content or Content()).to_square
            x, y = (to_square @ (x, y, 1))[:2].tolist()
            return own.channel(x, y, int(rank), tell)

        yield from self._make(token, label, strengths, make)

    def say(self, token: str | None, label: str, sentence: str, strengths: str) -> Iterator[Updates]:
        """The edit of a sentence."""

        def make(own: OwnEdits, tell: Tell) -> EditDirection:
            if self.judge is None:
                raise DirectionError(NO_CLIP)
            return own.of_sentence(label, sentence, self.judge, tell)

        yield from self._make(token, label, strengths, make)

    def mix(
        self, token: str | None, label: str, who: str, file: str | None, scale: str, strengths: str
    ) -> Iterator[Updates]:
        """The way to another face, on some of the layers.

        Args:
            token: Of the visit.
            label: What to call it.
            who: One of `others`.
            file: A photo whose largest face is the other one, instead of `who`; deleted afterwards.
            scale: One of `SCALES`.
            strengths: Where the sliders stand, JSON.
        """
        editor = self._handlers.editor

        def make(own: OwnEdits, tell: Tell) -> EditDirection:
            tell("looking at the other face")
            with self._handlers.light.passing():
                other = self._other(editor, token, who, file)
            name = "the other face" if file else who
            return mixed_edit(editor, other, layers_of(editor, scale), f"{scale} of {name}"[:MOST_LETTERS])

        try:
            yield from self._make(token, label, strengths, make)
        finally:
            if file is not None:
                Path(file).unlink(missing_ok=True)

    def others(self) -> list[str]:
        """Faces that one may be mixed with, by what they are called: examples, and faces of the photo."""
        return [
            *(example.label for example in self._handlers.examples),
            *(OF_PHOTO.format(number) for number in range(1, FACES_OFFERED + 1)),
        ]

    def _other(self, editor: Editor, token: str | None, who: str, file: str | None) -> EditSession:
        """A face as it was inverted, without edits."""
        if file is not None:
            photo = editor.open_photo(file, most_pixels=VIEW_PIXELS)
            return editor.invert(photo, photo.first)
        for example in self._handlers.examples:
            if example.label == who:
                if example.photo is None:
                    return invented(editor, example)
                photo = editor.open_photo(example.photo, most_pixels=VIEW_PIXELS)
                return editor.invert(photo, photo.first)
        visit = self._handlers.store.find(token)
        work = None if visit is None else self._handlers.store.work(visit)
        numbers = {OF_PHOTO.format(number): number for number in range(1, FACES_OFFERED + 1)}
        if work is None or work[1].photo is None or who not in numbers or work[0] is not editor:
            raise DirectionError("other face: choose one of the list, or a photo; this picture is no photo")
        return editor.invert(work[1].photo, numbers[who])

    def load(self, token: str | None, file: str | None, strengths: str) -> Iterator[Updates]:
        """An edit that somebody saved as a file."""
        if file is None:
            yield gr.skip(), gr.skip()
            return
        path, editor = Path(file), self._handlers.editor
        generator = editor.generator
        try:
            edit = read_shared_edit(path, editor.sha256, generator.w_dim, generator.num_ws)
            if edit.zones and editor.decoder.renderer.zones == 1:
                raise DirectionError(
                    f"{edit.label!r} is limited to parts of the face, which this model draws all alike; "
                    "put it into a folder of directions, see docs/directions.md"
                )
        except StyleGANError as error:
            yield gr.skip(), problem(error)
            return
        finally:
            path.unlink(missing_ok=True)
        yield from self._make(token, edit.label, strengths, lambda own, tell: edit)

    def edits(self, token: str | None) -> tuple[DirectionBank, dict[str, float]]:
        """A visit's own edits, and where its sliders stand."""
        visit = self._handlers.store.find(token)
        return (DirectionBank({}), {}) if visit is None else (visit.own, visit.strengths)

    def link(self, edit: EditDirection) -> str:
        """HTML by which a visitor saves an own edit as a file."""
        data = base64.b64encode(shared_edit(edit, self._handlers.editor.sha256)).decode()
        name, label = html.escape(edit.name.removeprefix("own-") + SUFFIX), html.escape(edit.label)
        address = f"data:application/octet-stream;base64,{data}"
        return f'<a class="own-file" download="{name}" href="{address}">Save “{label}” as a file</a>'

    def _make(self, token: str | None, label: str, strengths: str, make: Make) -> Iterator[Updates]:
        """Number of the visit's own edits made so far, and how it goes."""
        visit, editor = self._handlers.store.find(token), self._handlers.editor
        if visit is None:
            yield gr.skip(), VISIT_OVER
            return
        own = self._own()

        def work(tell: Tell) -> EditDirection:
            if len(visit.own) >= MOST:
                raise DirectionError(f"{MOST} edits of your own are the most; reload the page to begin anew")
            made = own.named(make(own, tell), label, [*editor.directions, *visit.own])
            if editor is not self._handlers.editor:
                raise DirectionError("the model was changed meanwhile")
            return made

        for news in self._told(work):
            if isinstance(news, str):
                yield gr.skip(), news
            else:
                visit.own = visit.own.joined(DirectionBank({news.name: news}))
                visit.strengths = _strengths(strengths)
                visit.made += 1
                yield visit.made, _words(news)

    def _told(self, work: Callable[[Tell], Any]) -> Iterator[Any]:
        """What long work tells, and last its result, or its problem in words."""

        def turn(tell: Tell) -> Any:  # noqa: ANN401
            with self._handlers.long.passing(tell=lambda ahead: tell(before_you(ahead).rstrip(" ."))):
                return work(tell)

        told = run_aside("making of the edit", turn)
        while not isinstance(news := told.get(), Outcome):
            yield f"{news[:1].upper()}{news[1:]} ..."
        if news.error is not None:
            yield problem(news.error)
        elif news.result is not None:
            yield news.result

    def _own(self) -> OwnEdits:
        editor = self._handlers.editor
        with self._lock:
            if self._maker is None or self._maker[0] is not editor:
                self._maker = (editor, OwnEdits(editor))
            return self._maker[1]


def _words(edit: EditDirection) -> str:
    if edit.target is not None:
        return f"Made “{edit.label}”: 1 is all of the other face. Its slider stands with the others."
    found = side_effects(edit, own=True)
    does = ", ".join(f"{name} {change:+.1f}" for name, change in found) or "hardly anything that is measured"
    return f"Made “{edit.label}”: a deviation changes {does}. Its slider stands with the others."


def _numbers(text: str, count: int) -> list[float]:
    """JSON numbers of the page.

    Raises:
        DirectionError: It is something else.
    """
    try:
        found = [float(value) for value in json.loads(text or "[]")]
    except (ValueError, TypeError) as error:
        raise DirectionError("the page sent no numbers; reload it") from error
    if len(found) != count or not all(abs(value) <= 1000 for value in found):
        raise DirectionError(f"the page sent {len(found)} numbers; expected {count}")
    return found


def _strengths(text: str) -> dict[str, float]:
    try:
        found = json.loads(text or "{}")
        return {str(name): float(value) for name, value in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
