"""VisitStore: what the server remembers of each visitor, and forgets with the visit."""

import contextlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from editor.own.maker import RatedFace
from editor.photo_session import PhotoSession
from editor.pipeline import Editor
from inversion.directions.bank import DirectionBank

MAX_VISITS = 64  # a visit holds some megabytes: a view of its photo, and about two of every face
MAX_AGE = 3600.0  # seconds without a sign of life
GRACE = 8.0  # seconds in which a page that was closed may come back: it was only loaded again


@dataclass(kw_only=True)
class Visit:
    """One browser page: its last good photo and the files that it uploaded."""

    token: str  # the page's key to this visit; unguessable
    page: str | None = None  # Gradio's name for the page, told again when it closes
    opened: PhotoSession | None = None
    version: int = 0  # of `opened`: rises with every state that any visit shows
    editor: Editor | None = None  # that made its sessions: another one's latents mean nothing to it
    stop: threading.Event = field(default_factory=threading.Event)  # set: cancel the running optimisation
    uploads: set[Path] = field(default_factory=set)
    own: DirectionBank = field(default_factory=lambda: DirectionBank({}))  # edits that it made
    made: int = 0  # how many it has made
    strengths: dict[str, float] = field(default_factory=dict)  # where its sliders stood when it made the last
    rated: list[RatedFace] = field(default_factory=list)  # faces that it is shown to judge
    rounds: int = 0  # of such faces
    seen: float = 0.0  # clock reading of the last access
    left: float | None = None  # and of when its page was closed
    action: int = 0  # number of the page's newest choice of a face
    batch: list[Path] = field(default_factory=list)  # files that it sent to be edited all at once
    result: tuple[str, Path] | None = None  # what came of such files, under a name that nobody can guess
    halt: threading.Event = field(default_factory=threading.Event)  # set: end what is done to these files


class VisitStore:
    """Visits by token; a token opens its own visit and no other.

    Old and surplus visits are dropped with their files.

    Args:
        clock: Seconds from any start.
        capacity: Visits kept at most.
        grace: Seconds that visits outlive their page.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        capacity: int = MAX_VISITS,
        grace: float = 0.0,
    ) -> None:
        self._clock, self._capacity, self._grace = clock, capacity, grace
        self._visits: OrderedDict[str, Visit] = OrderedDict()
        self._lock = threading.Lock()
        self._generation = self._version = 0
        self.visited = threading.Event()  # whether anybody has come yet

    def open(self, page: str | None = None) -> Visit:
        """Begin a visit by the page that Gradio calls `page`."""
        visit = Visit(token=secrets.token_urlsafe(24), page=page, seen=self._clock())
        with self._lock:
            self._visits[visit.token] = visit
            for old in self._surplus():
                self._forget(old)
        self.visited.set()
        return visit

    def resume(self, token: object, page: str | None) -> Visit | None:
        """The visit of a page that was closed a moment ago and is open again, now called `page`.

        Returns:
            None where there is no such visit, or its page is open still: this one is a copy of that.
        """
        with self._lock:
            visit = self._visits.get(token) if isinstance(token, str) else None
            if visit is None or visit.left is None:
                return None
            visit.page, visit.left, visit.seen = page, None, self._clock()
            self._visits.move_to_end(visit.token)
            return visit

    def find(self, token: object) -> Visit | None:
        """The visit with this token, or None if it is over or never was."""
        with self._lock:
            visit = self._visits.get(token) if isinstance(token, str) else None
            if visit is not None:
                visit.seen = self._clock()
                self._visits.move_to_end(visit.token)
            return visit

    def work(self, visit: Visit) -> tuple[Editor, PhotoSession, int] | None:
        """The visit's photo, the editor that it belongs to, and its version; None where it has none yet."""
        with self._lock:
            if visit.opened is None or visit.editor is None:
                return None
            return visit.editor, visit.opened, visit.version

    def show(
        self,
        visit: Visit,
        editor: Editor,
        opened: PhotoSession,
        *,
        generation: int,
        instead_of: PhotoSession | None = None,
    ) -> int | None:
        """Give a visit a photo, or another state of its photo, unless something newer happened meanwhile.

        What is being optimised for the visit is cancelled.

        Args:
            visit: Whose.
            editor: That made the sessions.
            opened: The new state.
            generation: Of the models, when the making began.
            instead_of: What the new state was made from; None for one made from scratch.

        Returns:
            The new state's version, at least 1; None where it is not the visit's now, since the model was
            changed meanwhile, or the visit has another state than `instead_of`.
        """
        with self._lock:
            newer = instead_of is not None and visit.opened is not instead_of
            if generation != self._generation or newer:
                return None
            visit.stop.set()
            self._version += 1
            visit.editor, visit.opened, visit.version = editor, opened, self._version
            return visit.version

    def acts(self, visit: Visit, action: int | None) -> bool:
        """Whether a choice of a face is the page's newest, as far as is known: an upload takes its time.

        Args:
            visit: Whose.
            action: Its number, which rises with every choice; None where nobody counts.
        """
        with self._lock:
            if action is not None and action < visit.action:
                return False
            visit.action = max(visit.action, action or 0)
            return True

    def expect_work(self, visit: Visit) -> threading.Event:
        """A fresh signal by which the next optimisation of a visit is cancelled, from before it begins."""
        with self._lock:
            visit.stop = threading.Event()
            return visit.stop

    def add_upload(self, visit: Visit, file: Path) -> None:
        """Note that `file` is to be deleted with the visit; at once, if that is over already."""
        with self._lock:
            visit.uploads.add(file)
            if visit.token not in self._visits:
                self._forget(visit)

    def take_batch(self, visit: Visit, files: list[Path]) -> None:
        """Note files that were sent to be edited all at once; those that were sent before go."""
        with self._lock:
            for old in set(visit.batch) - set(files):
                visit.uploads.discard(old)
                _delete(old)
            visit.batch = files
        for file in files:
            self.add_upload(visit, file)

    def give_result(self, visit: Visit, file: Path) -> str:
        """Keep what came of such files until the next such result; the name that `result` knows it by."""
        name = secrets.token_urlsafe(24)
        with self._lock:
            if visit.result is not None:
                visit.uploads.discard(visit.result[1])
                _delete(visit.result[1])
            visit.result = (name, file)
        self.add_upload(visit, file)
        return name

    def result(self, name: str) -> Path | None:
        """The file that `give_result` gave this name, while its visit lasts."""
        with self._lock:
            results = (visit.result for visit in self._visits.values() if visit.result is not None)
            return next((file for known, file in results if known == name), None)

    def files(self) -> set[Path]:
        """What the open visits uploaded."""
        with self._lock:
            return set().union(*(visit.uploads for visit in self._visits.values()))

    def close_page(self, page: str | None) -> None:
        """End the visits of a page, after the grace: latents go, uploads are deleted from the disk."""
        with self._lock:
            for visit in self._visits.values():
                if page and visit.page == page:
                    visit.left = self._clock()
        if self._grace:
            timer = threading.Timer(self._grace, self.sweep)
            timer.daemon = True
            timer.start()
        else:
            self.sweep()

    def sweep(self) -> None:
        """End the visits whose page was closed longer ago than the grace, and those that grew old."""
        with self._lock:
            for old in self._surplus():
                self._forget(old)
            end = self._clock() - self._grace
            for visit in [each for each in self._visits.values() if each.left is not None]:
                if visit.left is not None and visit.left <= end:
                    del self._visits[visit.token]
                    self._forget(visit)

    def forget_sessions(self) -> int:
        """Take the face from every visit, and cancel what is being optimised: the model is changed.

        Returns:
            The new generation of the models, see `show`.
        """
        with self._lock:
            for visit in self._visits.values():
                visit.stop.set()
                visit.opened = visit.editor = None
                visit.own, visit.rated = DirectionBank({}), []  # another model's latents
            self._generation += 1
            return self._generation

    def close(self) -> None:
        """End every visit: the server ends."""
        with self._lock:
            while self._visits:
                self._forget(self._visits.popitem()[1])

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
        visit.halt.set()
        for file in visit.uploads:
            _delete(file)


def _delete(file: Path) -> None:
    file.unlink(missing_ok=True)
    for folder in list(file.parents)[:2]:  # the upload's own, and what Gradio makes in it
        with contextlib.suppress(OSError):  # it holds something else, or is gone
            folder.rmdir()
