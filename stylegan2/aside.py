"""Files that are written aside and moved to their place in one step: nobody ever finds half of one."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_aside(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """A place beside `path` to write to, which becomes `path` where nothing is raised meanwhile.

    Else what was there before stays, and what was begun is removed: it would keep a full disk full.

    Args:
        path: In a folder that is there.
        shared: Others may write the same file at the same time, each of them aside by itself. Without it the
            rest of a process that was killed is written over, however often that happens.

    Raises:
        OSError: The file cannot be moved.
    """
    partial = path.with_name(f"{path.name}.partial")
    if shared:
        partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` aside, as one of several that may write `path`.

    Raises:
        OSError: The place cannot be written.
    """
    with written_aside(path, shared=True) as partial:
        partial.write_bytes(data)
