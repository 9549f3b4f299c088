"""The run folder: resolved settings, TensorBoard scalars, sample grids."""

import json
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from stylegan2.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]


class Logbook:
    """Writes what happens into the run folder.

    Args:
        folder: Made where missing.
        settings: Resolved settings, written to `settings.yaml`.
        step: Steps done; TensorBoard drops what an interrupted sitting logged beyond.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], step: int) -> None:
        (folder / "grids").mkdir(parents=True, exist_ok=True)
        self._folder = folder
        (folder / "settings.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        facts = {
            "commit": git_commit(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "machine": platform.processor() or platform.machine(),
            "from_step": step,
        }
        with (folder / "sittings.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
        self._writer = SummaryWriter(str(folder), purge_step=step + 1)  # type: ignore[no-untyped-call]

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Log numbers by name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)  # type: ignore[no-untyped-call]
        self._writer.flush()  # type: ignore[no-untyped-call]

    def grid(self, pixels: Tensor, step: int) -> None:
        """Keep a picture [H, W, 3] uint8 in TensorBoard and as `grids/STEP.png`."""
        self._writer.add_image("grid", pixels.numpy(), step, dataformats="HWC")  # type: ignore[no-untyped-call]
        Image.fromarray(pixels.numpy()).save(self._folder / "grids" / f"{step:07d}.png")

    def close(self) -> None:
        """Finish the files."""
        self._writer.close()  # type: ignore[no-untyped-call]


def git_commit() -> str:
    """Commit of the program, "+changes" where tracked files differ, "unknown" outside a repository."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    return f"{commit}+changes" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  (fixed arguments)
            ["git", "-C", str(REPOSITORY), *arguments],  # noqa: S607  (wherever it is)
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


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
