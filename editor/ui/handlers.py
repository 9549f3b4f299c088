"""What happens when a visitor does something: widget values in, one call of the editor, widget values out."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from editor.photo_editing import open_or_box, start
from editor.photo_session import PhotoSession, session_of_crop
from editor.pipeline import OPTIMISATION_STEPS, Editor
from editor.session import EditSession
from editor.ui.aside import Outcome, run_aside
from editor.ui.examples import Example, invented, make_examples
from editor.ui.frames import Frames
from editor.ui.messages import (
    MODEL_CHANGED,
    NO_FACE_YET,
    STOPPED_EARLY,
    VISIT_OVER,
    before_you,
    gains_of,
    opening_words,
    problem,
    thing_of,
)
from editor.ui.serving.gate import BusyError, Gate, GivenUpError
from editor.ui.serving.live import LiveRoom
from editor.ui.stage import SPACE_LABELS, face_value
from editor.ui.store import GRACE, MAX_VISITS, Visit, VisitStore
from inversion.optimise.search import Progress
from stylegan2.errors import StyleGANError

InUse = tuple[Editor, list[Example], int]  # editor, its examples, how often the model was changed
RETURN = 2.0  # seconds in which the word that a page was left has come
Updates = tuple[Any, Any]  # stage, status line: plain text, which the page never reads as HTML


class Handlers:
    """Event handlers around one `Editor` that serves every visitor.

    Args:
        editor: Does the work.
        examples: Faces to start from.
    """

    def __init__(self, editor: Editor, examples: list[Example]) -> None:
        self.store = VisitStore(grace=GRACE)
        self.turns = Gate(MAX_VISITS)  # of pages that open a photo: each has a turn, and is told its place
        self.light, self.long = Gate(), Gate()  # inversions and drawings, and optimisations: see `Gate`
        # Read and replaced as one, so that nobody sees half of a change of model.
        self._in_use = (editor, examples, 0)
        self.live = LiveRoom(self.store, lambda: self.editor)
        self.frames = Frames(
            self.store, self.light, self._chosen, lambda: self.editor, lambda: self.generation
        )

    @property
    def editor(self) -> Editor:
        """Of the model in use."""
        return self._in_use[0]

    @property
    def examples(self) -> list[Example]:
        """Faces to start from, of the model in use."""
        return self._in_use[1]

    @property
    def generation(self) -> int:
        """How often the model was changed."""
        return self._in_use[2]

    def enter(self, request: gr.Request, back: str | None = None) -> tuple[str, Any, Any, int]:
        """A page was opened: token, stage, status line, and how many edits of its own it has made.

        Args:
            request: Of the page.
            back: Token of the visit that the page had before it was loaded again. Without one, or where that
                is over, the first invented face is on show.
        """
        page = request.session_hash
        visit = self._back(back, page) if back else None
        work = None if visit is None else self.store.work(visit)
        made_by = self._in_use
        if visit is not None and work is not None and work[0] is made_by[0]:
            words = "The photo and its edits are as they were before the page was loaded again."
            return visit.token, *self._show(visit, made_by, work[1], words, work[1]), visit.made
        visit = self.store.open(page)
        hint = f"Open a photo, or move the sliders on this invented {thing_of(self.editor)}."
        return visit.token, *self.show_first(visit, hint), visit.made

    def _back(self, token: str, page: str | None) -> Visit | None:
        """The visit that a page had; the word that the page was left may come after that of its return."""
        end = time.monotonic() + RETURN
        while (visit := self.store.resume(token, page)) is None and self.store.find(token) is not None:
            if time.monotonic() > end:
                return None
            time.sleep(RETURN / 20)
        return visit

    def show_first(self, visit: Visit, status: str) -> Updates:
        """Stage and status line with the first invented face on show."""
        editor, examples, _ = made_by = self._in_use
        first = next(example for example in examples if example.photo is None)
        return self._show(visit, made_by, session_of_crop(invented(editor, first)), status)

    def adopt(self, editor: Editor) -> int:
        """Work with another model from now on; every visit loses its face, which means nothing there.

        Returns:
            How often the model was changed by now.
        """
        examples = make_examples(editor)
        generation = self.store.forget_sessions()
        self.live.close()
        self._in_use = (editor, examples, generation)
        return generation

    def leave(self, request: gr.Request) -> None:
        """A page was closed or reloaded: forget its visit."""
        self.store.close_page(request.session_hash)

    def open_photo(self, path: str | None, token: str | None, action: str | None = None) -> Updates:
        """A photo arrived: find the face, or put a box on it; crop, invert.

        Args:
            path: Of its file.
            token: Of the visit.
            action: Number of the page's choice: one that was overtaken while it was sent is dropped.
        """
        visit = self.store.find(token)
        if path is None:
            return gr.skip(), "No photo came. The last result stays."
        if visit is None:
            Path(path).unlink(missing_ok=True)
            return gr.skip(), VISIT_OVER
        if not self.store.acts(visit, _number(action)):
            Path(path).unlink(missing_ok=True)
            return gr.skip(), gr.skip()
        self.store.add_upload(visit, Path(path))
        return self._open(visit, path)

    def open_example(self, token: str | None, chosen: gr.SelectData, action: str | None = None) -> Updates:
        """An example was clicked; arguments as `open_photo`."""
        visit = self.store.find(token)
        if visit is None:
            return gr.skip(), VISIT_OVER
        if not self.store.acts(visit, _number(action)):
            return gr.skip(), gr.skip()
        editor, examples, _ = made_by = self._in_use
        if chosen.index not in range(len(examples)):
            return gr.skip(), f"There is no such example; there are {len(examples)}."
        example = examples[int(chosen.index)]
        if example.photo is not None:
            return self._open(visit, str(example.photo))
        verb = "Inverted" if editor.has_encoder else "Drawn"
        opened = session_of_crop(invented(editor, example))
        return self._show(visit, made_by, opened, f"{verb}: {example.label}.")

    def _open(self, visit: Visit, path: str) -> Updates:
        made_by = self._in_use
        editor = made_by[0]
        try:
            with self.light.passing():
                photo = open_or_box(editor, path)
                opened = replace(start(editor, photo, photo.first), placed=photo.box is None)
        except StyleGANError as error:
            return gr.skip(), problem(error)
        return self._show(visit, made_by, opened, opening_words(editor, opened))

    def _show(
        self,
        visit: Visit,
        made_by: InUse,
        opened: PhotoSession,
        status: str,
        instead_of: PhotoSession | None = None,
    ) -> Updates:
        """Stage and status line with a new state, which becomes the visit's; see `VisitStore.show`."""
        try:
            value = self._value(visit, made_by, opened, instead_of)
        except BusyError as error:
            return gr.skip(), problem(error)
        if value is None:
            return gr.skip(), gr.skip() if made_by[2] == self.generation else MODEL_CHANGED
        return value, status

    def _chosen(
        self, visit: Visit, editor: Editor, opened: PhotoSession, instead_of: PhotoSession
    ) -> str | None:
        made_by = self._in_use
        # Another model's latents mean nothing to the editor in use.
        return self._value(visit, made_by, opened, instead_of) if made_by[0] is editor else None

    def _value(
        self, visit: Visit, made_by: InUse, opened: PhotoSession, instead_of: PhotoSession | None
    ) -> str | None:
        """What the stage shows of a new state, which becomes the visit's; None where it came too late."""
        editor, _, generation = made_by
        session = opened.session
        version = self.store.show(visit, editor, opened, generation=generation, instead_of=instead_of)
        if version is None:
            return None
        times = " · ".join(f"{name} {value:.0f} ms" for name, value in session.milliseconds.items())
        return face_value(
            visit.token,
            version,
            opened,
            editor.spaces(session),
            timing=times,
            generation=generation,
            thing=thing_of(editor, opened),
        )

    def fit_new(self, token: str | None, steps: float = OPTIMISATION_STEPS) -> Iterator[tuple[Any, Any, Any]]:
        """`optimise` for a face that has just arrived and that no encoder inverted; nothing for any other."""
        if self._awaits_fit(token):
            yield from self.optimise(token, steps)
        else:
            yield gr.skip(), gr.skip(), gr.skip()

    def expect_fit(self, token: str | None) -> tuple[Any, Any]:
        """`expect_optimisation` for a face that `fit_new` will fit; nothing for any other."""
        return self.expect_optimisation(token) if self._awaits_fit(token) else (gr.skip(), gr.skip())

    def expect_optimisation(self, token: str | None) -> tuple[Any, Any]:
        """An optimisation was asked for, and may have to wait: from now on it can be stopped.

        Returns:
            Status line and stop button.
        """
        visit = self.store.find(token)
        if visit is None or visit.opened is None:
            return gr.skip(), gr.skip()
        self.store.expect_work(visit)
        return "Waiting for the optimisation to begin.", gr.update(interactive=True)

    def _awaits_fit(self, token: str | None) -> bool:
        visit = self.store.find(token)
        work = None if visit is None else self.store.work(visit)
        # What nobody has placed yet is not worth the time.
        return work is not None and work[1].placed and work[0].awaits_fit(work[1].session)

    def optimise(self, token: str | None, steps: float) -> Iterator[tuple[Any, Any, Any]]:
        """Optimise the inversion, telling how it goes; ends early at `stop` or when another photo comes.

        `expect_optimisation` comes first.

        Yields:
            Stage, status line, and the stop button, which is alive while this runs.
        """
        ended = gr.update(interactive=False)
        made_by, visit = self._in_use, self.store.find(token)
        work = None if visit is None else self.store.work(visit)
        if visit is None or work is None:
            yield gr.skip(), VISIT_OVER if visit is None else NO_FACE_YET, ended
            return
        (editor, opened, _), stop = work, visit.stop
        if stop.is_set() or editor is not made_by[0]:
            yield gr.skip(), STOPPED_EARLY, ended
            return

        def search(tell: Callable[[Progress | int], None]) -> EditSession:
            def report(progress: Progress) -> bool:
                tell(progress)
                return not stop.is_set()

            with self.long.passing(stop.is_set, tell):
                return editor.optimise(opened.session, int(steps), report)

        told = run_aside("optimisation", search)
        while not isinstance(news := told.get(), Outcome):
            if visit.opened is opened:  # no other photo came meanwhile
                status = before_you(news) if isinstance(news, int) else _words(news)
                yield gr.skip(), status, gr.update(interactive=True)
        yield *self._optimised(visit, made_by, opened, news), ended

    def _optimised(
        self, visit: Visit, made_by: InUse, opened: PhotoSession, news: Outcome[EditSession]
    ) -> Updates:
        """Stage and status line after an optimisation of the chosen face of `opened`."""
        if visit.opened is not opened:
            return gr.skip(), gr.skip()
        if news.result is None:
            error = news.error
            return gr.skip(), STOPPED_EARLY if isinstance(error, GivenUpError | None) else problem(error)
        done = "Stopped" if news.result.inversion.stopped else "Optimised"
        gains = gains_of(made_by[0], opened.session, news.result)
        text = f"{done} after {news.result.inversion.steps} steps in all: {gains}."
        return self._show(visit, made_by, opened.updated(news.result), text, instead_of=opened)

    def stop(self, token: str | None) -> None:
        """Cancel a running optimisation; the best latents so far are kept."""
        visit = self.store.find(token)
        if visit is not None:
            visit.stop.set()


def _words(progress: Progress) -> str:
    where = f"Optimising {SPACE_LABELS[progress.space]}"
    return f"{where}: step {progress.step} of {progress.steps}, {progress.psnr:.1f} dB"


def _number(action: str | None) -> int | None:
    return int(action) if action and action.isdecimal() and len(action) < 10 else None
