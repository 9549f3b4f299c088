"""Where a run stands, and how it goes on from a checkpoint."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from stylegan2.errors import CheckpointError
from train.core.checkpoint import load_checkpoint, save_checkpoint
from train.core.config import ScheduleConfig


class Resumable(Protocol):
    """What resuming asks of a stage of training."""

    @property
    def phases(self) -> tuple[ScheduleConfig, ...]:
        """See `train.core.loop.Stage`."""

    def enter_phase(self, index: int) -> None:
        """See `train.core.loop.Stage`."""

    def state_dict(self) -> dict[str, Any]:
        """See `train.core.loop.Stage`."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `train.core.loop.Stage`."""


@dataclass(frozen=True)
class Position:
    """Where a run stands; when all is done, at the end of its last phase."""

    phase: int = 0  # index
    step: int = 0  # optimiser steps done in the phase
    total: int = 0  # optimiser steps done in all phases
    seconds: float = 0.0  # spent in the phase's steps
    total_seconds: float = 0.0  # spent in all steps


# What a step answers: names of losses and their values.
Losses = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Restored:
    """What `restore` found."""

    position: Position
    changes: list[str]  # every setting that differs from the checkpoint's, in words
    gathered: list[Losses]  # losses of the steps since they were last logged


def keep_state(
    file: Path,
    stage: Resumable,
    position: Position,
    settings: Mapping[str, Any],
    gathered: Sequence[Losses] = (),
) -> None:
    """Write all that `restore` needs.

    Args:
        file: The checkpoint.
        stage: What is trained.
        position: Where it stands.
        settings: Of now, plain values.
        gathered: Losses of the steps since they were last logged, whose mean is still to be told.

    Raises:
        CheckpointError: The file cannot be written.
    """
    state = {
        "position": asdict(position),
        "settings": dict(settings),
        "stage": stage.state_dict(),
        "gathered": [
            {name: value.detach().float().cpu() for name, value in losses.items()} for losses in gathered
        ],
        "rng": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    save_checkpoint(file, state)


def restore(file: Path, stage: Resumable, settings: Mapping[str, Any]) -> Restored:
    """Bring a stage to where `keep_state` left it.

    Args:
        file: The checkpoint.
        stage: As it was built from `settings`.
        settings: Of now, plain values.

    Raises:
        CheckpointError: The file is damaged, or of a stage or phases that these settings do not have.
    """
    state = load_checkpoint(file)
    try:
        position = Position(**state["position"])
        changes = changed_settings(state["settings"], settings)
        if position.phase >= len(stage.phases):
            raise CheckpointError(
                f"{file}: stands in phase {position.phase + 1}; the settings have {len(stage.phases)}"
            )
        stage.enter_phase(position.phase)
        stage.load_state_dict(state["stage"])
        torch.set_rng_state(state["rng"])
        if torch.cuda.is_available() and state["rng_cuda"]:
            torch.cuda.set_rng_state_all(state["rng_cuda"])
        gathered = [dict(losses) for losses in state.get("gathered", [])]
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{file}: does not fit these settings ({type(error).__name__}: {error})"
        ) from error
    return Restored(position, changes, gathered)


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Every setting that differs, as "phases.0.max_steps: 6 -> 12", by its dotted path."""
    old, new = dict(_flat(before)), dict(_flat(now))
    return [
        f"{path}: {old.get(path, 'not set')} -> {new.get(path, 'not set')}"
        for path in [*old, *(path for path in new if path not in old)]
        if path not in old or path not in new or old[path] != new[path]
    ]


def _flat(settings: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Leaves by their dotted path; an empty mapping or list is one."""
    if isinstance(settings, Mapping) and settings:
        entries = list(settings.items())
    elif isinstance(settings, list | tuple) and settings:
        entries = list(enumerate(settings))
    else:
        yield path, [] if isinstance(settings, tuple) else settings
        return
    for key, value in entries:
        yield from _flat(value, f"{path}.{key}" if path else str(key))
