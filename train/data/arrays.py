"""Arrays in a folder: what is costly to make, kept for the next run, and known by what it follows from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stylegan2.aside import written_aside
from stylegan2.errors import ConfigError
from train.core.logbook import claim_folder


def claim_arrays(
    folder: Path, meta_file: str, owner: Mapping[str, Any], *, setting: str, things: str
) -> None:
    """Make a folder one's own, or make sure that it is.

    Args:
        folder: Made where missing.
        meta_file: Name of the file that says what the arrays follow from.
        owner: That, as plain values.
        setting: That names the folder, for messages.
        things: What the arrays hold, for messages.

    Raises:
        ConfigError: The folder holds arrays of another owner, is damaged, or cannot be written.
    """
    file = folder / meta_file
    if file.is_file():
        try:
            found = dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{setting}: {file} is damaged ({error}); delete the folder") from error
        differing = sorted(key for key in owner if found.get(key) != owner[key])
        if differing:
            others = f"{things} of another {', '.join(differing)}"
            raise ConfigError(f"{setting}: {folder} holds {others}; choose another folder")
        return
    claim_folder(setting, folder)
    with written_aside(file) as partial:
        partial.write_text(json.dumps(dict(owner)), encoding="utf-8")


def open_array(file: Path, shape: tuple[int, ...], dtype: type, *, setting: str) -> np.ndarray:
    """An array on disk, of zeros where the file is missing; what is written into it stays.

    Raises:
        ConfigError: The file holds another one, or is damaged; `setting` is for the message.
    """
    if not file.is_file():
        return np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
    try:
        found = np.lib.format.open_memmap(file, mode="r+")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{setting}: {file} is damaged ({error}); delete the folder") from error
    if found.shape != shape or found.dtype != dtype:
        raise ConfigError(f"{setting}: {file} is {found.dtype} {found.shape}, not {shape}; delete the folder")
    return found
