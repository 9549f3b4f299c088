"""Folders that a command writes into, looked at before it works for hours."""

import tempfile
from pathlib import Path

from stylegan2.errors import ConfigError


def claim_folder(name: str, folder: Path) -> None:
    """Make a folder where it is missing, and find out whether files can be written there.

    Args:
        name: Of the setting or flag that names it, for the message.
        folder: The folder.

    Raises:
        ConfigError: It cannot be made, is no folder, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{name}: {folder} cannot be written ({reason}); name another folder") from error
