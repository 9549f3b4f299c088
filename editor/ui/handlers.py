"""What happens when a visitor does something: widget values in, one call of the editor, widget values out."""

import base64
import binascii
import html
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import gradio as gr

from editor.errors import ImageInputError
from editor.export import encode_png
from editor.pipeline import OPTIMISATION_STEPS, Editor
from editor.session import EditSession
from editor.ui.aside import Outcome, run_aside
from editor.ui.examples import Example, make_examples
from editor.ui.stage import SPACE_LABELS, SpaceView, data_uri, face_value, jpeg_uri
from editor.ui.store import Visit, VisitStore
from inversion.errors import StrengthError
from inversion.search import Progress
from stylegan2.errors import StyleGANError

Updates = tuple[Any, Any]  # stage, status line: plain text, which the page never reads as HTML
VISIT_OVER = "This visit is over: reload the page."
MODEL_CHANGED = "The model was changed: reload the page."
NO_FACE_YET = "There is no face yet: upload a photo or choose an example."


def problem(error: StyleGANError) -> str:
    """A refusal, as the status line says it."""
    return f"⚠ {str(error).rstrip('.')}. The last good result stays."


def decode_photo(text: object) -> bytes:
    """The bytes of a photo that a program sent as base64, with or without a data: address before it.

    Raises:
        ImageInputError: Something else was sent.
    """
    found = f"a text of {len(text)} characters" if isinstance(text, str) else type(text).__name__
    try:
        if isinstance(text, str):
            return base64.b64decode(text.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        pass
    raise ImageInputError(
        f"photo: got {found}; send the file's bytes as base64, or as data:image/...;base64,..."
    )


def check_strengths(strengths: object) -> dict[str, Any]:
    """`strengths` if it is a mapping at all; what is in it, the editor checks.

    Raises:
        StrengthError: It is none.
    """
    if not isinstance(strengths, dict):
        found = type(strengths).__name__
        raise StrengthError(f"strengths: got {found}; send a number for each direction by name")
    return strengths


class Handlers:
    """Event handlers around one `Editor` that serves every visitor.

    Args:
        editor: Does the work.
        examples: Faces to start from.
    """

    def __init__(self, editor: Editor, examples: list[Example]) -> None:
        self.editor, self.examples = editor, examples
        self.generation = 0  # how often the model was changed
        self.store = VisitStore()
        self._versions = itertools.count()

    def enter(self, request: gr.Request) -> tuple[str, Any, Any]:
        """A page was opened: token, stage and status line, with the first invented face on show."""
        visit = self.store.open(request.session_hash)
        hint = "Upload a photo, take one, or move the sliders on this invented face."
        return visit.token, *self.show_first(visit, hint)

    def show_first(self, visit: Visit, status: str) -> Updates:
        """Stage and status line with the first invented face on show."""
        first = next(example for example in self.examples if example.photo is None)
        return self._show(visit, self._invented(first), status)

    def adopt(self, editor: Editor) -> int:
        """Work with another model from now on; every visit loses its face, which means nothing there.

        Returns:
            How often the model was changed by now.
        """
        examples = make_examples(editor)
        self.store.forget_sessions()
        self.editor, self.examples = editor, examples
        self.generation += 1
        return self.generation

    def leave(self, request: gr.Request) -> None:
        """A page was closed or reloaded: forget its visit."""
        self.store.close_page(request.session_hash)

    def open_photo(self, path: str | None, token: str | None) -> Updates:
        """A photo arrived (or was cleared): find the face, align, invert."""
        visit = self.store.find(token)
        if path is None:
            return gr.skip(), "Upload a photo with a face. The last result stays until then."
        if visit is None:
            Path(path).unlink(missing_ok=True)
            return gr.skip(), VISIT_OVER
        self.store.add_upload(visit, Path(path))
        return self._open(visit, path)

    def open_example(self, token: str | None, chosen: gr.SelectData) -> Updates:
        """An example was clicked."""
        visit = self.store.find(token)
        if visit is None:
            return gr.skip(), VISIT_OVER
        if chosen.index not in range(len(self.examples)):
            return gr.skip(), f"There is no example {chosen.index}; there are {len(self.examples)}."
        example = self.examples[int(chosen.index)]
        if example.photo is not None:
            return self._open(visit, str(example.photo))
        verb = "Inverted" if self.editor.has_encoder else "Drawn"
        return self._show(visit, self._invented(example), f"{verb}: {example.label}.")

    def _invented(self, example: Example) -> EditSession:
        """An invented face, as the encoder sees it; as it was drawn where there is no encoder."""
        if self.editor.has_encoder:
            return self.editor.invert_crop(example.picture)
        return self.editor.sample(example.seed)

    def _open(self, visit: Visit, path: str) -> Updates:
        try:
            session = self.editor.invert(path)
        except StyleGANError as error:
            gr.Warning(html.escape(str(error)))  # on a phone the status line may be out of sight
            return gr.skip(), problem(error)
        done = "Found, aligned and inverted the face."
        if self.editor.awaits_fit(session):
            done = "Found and aligned the face. This model has no encoder: its latents are searched for."
        return self._show(visit, session, " ".join([done, *session.notes]))

    def _show(self, visit: Visit, session: EditSession, status: str) -> Updates:
        views = [self._view(session, space) for space in self.editor.spaces(session)]
        visit.stop.set()
        visit.session = session
        times = " · ".join(f"{name} {value:.0f} ms" for name, value in session.milliseconds.items())
        version = next(self._versions)
        fit = self.editor.fit(session)
        face = face_value(
            visit.token, version, session.crop, views, session.space, times, fit, self.generation
        )
        return face, status

    def _view(self, session: EditSession, space: str) -> SpaceView:
        start = time.perf_counter()
        pixels = self.editor.reconstruct(self.editor.enter(session, space))
        milliseconds = (time.perf_counter() - start) * 1e3
        f = session.inversion.f
        drawn_before = space == "f" and f is not None and f.pixels is not None
        return SpaceView(
            space=space,
            pixels=pixels,
            milliseconds=session.milliseconds["invert"] if drawn_before else milliseconds,
            with_inversion=drawn_before,
            likeness=self.editor.likeness(session, pixels),
        )

    def draw(self, question: object) -> dict[str, Any]:
        """One live frame: {"token", "strengths", "space"} -> {"src", "milliseconds", "engine"} or {"error"}.

        Without a space, the session's own is drawn.
        """
        try:
            session = self._edited(question)
            start = time.perf_counter()
            pixels = self.editor.render(session)
        except StyleGANError as error:
            return {"error": str(error)}
        milliseconds = (time.perf_counter() - start) * 1e3
        return {
            "src": jpeg_uri(pixels),
            "milliseconds": milliseconds,
            "engine": self.editor.engine_name(session),
        }

    def save(self, question: object) -> dict[str, Any]:
        """The edited face as a marked PNG: `draw`'s question -> {"src", "name"} or {"error"}."""
        try:
            session = self._edited(question)
            data = encode_png(self.editor.render(session), session.strengths)
        except StyleGANError as error:
            return {"error": str(error)}
        return {"src": data_uri(data, "png"), "name": "edited.png"}

    def _edited(self, question: object) -> EditSession:
        asked = question if isinstance(question, dict) else {}
        visit = self.store.find(asked.get("token"))
        if visit is None:
            raise StyleGANError(VISIT_OVER)
        if visit.session is None:
            raise StyleGANError(MODEL_CHANGED if self.generation else NO_FACE_YET)
        session = self.editor.enter(visit.session, str(asked.get("space", visit.session.space)))
        return self.editor.edit(session, check_strengths(asked.get("strengths")))

    def fit_new(self, token: str | None, steps: float = OPTIMISATION_STEPS) -> Iterator[tuple[Any, Any, Any]]:
        """`refine` for a face that has just arrived and that no encoder inverted; nothing for any other."""
        visit = self.store.find(token)
        if visit is not None and visit.session is not None and self.editor.awaits_fit(visit.session):
            yield from self.refine(token, steps)
        else:
            yield gr.skip(), gr.skip(), gr.skip()

    def refine(self, token: str | None, steps: float) -> Iterator[tuple[Any, Any, Any]]:
        """Optimise the inversion, telling how it goes; ends early at `stop` or when another photo comes.

        Yields:
            Stage, status line, and the stop button, which is alive while this runs.
        """
        visit = self.store.find(token)
        if visit is None or visit.session is None:
            yield gr.skip(), VISIT_OVER if visit is None else NO_FACE_YET, gr.skip()
            return
        session, visit.stop = visit.session, threading.Event()
        stop = visit.stop

        def work(tell: Callable[[Progress], None]) -> EditSession:
            def report(progress: Progress) -> bool:
                tell(progress)
                return not stop.is_set()

            return self.editor.refine(session, int(steps), report)

        told = run_aside("refinement", work)
        while not isinstance(news := told.get(), Outcome):
            if visit.session is session:  # no other photo came meanwhile
                where = f"Refining {SPACE_LABELS[news.space]}"
                status = f"{where}: step {news.step} of {news.steps}, {news.psnr:.1f} dB"
                yield gr.skip(), status, gr.update(interactive=True)
        ended = gr.update(interactive=False)
        if visit.session is not session:
            yield gr.skip(), gr.skip(), ended
        elif news.result is not None:
            done = "Stopped" if news.result.inversion.stopped else "Refined"
            gains = self._gains(session, news.result)
            text = f"{done} after {news.result.inversion.steps} steps in all: {gains}."
            yield *self._show(visit, news.result, text), ended
        elif news.error is not None:
            yield gr.skip(), problem(news.error), ended

    def _gains(self, before: EditSession, after: EditSession) -> str:
        """What a refinement brought, in every space."""
        gains = []
        for space in self.editor.spaces(before):
            drawn = (self.editor.reconstruct(self.editor.enter(each, space)) for each in (before, after))
            old, new = (cv2.PSNR(after.crop, pixels) for pixels in drawn)
            gains.append(f"{old:.1f} dB became {new:.1f} dB in {SPACE_LABELS[space]}")
        return ", ".join(gains)

    def stop(self, token: str | None) -> None:
        """Cancel a running refinement; the best latents so far are kept."""
        visit = self.store.find(token)
        if visit is not None:
            visit.stop.set()

    def edit_photo(self, photo: str, strengths: dict[str, float]) -> dict[str, str]:
        """For programs: a photo as base64 in, "edited" and "reconstruction" as data: addresses of PNGs out.

        Nothing is remembered, and nothing touches the disk.
        """
        try:
            session = self.editor.invert(decode_photo(photo))
            if self.editor.awaits_fit(session):
                session = self.editor.refine(session, OPTIMISATION_STEPS)
            session = self.editor.edit(session, check_strengths(strengths))
            return {
                "edited": data_uri(encode_png(self.editor.render(session), session.strengths), "png"),
                "reconstruction": data_uri(encode_png(self.editor.reconstruct(session), {}), "png"),
            }
        except StyleGANError as error:
            raise gr.Error(str(error), print_exception=False) from error
