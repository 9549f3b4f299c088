"""ModelPicker: another model for a running app."""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from editor.model.hub import Report
from editor.model.shelf import ModelShelf
from editor.pipeline import Editor
from editor.ui.aside import Outcome, run_aside
from editor.ui.handlers import Handlers
from editor.ui.messages import VISIT_OVER, problem
from editor.ui.serving.workplace import give_memory_back

_SKIPPED = [gr.skip()] * 5
OpenModel = Callable[[str, Report], Editor]
PickerUpdates = tuple[Any, Any, Any, Any, Any, Any]  # generation, card, list, footer, stage, status line
NAMELESS = "No model was named: choose one of the list, or name a file, a folder or owner/name."


class ModelPicker:
    """Opens models by name and hands them to the app's handlers.

    There is one model for all who look at the app: whoever changes it changes it for everyone. So this is
    for people on their own machine.

    Args:
        handlers: Work with the new model from then on.
        open_model: A bundled model, path or repository, and what to tell meanwhile -> its editor.
        footer: What the page's last line says of an editor.
        shelf: Models that are known by name.
    """

    def __init__(
        self,
        handlers: Handlers,
        open_model: OpenModel,
        footer: Callable[[Editor], str],
        shelf: ModelShelf,
    ) -> None:
        self._handlers, self._open, self._footer, self._shelf = handlers, open_model, footer, shelf

    def choose(self, name: str | None, token: str | None) -> Iterator[PickerUpdates]:
        """Open another model, telling how it goes. The old one stays where the new one cannot be had.

        Args:
            name: As a card or the list says it, or what `resolve_model` takes.
            token: Of the visit.
        """
        visit, wanted = self._handlers.store.find(token), (name or "").strip()
        if visit is None or not wanted:
            yield *_SKIPPED, NAMELESS if visit else VISIT_OVER
            return
        if wanted == self._handlers.editor.card.name:
            yield *_SKIPPED, f"{wanted} is open already."
            return

        def work(report: Report) -> Editor:
            return self._open(self._shelf.source_of(wanted), report)

        told = run_aside("opening of the model", work)
        while not isinstance(news := told.get(), Outcome):
            yield *_SKIPPED, f"{news} ..."
        if news.result is None:
            yield *_SKIPPED, problem(news.error) if news.error else gr.skip()
            return
        editor = news.result
        self._shelf.note(editor.card.name, self._shelf.source_of(wanted))
        generation = self._handlers.adopt(editor)
        del news
        give_memory_back()
        stage, status = self._handlers.show_first(visit, f"Opened {editor.card.name}.")
        yield generation, *self.told(), stage, status

    def told(self) -> tuple[str, Any, str]:
        """What the page says of models: the card of the one in use, a list of others, and the footer."""
        editor = self._handlers.editor
        known = [(f"{model.name} ({model.origin})", model.source) for model in self._shelf.known()]
        return editor.card.text, gr.update(choices=known, value=None), self._footer(editor)
