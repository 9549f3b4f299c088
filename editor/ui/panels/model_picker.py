"""ModelPicker: another model for a running app."""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from editor.model.hub import Report
from editor.pipeline import Editor
from editor.ui.aside import Outcome, run_aside
from editor.ui.handlers import Handlers
from editor.ui.messages import VISIT_OVER, problem
from editor.ui.serving.workplace import give_memory_back

OpenModel = Callable[[str, Report], Editor]
PickerUpdates = tuple[Any, Any, Any, Any, Any]  # generation, card, footer, stage, status line


class ModelPicker:
    """Opens models by name and hands them to the app's handlers.

    There is one model for all who look at the app: whoever changes it changes it for everyone. So this is
    for people on their own machine.

    Args:
        handlers: Work with the new model from then on.
        open_model: A bundled model, path or repository, and what to tell meanwhile -> its editor.
        footer: What the page's last line says of an editor.
    """

    def __init__(self, handlers: Handlers, open_model: OpenModel, footer: Callable[[Editor], str]) -> None:
        self._handlers, self._open, self._footer = handlers, open_model, footer

    def choose(self, name: str, token: str | None) -> Iterator[PickerUpdates]:
        """Open another model, telling how it goes. The old one stays where the new one cannot be had."""
        visit = self._handlers.store.find(token)
        if visit is None:
            yield *[gr.skip()] * 4, VISIT_OVER
            return

        def work(report: Report) -> Editor:
            return self._open(name, report)

        told = run_aside("opening of the model", work)
        while not isinstance(news := told.get(), Outcome):
            yield *[gr.skip()] * 4, f"{news} ..."
        if news.result is None:
            yield *[gr.skip()] * 4, problem(news.error) if news.error else gr.skip()
            return
        editor = news.result
        generation = self._handlers.adopt(editor)
        del news
        give_memory_back()
        stage, status = self._handlers.show_first(visit, f"Opened {editor.card.name}.")
        yield generation, *self.told(), stage, status

    def told(self) -> tuple[str, str]:
        """What the page says of the model in use: its card, and the footer."""
        editor = self._handlers.editor
        return editor.card.text, self._footer(editor)
