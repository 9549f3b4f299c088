"""The training loop: time, progress, logging, checkpoints. It knows no loss and no network."""

import math
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from stylegan2.errors import ConfigError
from train.core.checkpoint import CHECKPOINT_FILE
from train.core.config import RunConfig, ScheduleConfig
from train.core.logbook import Logbook, claim_folder
from train.core.processes import agree, is_main, own_folder
from train.core.resumption import Losses, Position, keep_state, restore
from train.core.stop import StopRequest
from train.errors import DivergedError


class Stage(Protocol):
    """What the loop asks of a stage of training, for instance `train.encoder.stage.InversionStage`."""

    @property
    def phases(self) -> tuple[ScheduleConfig, ...]:
        """Stretches of the training, in order."""

    def enter_phase(self, index: int) -> None:
        """Get ready for a phase; called at its start, and before `load_state_dict` to resume in it."""

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Make what the first step needs, reporting (done, total); what `progress` raises passes through."""

    def step(self, step: int, fraction: float) -> dict[str, Tensor]:
        """One optimiser step, `step` steps and `fraction` of the phase being done; scalars to log."""

    def validate(self) -> dict[str, float]:
        """Measures on pictures that are never trained on; changes nothing."""

    def grid(self) -> Tensor:
        """Sample pictures as one: pixels [H, W, 3] uint8 on the CPU; changes nothing."""

    def export(self, folder: Path, steps: int) -> None:
        """Write the trained weights as the product reads them."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, besides torch's random state."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""


@dataclass(frozen=True)
class LoopResult:
    """How a run ended."""

    position: Position
    stopped_by: int | None  # signal number; None when all phases are done


class _StoppedError(Exception):
    """A signal arrived while the stage was preparing."""


def training_loop(
    stage: Stage,
    run: RunConfig,
    settings: dict[str, Any],
    *,
    resume: bool,
    report: Callable[[str], None] = tqdm.write,
) -> LoopResult:
    """Train until every phase is done or a signal asks to stop; the state is saved in both cases.

    Other settings may be resumed with: they hold from there on, and are named. A phase whose limits were
    raised goes on, unless another has begun.

    Args:
        stage: What is trained.
        run: Folder and intervals.
        settings: Resolved settings, for the run folder.
        resume: Go on from the folder's checkpoint; without one, start.
        report: Receives one line per event.

    Raises:
        ConfigError: The folder holds a run, and `resume` is not set; or it cannot be written.
        CheckpointError: The checkpoint is damaged, of another stage, or cannot be written.
        StyleGANError: What the stage raises.
    """
    run = replace(run, folder=own_folder(run.folder))
    report = report if is_main() else _say_nothing
    claim_folder("run.folder", run.folder)
    file = run.folder / CHECKPOINT_FILE
    if file.exists() and not resume:
        raise ConfigError(f"run.folder: {run.folder} holds a run; use --resume, or another folder")
    position, gathered = Position(), []
    if file.exists():
        restored = restore(file, stage, settings)
        position, gathered = restored.position, restored.gathered
        if restored.changes:
            report(f"resumed with other settings: {'; '.join(restored.changes)}")
    else:
        stage.enter_phase(0)
    with StopRequest() as request, closing(Logbook(run.folder, settings, position.total)) as logbook:
        return _Loop(stage, run, logbook, request, report, settings, gathered).run(position)


class _Loop:
    def __init__(
        self,
        stage: Stage,
        run: RunConfig,
        logbook: Logbook,
        request: StopRequest,
        report: Callable[[str], None],
        settings: dict[str, Any],
        gathered: list[Losses],
    ) -> None:
        self._stage, self._run, self._logbook = stage, run, logbook
        self._request, self._report, self._settings = request, report, settings
        self._gathered = gathered  # since the last line of the logbook, so that its means cover every step
        self._stop: Signals | None = None  # what all processes agree to stop by

    def run(self, position: Position) -> LoopResult:
        phases = self._stage.phases
        while True:
            phase = phases[position.phase]
            if self._agreed_fraction(phase, position) < 1:
                with suppress(_StoppedError):
                    self._stage.prepare(self._preparing)
                self._agreed_fraction(phase, position)
                if self._stop is None:
                    position = self._run_phase(position, phase)
                self._save(position)
                self._agreed_fraction(phase, position)
            if self._stop is not None:
                return self._stopped(position, self._stop)
            if position.phase + 1 == len(phases):
                break
            position = replace(position, phase=position.phase + 1, step=0, seconds=0.0)
            self._stage.enter_phase(position.phase)
        self._report(
            f"finished: {position.total} steps, {position.total_seconds / 60:.1f} minutes of training"
        )
        return LoopResult(position, None)

    def _run_phase(self, position: Position, phase: ScheduleConfig) -> Position:
        with _bar(phase, position) as bar:
            while (fraction := self._agreed_fraction(phase, position)) < 1 and self._stop is None:
                begin = time.perf_counter()
                self._gathered.append(self._stage.step(position.step, fraction))
                seconds = time.perf_counter() - begin
                position = replace(
                    position,
                    step=position.step + 1,
                    total=position.total + 1,
                    seconds=position.seconds + seconds,
                    total_seconds=position.total_seconds + seconds,
                )
                self._show(bar, phase, position, phase.images / seconds)
                self._on_schedule(phase, position, phase.images / seconds)
        if fraction >= 1:
            if self._gathered:  # the next phase may have other losses
                self._log(phase.name, position, {})
            if position.total % self._run.validate_every:
                self._validate(phase.name, position)
        return position

    def _agreed_fraction(self, phase: ScheduleConfig, position: Position) -> float:
        """Share of the phase that is done; notes in `_stop` what signal any process has got."""
        fraction, number = agree(phase_fraction(phase, position), int(self._request.signal or 0))
        self._stop = Signals(number) if number else None
        return fraction

    def _show(self, bar: "tqdm[Any]", phase: ScheduleConfig, position: Position, speed: float) -> None:
        bar.set_postfix_str(f"step {position.step}, {speed:.1f} images/s", refresh=False)
        bar.update(round(1000 * min(1.0, phase_fraction(phase, position))) - bar.n)

    def _on_schedule(self, phase: ScheduleConfig, position: Position, speed: float) -> None:
        if position.total % self._run.log_every == 0:
            self._log(phase.name, position, {"images_per_second": speed})
        if position.total % self._run.validate_every == 0:
            self._validate(phase.name, position)
        if position.total % self._run.checkpoint_every == 0:
            self._save(position)

    def _log(self, phase: str, position: Position, beside: dict[str, float]) -> None:
        """Log the means of the losses since they were last logged."""
        means = {f"loss/{n}": _mean([g[n] for g in self._gathered]) for n in self._gathered[-1]}
        lost = [name for name, mean in means.items() if not math.isfinite(mean)]
        if lost:
            raise DivergedError(
                f"{', '.join(lost)}: not finite by step {position.total} of {phase}; "
                "--resume goes on from the last checkpoint, perhaps with a smaller lr, or not compiled"
            )
        self._logbook.scalars({**means, **beside}, position.total)
        self._gathered = []

    def _validate(self, name: str, position: Position) -> None:
        measures = self._stage.validate()
        self._logbook.scalars({f"validation/{key}": value for key, value in measures.items()}, position.total)
        self._logbook.grid(self._stage.grid(), position.total)
        values = ", ".join(f"{key} {value:.4g}" for key, value in measures.items())
        minutes = position.total_seconds / 60
        self._report(f"{name}, step {position.step} ({position.total}, {minutes:.1f} min): {values}")

    def _save(self, position: Position) -> None:
        keep_state(self._run.folder / CHECKPOINT_FILE, self._stage, position, self._settings, self._gathered)
        self._stage.export(self._run.folder, position.total)

    def _stopped(self, position: Position, number: Signals) -> LoopResult:
        self._report(f"stopped by {number.name} at step {position.total}; saved, --resume goes on from there")
        return LoopResult(position, int(number))

    def _preparing(self, done: int, total: int) -> None:
        if self._request.signal is not None:
            raise _StoppedError
        if total and done % max(1, total // 20) == 0:
            self._report(f"preparing: {done} of {total} pairs")


def phase_fraction(phase: ScheduleConfig, position: Position) -> float:
    """Share of the phase that is done, by steps or by minutes, whichever is further; 1 or more at its end."""
    by_time = position.seconds / (60 * phase.max_minutes) if phase.max_minutes else 0.0
    return max(position.step / phase.max_steps, by_time)


def _bar(phase: ScheduleConfig, position: Position) -> "tqdm[Any]":
    shape = "{desc} {percentage:3.0f}%|{bar:24}| {elapsed} done, {remaining} left{postfix}"
    interval = 0.5 if sys.stderr.isatty() else 30.0
    done = round(1000 * min(1.0, phase_fraction(phase, position)))
    return tqdm(
        total=1000,
        initial=done,
        desc=phase.name,
        bar_format=shape,
        mininterval=interval,
        disable=not is_main(),
    )


def _say_nothing(_: str) -> None:
    """What the other processes report is the same."""


def _mean(values: list[Tensor]) -> float:
    return float(torch.stack([value.detach().float() for value in values]).mean())
