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
    """Lets callers through one by one; those who come while many wait are turned away.

    Args:
        most_waiting: Callers that may wait.
    """

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(most_waiting + 1)  # the one inside has a place too

    @contextmanager
    def passing(self, given_up: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Wait for one's turn, and keep it while the block runs.

        Args:
            given_up: Asked now and then while one waits.

        Raises:
            BusyError: There is no place to wait.
            GivenUpError: `given_up` answered that nobody waits for the result any more.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError("The server has too much to do at the moment; try again in a minute.")
        try:
            while not self._lock.acquire(timeout=PATIENCE):
                if given_up():
                    raise GivenUpError("Given up before it began.")
            try:
                yield
            finally:
                self._lock.release()
        finally:
            self._places.release()
