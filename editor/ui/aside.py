"""Long work in a thread of its own, told about while it lasts."""

import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from stylegan2.errors import StyleGANError

News = TypeVar("News")
Result = TypeVar("Result")


class Outcome(Generic[Result]):
    """How the work ended: with a result, or with an error."""

    def __init__(self, result: Result | None, error: StyleGANError | None) -> None:
        self.result, self.error = result, error


def run_aside(
    name: str, work: Callable[[Callable[[News], None]], Result]
) -> "queue.SimpleQueue[News | Outcome[Result]]":
    """Start `work` in a thread; it is given a function that passes news on.

    Args:
        name: Of the thread, and of the work in the message where it breaks.
        work: Raises `StyleGANError` where the user is at fault.

    Returns:
        Its news as they come, and last the `Outcome`.
    """
    told: queue.SimpleQueue[News | Outcome[Result]] = queue.SimpleQueue()
    start_aside(name, work, told.put)
    return told


def start_aside(
    name: str,
    work: Callable[[Callable[[News], None]], Result],
    tell: "Callable[[News | Outcome[Result]], None]",
) -> None:
    """`run_aside` for who is told by a call, in the thread of the work, instead of looking into a queue."""

    def run() -> None:
        outcome: Outcome[Result] = Outcome(
            None, StyleGANError(f"The {name} failed; the server's log says why")
        )
        try:
            outcome = Outcome(work(tell), None)
        except StyleGANError as error:
            outcome = Outcome(None, error)
        finally:
            tell(outcome)

    # In the caller's context: Gradio tells by it whose event this is.
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name=name, daemon=True).start()
