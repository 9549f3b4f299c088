"""Settings of the stage `refiners`."""

from dataclasses import dataclass, field
from pathlib import Path

from inversion.config import RefinerConfig
from stylegan2.errors import ConfigError
from train.config import DataConfig, HardwareConfig, OptimConfig, PairsConfig, RunConfig


@dataclass(frozen=True, kw_only=True)
class PictureWeights:
    """Factors of the terms that compare two pictures; 0 leaves a term out."""

    l2: float = 0.0
    pooled_l2: float = 0.0
    perceptual: float = 0.0
    identity: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise ConfigError(f"{name}: {value}; must be at least 0")


@dataclass(frozen=True, kw_only=True)
class RefinementLoss:
    """Factors of all terms."""

    ws: PictureWeights  # G(ws) against a real face
    f: PictureWeights  # G(ws, f) against a real face
    edit: PictureWeights  # G(ws_hat, f_hat) of an inverted G(w) against G(w + d)
    latent: float = 0.1  # ws of an inverted G(w) against w, in standard deviations of W
    spread: float = 0.005  # |ws - w|^2 of real faces, in the same unit: keeps ws near the foundation
    offset: float = 0.01  # mean (f - G_k(ws))^2 (CLCAE's feature regularisation)


@dataclass(frozen=True, kw_only=True)
class RefinementPhase:
    """One stretch of training; the fields mean what they mean in `PhaseConfig`."""

    name: str
    loss: RefinementLoss
    max_steps: int
    max_minutes: float | None = None
    real_batch: int = 6
    pair_batch: int = 6  # 0 trains without edited pairs
    accumulate: int = 1
    lr: float = 5e-4
    final_lr: float = 0.02
    warmup_steps: int = 100
    ema: float = 0.995
    f_ramp: float = 0.0  # share of the phase over which the offset of f rises from 0 to full

    def __post_init__(self) -> None:
        if self.real_batch < 1 or self.pair_batch < 0 or self.max_steps < 1 or self.accumulate < 1:
            raise ConfigError(
                "real_batch, max_steps and accumulate must be at least 1, pair_batch at least 0"
            )
        if not 0 <= self.f_ramp <= 1:
            raise ConfigError(f"f_ramp: {self.f_ramp}; must be in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class RefinerSizes:
    """The free part of `RefinerConfig`; the rest follows from encoder and generator."""

    f_resolution: int = 32
    width: int = 256
    heads: int = 4
    blocks: int = 2
    f_width: int = 128
    f_blocks: int = 3
    f_hidden: int = 160
    code: int = 96
    carry_width: int = 32

    def complete(
        self,
        *,
        in_resolution: int,
        level_channels: tuple[int, int, int],
        img_resolution: int,
        w_dim: int,
        num_ws: int,
        channels: dict[int, int],
    ) -> RefinerConfig:
        """The whole architecture for an encoder and a generator."""
        if self.f_resolution not in channels:
            raise ConfigError(f"f_resolution: {self.f_resolution}; must be one of {sorted(channels)}")
        return RefinerConfig(
            in_resolution=in_resolution,
            level_channels=level_channels,
            img_resolution=img_resolution,
            w_dim=w_dim,
            num_ws=num_ws,
            f_channels=channels[self.f_resolution],
            **vars(self),
        )


@dataclass(frozen=True, kw_only=True)
class RefinementConfig:
    """`python -m train refiners`: W+ and F on top of a bundle's encoder, which stays as it is."""

    bundle: Path
    run: RunConfig
    phases: tuple[RefinementPhase, ...]
    data: DataConfig
    encoder: Path | None = None  # null: the bundle's
    refiners: RefinerSizes = field(default_factory=RefinerSizes)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    perceptual_weights: Path | None = None
    identity_weights: Path | None = None
    pool_factor: int = 4
    optim: OptimConfig = field(default_factory=OptimConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.phases:
            raise ConfigError("phases: empty; at least one is needed")
        if self.data.images is None:
            raise ConfigError("data.images: null, but this stage needs real faces")
        weighed = any(part.identity for p in self.phases for part in (p.loss.ws, p.loss.f, p.loss.edit))
        if weighed and self.identity_weights is None:
            raise ConfigError("identity_weights: null, but a phase weighs identity")
