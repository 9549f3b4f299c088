"""Where the project keeps what it can make again."""

import atexit
import functools
import os
import shutil
import sys
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Folder of converted graphs and weights: `CLCAE_CACHE_DIR`, else the user's cache folder.

    Where the user has no home, as in some containers, it is one that this process deletes when it ends.
    """
    if chosen := os.environ.get("CLCAE_CACHE_DIR"):
        return Path(chosen)
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "clcae-editor"
    try:
        return Path.home() / ".cache" / "clcae-editor"
    except RuntimeError:
        return _temporary_cache()


@functools.cache
def _temporary_cache() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="clcae-editor-"))  # that nobody else may write to
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sys.stderr.write(
        f"This user has no home folder: what is converted is kept in {folder} until this program ends. "
        "CLCAE_CACHE_DIR names a lasting place.\n"
    )
    return folder
