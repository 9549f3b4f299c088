"""VisitStore: what the server remembers of each visitor, and forgets with the visit."""

import contextlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from editor.session import EditSession

MAX_VISITS = 64  # a visit holds about 0.2 MB at 128 px
MAX_AGE = 3600.0  # seconds without a sign of life


@dataclass(kw_only=True)
class Visit:
    """One browser page: its last good session and the files that it uploaded."""

    token: str  # the page's key to this visit; unguessable
    page: str | None = None  # Gradio's name for the page, told again when it closes
    session: EditSession | None = None
    stop: threading.Event = field(default_factory=threading.Event)  # set: cancel the running refinement
    uploads: set[Path] = field(default_factory=set)
    seen: float = 0.0  # clock reading of the last access


class VisitStore:
    """Visits by token; a token opens its own visit and no other.

    Old and surplus visits are dropped with their files.

    Args:
        clock: Seconds from any start.
        capacity: Visits kept at most.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, capacity: int = MAX_VISITS) -> None:
        self._clock, self._capacity = clock, capacity
        self._visits: OrderedDict[str, Visit] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, page: str | None = None) -> Visit:
        """Begin a visit by the page that Gradio calls `page`."""
        visit = Visit(token=secrets.token_urlsafe(24), page=page, seen=self._clock())
        with self._lock:
            self._visits[visit.token] = visit
            for old in self._surplus():
                self._forget(old)
        return visit

    def find(self, token: object) -> Visit | None:
        """The visit with this token, or None if it is over or never was."""
        with self._lock:
            visit = self._visits.get(token) if isinstance(token, str) else None
            if visit is not None:
                visit.seen = self._clock()
                self._visits.move_to_end(visit.token)
            return visit

    def add_upload(self, visit: Visit, file: Path) -> None:
        """Note that `file` is to be deleted with the visit; at once, if that is over already."""
        with self._lock:
            visit.uploads.add(file)
            if visit.token not in self._visits:
                self._forget(visit)

    def close_page(self, page: str | None) -> None:
        """End the visits of a page: their latents go, their uploads are deleted from the disk."""
        with self._lock:
            for visit in [visit for visit in self._visits.values() if page and visit.page == page]:
                del self._visits[visit.token]
                self._forget(visit)

    def forget_sessions(self) -> None:
        """Take the face from every visit, and cancel what is being refined."""
        with self._lock:
            for visit in self._visits.values():
                visit.stop.set()
                visit.session = None

    def __len__(self) -> int:
        """Number of open visits."""
        return len(self._visits)

    def _surplus(self) -> list[Visit]:
        dropped = []
        while self._visits:
            oldest = next(iter(self._visits.values()))
            if len(self._visits) <= self._capacity and self._clock() - oldest.seen <= MAX_AGE:
                break
            dropped.append(self._visits.pop(oldest.token))
        return dropped

    def _forget(self, visit: Visit) -> None:
        visit.stop.set()
        # Gradio keeps equal files of two visitors as one.
        shared = set().union(*(other.uploads for other in self._visits.values()))
        for file in visit.uploads - shared:
            file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it holds something else, or is gone
                file.parent.rmdir()
