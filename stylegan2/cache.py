"""Where the project keeps what it can make again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Folder of converted graphs and weights: `CLCAE_CACHE_DIR`, else the user's cache folder."""
    if chosen := os.environ.get("CLCAE_CACHE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clcae-editor"
