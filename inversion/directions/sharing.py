"""One edit as one file, to be passed on."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from inversion.directions.bank import check_direction, read_direction, tensors_of
from inversion.directions.errors import DirectionError
from inversion.directions.linear import EditDirection
from inversion.directions.writing import entry_of
from stylegan2.bundle.checkpoint import read_safetensors
from stylegan2.checks import check_finite
from stylegan2.errors import CheckpointError

SUFFIX = ".edit.safetensors"
MOST_BYTES = 4_000_000  # an edit of a published model of 1024 px takes 74 kB
_KEY = "edit"


def shared_edit(edit: EditDirection, generator_sha256: str) -> bytes:
    """The file of an edit: its tensors, and as metadata all else and the generator that it is for."""
    about = {"name": edit.name, "generator_sha256": generator_sha256, "entry": dict(entry_of(edit))}
    return to_bytes(tensors_of(edit), {_KEY: json.dumps(about)})


def read_shared_edit(path: str | Path, generator_sha256: str, w_dim: int, num_ws: int) -> EditDirection:
    """Read the file of an edit.

    Args:
        path: The file.
        generator_sha256: Of the generator that is edited.
        w_dim: Width of its styles.
        num_ws: Number of its styles.

    Raises:
        CheckpointError: The file is missing, too large, damaged or something else.
        DirectionError: It is for another generator.
    """
    file = Path(path)
    if file.is_file() and file.stat().st_size > MOST_BYTES:
        raise CheckpointError(f"{file.name}: {file.stat().st_size} bytes; an edit has at most {MOST_BYTES}")
    tensors = read_safetensors(file)
    check_finite(file.name, tensors)
    try:
        with safe_open(file, "pt") as opened:
            about: dict[str, Any] = json.loads((opened.metadata() or {})[_KEY])
        owner, name = str(about["generator_sha256"]), str(about["name"])
        if owner != generator_sha256:
            raise DirectionError(
                f"{file.name}: made for generator {owner[:12] or 'unknown'}..., not for "
                f"{generator_sha256[:12]}...; an edit of one generator means nothing in another"
            )
        edit = read_direction(name, about["entry"], tensors, num_ws)
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{file.name}: not the file of an edit: {type(error).__name__}: {error}"
        ) from error
    check_direction(file.name, edit, w_dim, num_ws)
    return edit
