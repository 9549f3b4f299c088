"""BatchPanel: many photos of a visitor, edited all at once as the sliders stand."""

import html
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from editor.batch.run import BatchWork, Done
from editor.batch.sources import Item
from editor.batch.zipped import MOST_BYTES, MOST_PHOTOS, run_zipped, sent_items
from editor.ui.aside import Outcome, run_aside
from editor.ui.handlers import Handlers
from editor.ui.messages import VISIT_OVER, problem
from editor.ui.page import PhotosButton
from editor.ui.serving.asked import check_space, check_strengths
from editor.ui.store import Visit, VisitStore
from stylegan2.errors import ConfigError, StyleGANError

NAME = "edited-photos.zip"
NOT_FOUND = 404
Updates = tuple[Any, Any, Any]  # link to the results, status line of the panel, stop button
# What the page knows of the sliders: strengths of the face that is being edited, and the space.
_SLIDERS = "JSON.stringify({ strengths: window.facePump.strengths, space: window.facePump.space })"
_EVENT: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


class BatchPanel:
    """Edits what visitors send, each for itself; files and results go with the visit.

    Args:
        handlers: Know the visits, the editor in use, and whose turn it is.
    """

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def take(self, files: list[str], token: str | None) -> str:
        """Files arrived: what is to be edited; answers with the panel's status line."""
        paths, store = [Path(file) for file in files], self._handlers.store
        visit = store.find(token)
        if visit is None:
            for path in paths:
                path.unlink(missing_ok=True)
            return VISIT_OVER
        store.take_batch(visit, paths)
        try:
            items = sent_items(paths)
        except StyleGANError as error:
            store.take_batch(visit, [])
            return problem(error)
        return f"Ready to be edited: {len(items)}. Move the sliders, then edit all."

    def run(self, token: str | None, every_face: bool, sliders: str) -> Iterator[Updates]:
        """Edit all files as the sliders stand, telling how it goes; `stop` ends it early.

        Args:
            token: Of the visit.
            every_face: Whether all faces of each photo are edited, or its largest.
            sliders: JSON, {"strengths", "space"}.
        """
        visit, ended = self._handlers.store.find(token), gr.update(interactive=False)
        if visit is None:
            yield gr.skip(), VISIT_OVER, ended
            return
        visit.halt.clear()
        out = Path(get_upload_folder()) / secrets.token_urlsafe(16) / "results" / NAME
        try:
            items, work = sent_items(visit.batch), self._work(visit, every_face, sliders)
        except StyleGANError as error:
            yield gr.skip(), problem(error), ended
            return

        def edit(tell: Callable[[str], None]) -> Done:
            return self._edited(visit, items, work, out, tell)

        told = run_aside("editing of many photos", edit)
        while not isinstance(news := told.get(), Outcome):
            yield gr.skip(), news, gr.update(interactive=True)
        if news.result is None:
            yield gr.skip(), problem(news.error) if news.error else gr.skip(), ended
            return
        done, how = news.result, "Stopped" if visit.halt.is_set() else "Done"
        link = self._link(visit, out)
        yield link, f"{how}: {done.edited} edited, {done.failed} failed.", ended

    def stop(self, token: str | None) -> None:
        """End `run` after the photo that is being edited; what is done is kept."""
        visit = self._handlers.store.find(token)
        if visit is not None:
            visit.halt.set()

    def _work(self, visit: Visit, every_face: bool, sliders: str) -> BatchWork:
        try:
            asked = json.loads(sliders or "{}")
            strengths, space = asked["strengths"], asked["space"]
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError("sliders: the page sent none; reload it") from error
        have = self._handlers.editor.directions.joined(visit.own)
        return BatchWork(
            strengths=check_strengths(have, strengths),
            space=None if space is None else check_space(space),
            every_face=bool(every_face),
            own=visit.own,
        )

    def _edited(
        self, visit: Visit, items: list[Item], work: BatchWork, out: Path, tell: Callable[[str], None]
    ) -> Done:
        handlers, editor = self._handlers, self._handlers.editor

        @contextmanager
        def turn() -> Iterator[None]:
            # Without an encoder every photo takes an optimisation, beside which others open theirs.
            gates = [handlers.turns, handlers.light] if editor.has_encoder else [handlers.long]
            with ExitStack() as passed:
                for gate in gates:
                    passed.enter_context(gate.passing())
                yield

        def stopped() -> bool:
            handlers.store.find(visit.token)  # a sign of life: the visit lasts while its photos are edited
            return visit.halt.is_set() or editor is not handlers.editor

        out.parent.mkdir(parents=True)
        try:
            return run_zipped(editor, items, work, out, turn=turn, stopped=stopped, report=tell)
        finally:
            handlers.store.add_upload(visit, out)  # it goes with the visit, even if that is over by now

    def _link(self, visit: Visit, out: Path) -> str:
        size = out.stat().st_size / 1e6 if out.exists() else 0.0
        address = html.escape(f"./batch/{self._handlers.store.give_result(visit, out)}")
        return f'<a class="own-file" href="{address}" download="{NAME}">Save {NAME} ({size:.1f} MB)</a>'


def batch_route(store: VisitStore) -> Route:
    """The door by which results leave, under names that nobody can guess."""

    async def answer(request: Request) -> Response:
        file = store.result(request.path_params["name"])
        if file is None or not file.is_file():
            return PlainTextResponse("These photos went with their page.\n", status_code=NOT_FOUND)
        return FileResponse(
            file, filename=NAME, media_type="application/zip", headers={"Cache-Control": "no-store"}
        )

    return Route("/batch/{name}", answer, methods=["GET"])


def build_batch(panel: BatchPanel, token: gr.State, text: Callable[[str, str], gr.HTML]) -> None:
    """The panel's widgets, closed at first.

    Args:
        panel: Does the work.
        token: Of the visit.
        text: Builds a status line of a text and a name.
    """
    with gr.Accordion("Many photos", open=False, elem_id="batch"):
        gr.Markdown(
            f"Edits up to {MOST_PHOTOS} photos, or zips of them, {MOST_BYTES // 10**6} MB together, as the "
            "sliders stand, and gives them back as a zip."
        )
        with gr.Group(elem_id="batch-files"):
            choose = PhotosButton("Choose photos or a zip", file_count="multiple", size="sm")
            folder = PhotosButton(
                "Choose a folder", file_count="directory", size="sm", elem_id="batch-folder"
            )
        every_face = gr.Checkbox(label="Every face", info="not only the largest", elem_id="batch-every-face")
        with gr.Row():
            start = gr.Button("Edit all", variant="primary", size="sm", elem_id="batch-start", min_width=80)
            stop = gr.Button("Stop", size="sm", interactive=False, elem_id="batch-stop", min_width=80)
        status = text("", "batch-status")
        link = gr.HTML("", elem_id="batch-link")
    sliders = gr.Textbox(visible="hidden")
    for button in (choose, folder):
        button.upload(panel.take, [button, token], status, **_EVENT)
    start.click(
        panel.run,
        [token, every_face, sliders],
        [link, status, stop],
        js=f"(token, every, _) => [token, every, {_SLIDERS}]",
        concurrency_limit=4,
        concurrency_id="batch",
        **_EVENT,
    )
    stop.click(panel.stop, token, None, queue=False, api_visibility="private")
