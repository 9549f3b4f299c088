"""What a server holds beside its visits: a folder for its uploads, and memory that goes back."""

import contextlib
import ctypes
import gc
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any

PREFIX = "live-face-editor-"
LOCK = "lock"
MAX_AGE = 1800.0  # seconds that a file stays which no open page has: one that just opens may have it
ROUND = 60.0  # seconds between two rounds of sweeping
ABANDONED = 7 * 86400.0  # seconds after which a workplace counts as left where locks are not known


class Workplace:
    """Make the folder, and tell Gradio of it; what servers that were killed left behind is deleted.

    Every server has its own: Gradio's usual folder is shared by all its apps, so that nobody may empty it.

    Args:
        parent: Where; None for what GRADIO_TEMP_DIR names, or the system's folder of temporary files.
    """

    def __init__(self, parent: Path | None = None) -> None:
        if parent is None:
            parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
        parent.mkdir(parents=True, exist_ok=True)
        _sweep_left(parent)
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # that nobody else may read
        self._lock = (self.folder / LOCK).open("wb")
        _locked(self._lock)
        os.environ["GRADIO_TEMP_DIR"] = str(self.folder / "uploads")
        self._ended = threading.Event()

    def keep_tidy(
        self,
        in_use: Callable[[], Collection[Path]],
        also: Callable[[], None] = lambda: None,
        every: float = ROUND,
    ) -> None:
        """From now on delete, in a thread, files that grew old and that no open page has.

        Args:
            in_use: Answers with the files of open pages.
            also: What else is to be tidied in every round.
            every: Seconds between two rounds.
        """

        def rounds() -> None:
            while not self._ended.wait(every):
                self.sweep(in_use())
                also()

        threading.Thread(target=rounds, name="sweeping of uploads", daemon=True).start()

    def sweep(self, in_use: Collection[Path], max_age: float = MAX_AGE) -> None:
        """Delete files older than `max_age` seconds, finished or not, that are not in use."""
        kept, oldest = {str(path) for path in in_use}, time.time() - max_age
        for folder, _, names in os.walk(self.folder / "uploads", topdown=False):
            for name in names:
                file = Path(folder, name)
                with contextlib.suppress(OSError):  # somebody else was quicker
                    if str(file) not in kept and file.stat().st_mtime < oldest:
                        file.unlink()
            with contextlib.suppress(OSError):  # not empty
                if Path(folder).stat().st_mtime < oldest:
                    Path(folder).rmdir()

    def close(self) -> None:
        """Delete everything."""
        self._ended.set()
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _sweep_left(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            if folder.is_symlink() or not folder.is_dir():
                continue
            if _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """Whether the server of a workplace has ended: its lock went with it."""
    try:
        with (folder / LOCK).open("rb+") as lock:
            known = _locked(lock)
    except FileNotFoundError:
        known = None  # between its making and its locking, or half deleted
    return known if known is not None else time.time() - folder.stat().st_mtime > ABANDONED


def _locked(file: IO[Any]) -> bool | None:
    """Lock a file until it is closed; False where another process has, None where locks are not known."""
    if sys.platform == "win32":
        return None
    import fcntl  # not there on Windows

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def give_memory_back() -> None:
    """Free what only cycles of references hold, and have the C library return it to the system."""
    gc.collect()
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):  # another C library
            return
