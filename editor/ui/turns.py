"""in_turn: a handler that waits for its turn, and tells its visitor how many come first."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from functools import wraps
from typing import Any

from editor.ui.aside import Outcome, start_aside
from editor.ui.messages import before_you, problem
from editor.ui.serving.gate import Gate

Updates = tuple[Any, ...]


def in_turn(
    gate: Gate, handler: Callable[..., Updates], say: Callable[[str], Updates]
) -> Callable[..., AsyncIterator[Updates]]:
    """The handler as one for Gradio, which takes its turn at `gate` in a thread of its own.

    Who waits in Gradio's own queue is shown figures over the last status; and each who waits in a handler of
    Gradio's would take a thread from those that answer sliders.

    Args:
        gate: Where turns are taken.
        handler: What is done, once, when it is its turn.
        say: Updates that put a text into the status line, and leave the rest.
    """

    @wraps(handler)  # Gradio reads its signature
    async def taking_turns(*values: Any) -> AsyncIterator[Updates]:  # noqa: ANN401
        loop, gone = asyncio.get_running_loop(), threading.Event()
        news: asyncio.Queue[int | Outcome[Updates]] = asyncio.Queue()

        def tell(what: int | Outcome[Updates]) -> None:
            with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(news.put_nowait, what)

        def work(tell: Callable[[int], None]) -> Updates:
            with gate.passing(gone.is_set, tell):
                return handler(*values)

        start_aside(handler.__name__.replace("_", " "), work, tell)
        try:
            while not isinstance(what := await news.get(), Outcome):
                yield say(before_you(what))
            if what.result is not None:
                yield what.result
            elif what.error is not None:
                yield say(problem(what.error))
        finally:
            gone.set()

    return taking_turns
