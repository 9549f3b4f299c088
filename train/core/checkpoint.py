"""Files of training: written whole or not at all, read without running code, and whose they are."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from stylegan2.aside import written_aside
from stylegan2.bundle.folder import ModelBundle
from stylegan2.errors import CheckpointError

CHECKPOINT_FILE = "checkpoint.pt"
VERSION = 2  # 1 did not hold the settings


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain values) beside `path` and move it there in one step.

    Raises:
        CheckpointError: It cannot be written; what was there before stays.
    """
    try:
        with written_aside(path) as partial:
            torch.save({"version": VERSION, **state}, partial)
    except (OSError, RuntimeError) as error:  # a full disk is the latter
        raise CheckpointError(f"{path}: cannot be written ({error})") from error


def write_weights(path: Path, facts: dict[str, Any], save: Callable[[Path, dict[str, str]], None]) -> None:
    """Let `save` write weights and `facts` of their training beside `path`, and move them there in one step.

    Args:
        path: The product's file.
        facts: Plain values; `training_facts` reads them.
        save: Writes weights with metadata to the path that it is given.

    Raises:
        CheckpointError: They cannot be written; what was there before stays.
    """
    try:
        with written_aside(path) as partial:
            save(partial, {"training": json.dumps(facts)})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a training state to the CPU.

    Raises:
        CheckpointError: The file is missing, damaged, or of another version.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: not a readable training state ({error})") from error
    version = state.get("version") if isinstance(state, dict) else None
    if version != VERSION:
        raise CheckpointError(f"{path}: training state of version {version}; this program reads {VERSION}")
    return state


def training_facts(file: Path, kind: str = "an encoder") -> dict[str, Any]:
    """What a stage of training wrote beside the weights in `file`; empty for a file that says nothing.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file; expected {kind}")
    try:
        with safe_open(file, "pt") as opened:
            text = (opened.metadata() or {}).get("training", "{}")
        facts: dict[str, Any] = json.loads(text)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{file}: not a readable safetensors file ({error})") from error
    return facts


# What files are called, by role in a bundle.
KINDS = {"encoder": "an encoder", "contrastive": "a contrastive pair", "refiners": "refiners"}


def facts_for_model(file: Path, role: str, model: ModelBundle) -> dict[str, Any]:
    """`training_facts` of a file that was trained for the generator of `model`, as far as it says.

    Args:
        file: Trained weights.
        role: A key of `KINDS`.
        model: Whose generator they are used with.

    Raises:
        CheckpointError: The file is missing, damaged, or trained for another generator.
    """
    facts = training_facts(file, KINDS[role])
    if facts.get("generator_sha256", model.generator_sha256) != model.generator_sha256:
        raise CheckpointError(f"{file}: trained for another generator than that of {model.folder}")
    return facts
