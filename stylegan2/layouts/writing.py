"""Write a generator so that other projects' code loads it."""

from pathlib import Path

import torch

from stylegan2.aside import written_aside
from stylegan2.errors import CheckpointError
from stylegan2.layouts.rosinality import to_rosinality
from stylegan2.network.generator import Generator


def save_rosinality(generator: Generator, path: str | Path, *, force: bool = False) -> None:
    """Write `g_ema` and `latent_avg` as rosinality's code loads them, key for key; in one step.

    Args:
        generator: Its tensors are stored in float32.
        path: The `.pt` file.
        force: Replace a file that is there.

    Raises:
        CheckpointError: `path` is there already, or cannot be written.
    """
    path = Path(path)
    if path.exists() and not force:
        raise CheckpointError(f"{path}: is there already; --force replaces it")
    try:
        with written_aside(path) as partial, partial.open("wb") as file:
            torch.save(to_rosinality(generator.state_dict(), generator.config), file)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from error
