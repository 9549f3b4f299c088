"""Gate: one heavy call at a time, whatever door it comes through."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stylegan2.errors import StyleGANError

MOST_WAITING = 16  # a waiting call holds what it was sent
PATIENCE = 0.2  # seconds between two looks at whether a waiting call was given up


class BusyError(StyleGANError):
    """Too many wait already."""


class GivenUpError(StyleGANError):
    """The call was given up while it waited."""


class Gate:
    """Lets callers through one by one, in the order in which they came; beyond so many they are turned away.

    Args:
        most_waiting: Callers that may wait.
    """

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._most = most_waiting + 1  # the one inside has a place too
        self._callers: list[object] = []  # the first of them is inside
        self._changed = threading.Condition()

    @contextmanager
    def passing(
        self, given_up: Callable[[], bool] = lambda: False, tell: Callable[[int], object] = lambda ahead: None
    ) -> Iterator[None]:
        """Wait for one's turn, and keep it while the block runs.

        Args:
            given_up: Asked now and then while one waits.
            tell: Told how many come first, whenever that has changed, and 0 at the end of the wait; nothing
                where there is no wait. Must be quick: it holds up the others.

        Raises:
            BusyError: There is no place to wait.
            GivenUpError: `given_up` answered that nobody waits for the result any more.
        """
        caller = object()
        with self._changed:
            if len(self._callers) >= self._most:
                raise BusyError("The server has too much to do at the moment; try again in a minute.")
            self._callers.append(caller)
        try:
            self._wait(caller, given_up, tell)
            yield
        finally:
            with self._changed:
                self._callers.remove(caller)
                self._changed.notify_all()

    def _wait(self, caller: object, given_up: Callable[[], bool], tell: Callable[[int], object]) -> None:
        told = 0
        with self._changed:
            while ahead := self._callers.index(caller):
                if ahead != told:
                    tell(ahead)
                    told = ahead
                self._changed.wait(PATIENCE)
                if given_up():
                    raise GivenUpError("Given up before it began.")
            if told:
                tell(0)
