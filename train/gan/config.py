"""Settings of the stage `generator`."""

from dataclasses import dataclass, field
from pathlib import Path

from stylegan2.bundle.folder import CropConfig
from stylegan2.network.config import GeneratorConfig
from stylegan2.settings import require
from train.core.config import DataConfig, HardwareConfig, RunConfig, ScheduleConfig, check_names
from train.gan.ada import LARGEST_P


@dataclass(frozen=True, kw_only=True)
class GeneratorPhase(ScheduleConfig):
    """One stretch of adversarial training."""

    pair_batch: int = field(default=0, init=False)  # there are no pairs before there is a generator
    ema: float = field(default=0.0, init=False)  # given in images instead:
    ema_kimg: float = 20.0  # half-life of the averaged generator, thousand images
    batch: int = 64  # real pictures a pass, and as many generated ones for each of the two networks
    accumulate: int = 1  # passes a step, whose gradients are averaged: a large batch on a small GPU
    lr: float = 2.5e-3  # peak, of both networks
    final_lr: float = 1.0  # constant

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.batch >= 2, f"batch: {self.batch}; must be at least 2")
        require(self.accumulate >= 1, f"accumulate: {self.accumulate}; must be at least 1")
        require(self.ema_kimg >= 0, f"ema_kimg: {self.ema_kimg}; must be at least 0")

    @property
    def images(self) -> int:
        """Real pictures that a step looks at."""
        return self.accumulate * self.batch


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Architecture of the discriminator."""

    channels: dict[int, int] = field(default_factory=dict)  # resolution -> maps; empty: the generator's
    group_size: int = 4  # pictures a group of the minibatch standard deviation

    def __post_init__(self) -> None:
        require(self.group_size >= 1, f"group_size: {self.group_size}; must be at least 1")


@dataclass(frozen=True, kw_only=True)
class RegularisationConfig:
    """Penalties, which are added every so many steps, and what else shapes the game."""

    r1_gamma: float = 1.0  # weight of R1; more for larger pictures and smaller batches
    r1_every: int = 16  # steps
    path_length: float = 2.0  # weight of the path length penalty; 0 leaves it out
    path_length_every: int = 8  # steps
    path_length_shrink: int = 2  # its batch is the batch divided by this
    path_length_decay: float = 0.01  # share by which the running mean moves
    style_mixing: float = 0.9  # share of generated pictures with two styles
    w_avg_beta: float = 0.998  # decay a step of the mean of W

    def __post_init__(self) -> None:
        for name in ("r1_gamma", "path_length"):
            require(getattr(self, name) >= 0, f"{name}: {getattr(self, name)}; must be at least 0")
        for name in ("r1_every", "path_length_every", "path_length_shrink"):
            require(getattr(self, name) >= 1, f"{name}: {getattr(self, name)}; must be at least 1")
        for name in ("path_length_decay", "style_mixing", "w_avg_beta"):
            require(0 <= getattr(self, name) <= 1, f"{name}: {getattr(self, name)}; must be in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Adaptive augmentation, see `train.gan.ada`."""

    start: float = 0.0  # first p
    target: float | None = 0.6  # of r_t; null keeps p at `start`
    kimg: float = 500.0  # thousand images in which p can go from 0 to 1
    every: int = 4  # steps between two changes of p

    def __post_init__(self) -> None:
        require(0 <= self.start <= LARGEST_P, f"start: {self.start}; must be in [0, {LARGEST_P}]")
        target = self.target
        require(target is None or 0 <= target <= 1, f"target: {target}; must be in [0, 1] or null")
        require(self.kimg > 0, f"kimg: {self.kimg}; must be positive")
        require(self.every >= 1, f"every: {self.every}; must be at least 1")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What the exported bundle says of itself."""

    name: str
    licence: str
    crop: CropConfig = field(default_factory=CropConfig)  # of the training pictures
    pictures: bool = False  # whether they are whole pictures, and no aligned faces

    def __post_init__(self) -> None:
        for key in ("name", "licence"):
            require(bool(getattr(self, key).strip()), f"{key}: {getattr(self, key)!r}; must not be empty")


@dataclass(frozen=True, kw_only=True)
class GeneratorTrainingConfig:
    """`python -m train generator`: a new generator, and a bundle of it, from pictures."""

    model: ModelConfig
    generator: GeneratorConfig
    run: RunConfig
    phases: tuple[GeneratorPhase, ...]
    data: DataConfig
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    start_from: Path | None = None  # bundle to go on from instead of random weights
    grow: bool = False  # `start_from` is of half the resolution; its blocks are kept, one is added
    fade_images: int = 150_000  # in which the discriminator's new block fades in while growing
    regularisation: RegularisationConfig = field(default_factory=RegularisationConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    mirror: bool = True  # mirror half of the real pictures
    feature_images: int = (
        1024  # real and as many generated pictures behind `feature_distance`; 0 leaves it out
    )
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        check_names(self.phases)
        require(self.data.images is not None, "data.images: null, but this stage needs pictures")
        require(not self.grow or self.start_from is not None, "start_from: null, but grow needs a bundle")
        require(self.fade_images >= 1, f"fade_images: {self.fade_images}; must be at least 1")
        multiplier = self.generator.mapping_lr_multiplier
        stored = multiplier == GeneratorConfig.mapping_lr_multiplier
        require(
            stored,
            f"generator.mapping_lr_multiplier: {multiplier}; a weights file implies "
            f"{GeneratorConfig.mapping_lr_multiplier}",
        )
        count = self.feature_images
        require(count == 0 or count >= 2, f"feature_images: {count}; must be 0 or at least 2")
        wanted, found = sorted(self.generator.channels), self.discriminator_channels
        fits = sorted(found) == wanted and min(found.values()) >= 1
        require(fits, f"discriminator.channels: {found}; must give a positive width for each of {wanted}")

    @property
    def discriminator_channels(self) -> dict[int, int]:
        """Feature maps of the discriminator by resolution."""
        return self.discriminator.channels or self.generator.channels

    @property
    def images(self) -> str:
        """Where the pictures are."""
        return str(self.data.images)
