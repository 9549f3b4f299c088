"""Settings of training; `train/configs` holds the recipes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stylegan2.settings import require

Against = Literal["input", "reconstruction"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Real faces."""

    # Shards, also at an address, or a folder: see `train.data.images.find_images`; null: no real faces.
    images: str | None = None
    validation_fraction: float = 0.01  # share of the images, by hash, that is never trained on
    validation_images: int = 128  # at most so many of them are measured
    shuffle_buffer: int = 1000  # encoded images
    workers: int = 0  # reading processes; 0 reads in the training process

    def __post_init__(self) -> None:
        fraction = self.validation_fraction
        require(0 <= fraction < 1, f"validation_fraction: {fraction}; must be at least 0 and below 1")
        require(
            self.validation_images >= 1, f"validation_images: {self.validation_images}; must be at least 1"
        )
        require(self.shuffle_buffer >= 1, f"shuffle_buffer: {self.shuffle_buffer}; must be at least 1")
        require(self.workers >= 0, f"workers: {self.workers}; must be at least 0")


@dataclass(frozen=True, kw_only=True)
class PairsConfig:
    """Synthetic pairs (w, G(w))."""

    psi: tuple[float, float] = (0.7, 1.0)  # truncation, drawn uniformly
    pool: int = 0  # pairs kept for reuse; 0 renders every batch afresh
    refresh: float = 0.1  # share of a batch that is rendered anew into the pool, oldest out
    block: int = 16  # pairs rendered at once
    cache: Path | None = None  # folder of the pool; null keeps it in memory

    def __post_init__(self) -> None:
        require(
            0 <= self.psi[0] <= self.psi[1] <= 1.5, f"psi: {list(self.psi)}; must be ordered, in [0, 1.5]"
        )
        require(self.block >= 1, f"block: {self.block}; must be at least 1")
        multiple = self.pool >= 0 and self.pool % self.block == 0
        require(multiple, f"pool: {self.pool}; must be a multiple of block ({self.block}), or 0")
        require(0 <= self.refresh <= 1, f"refresh: {self.refresh}; must be in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class TermWeights:
    """Factors of terms of a loss, none below 0."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(value >= 0, f"{name}: {value}; must be at least 0")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """One stretch of training on synthetic pairs: how long, and how fast."""

    name: str
    max_steps: int  # optimiser steps
    max_minutes: float | None = (
        None  # of training time; the phase ends, annealed, at whichever limit comes first
    )
    pair_batch: int = 0  # synthetic pairs a step
    lr: float = 5e-4  # peak
    final_lr: float = 0.02  # at the phase's end, as a share of the peak (cosine)
    warmup_steps: int = 50  # linear rise to the peak
    ema: float = 0.99  # decay a step of the averaged weights

    def __post_init__(self) -> None:
        require(self.max_steps >= 1, f"max_steps: {self.max_steps}; must be at least 1")
        for name in ("pair_batch", "warmup_steps"):
            require(getattr(self, name) >= 0, f"{name}: {getattr(self, name)}; must be at least 0")
        minutes = self.max_minutes
        require(minutes is None or minutes > 0, f"max_minutes: {minutes}; must be positive or null")
        require(self.lr > 0, f"lr: {self.lr}; must be positive")
        require(0 <= self.final_lr <= 1, f"final_lr: {self.final_lr}; must be in [0, 1]")
        require(0 <= self.ema < 1, f"ema: {self.ema}; must be at least 0 and below 1")

    @property
    def images(self) -> int:
        """Pictures that a step looks at."""
        return self.pair_batch


@dataclass(frozen=True, kw_only=True)
class FacesScheduleConfig(ScheduleConfig):
    """One stretch of training with real faces beside the pairs."""

    real_batch: int = 0  # real faces a step
    accumulate: int = 1  # backward passes a step, each of both batches

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.accumulate >= 1, f"accumulate: {self.accumulate}; must be at least 1")
        require(self.real_batch >= 0, f"real_batch: {self.real_batch}; must be at least 0")
        require(
            self.real_batch + self.pair_batch >= 2, "real_batch + pair_batch: batch norm needs at least 2"
        )

    @property
    def images(self) -> int:
        """Pictures that a step looks at."""
        return self.accumulate * (self.real_batch + self.pair_batch)


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW."""

    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip: float = 1.0  # largest L2 norm of the whole gradient

    def __post_init__(self) -> None:
        require(
            all(0 <= b < 1 for b in self.betas), f"betas: {list(self.betas)}; must be at least 0 and below 1"
        )
        require(self.weight_decay >= 0, f"weight_decay: {self.weight_decay}; must be at least 0")
        require(self.clip > 0, f"clip: {self.clip}; must be positive")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Where a run writes, and how often, in optimiser steps."""

    folder: Path
    log_every: int = 25
    validate_every: int = 500
    checkpoint_every: int = 500
    install: bool = False  # put what was trained into `bundle` when the training has finished

    def __post_init__(self) -> None:
        for name in ("log_every", "validate_every", "checkpoint_every"):
            require(getattr(self, name) >= 1, f"{name}: {getattr(self, name)}; must be at least 1")


@dataclass(frozen=True, kw_only=True)
class HardwareConfig:
    """What to compute on."""

    device: str = "auto"  # auto: cuda, then mps, then cpu
    precision: Literal["auto", "float32", "bfloat16"] = (
        "auto"  # auto: bfloat16 where the device has it natively
    )
    compile: bool = False  # torch.compile what is trained and the generator; needs a C++ compiler on a CPU
    channels_last: bool = True


def check_names(phases: tuple[ScheduleConfig, ...]) -> None:
    """Refuse an empty list of phases, and names that are used twice."""
    require(len(phases) > 0, "phases: empty; at least one is needed")
    names = [phase.name for phase in phases]
    require(len(set(names)) == len(names), f"phases: names {names}; every name may be used once")
