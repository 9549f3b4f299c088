"""Settings of the stage `refiners`."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from inversion.networks.config import Attention, EncoderConfig, FeatureForm, RefinerConfig, check_choice
from stylegan2.errors import ConfigError
from stylegan2.network.config import GeneratorConfig
from train.core.config import (
    Against,
    DataConfig,
    FacesScheduleConfig,
    HardwareConfig,
    OptimConfig,
    PairsConfig,
    RunConfig,
    TermWeights,
    check_names,
)


@dataclass(frozen=True, kw_only=True)
class PictureWeights(TermWeights):
    """Factors of the terms that compare two pictures; 0 leaves a term out."""

    l2: float = 0.0
    pooled_l2: float = 0.0
    perceptual: float = 0.0
    identity: float = 0.0
    detail: float = 0.0  # of `train.losses.detail.detail_distance`


@dataclass(frozen=True, kw_only=True)
class RefinementLoss:
    """Factors of all terms."""

    w: PictureWeights = field(default_factory=PictureWeights)  # G(w) against a real face
    ws: PictureWeights  # G(ws) against a real face
    f: PictureWeights  # G(ws, f) against a real face
    edit: PictureWeights  # G(ws_hat, f_hat) of an inverted G(w) against G of the edited w
    focus: float = 0.0  # how much more edit.l2 weighs where the edit changes the true picture
    kept_detail: float = 0.0  # of real faces under random edits, against their reconstruction in F
    align: float = 0.0  # w against its picture, see `train.losses.alignment`
    latent: float = 0.1  # ws of an inverted G(w) against w, in standard deviations of W
    spread: float = 0.005  # |ws - w|^2 of real faces, in the same unit: keeps ws near the foundation
    offset: float = 0.01  # mean (f - G_k(ws))^2 (CLCAE's feature regularisation)

    @property
    def weighed(self) -> set[str]:
        """Names of the terms whose factor is not 0."""
        pictures = {name for part in self.pictures for name, v in vars(part).items() if v}
        single = ("kept_detail", "align", "latent", "spread", "offset")
        return pictures | {name for name in single if getattr(self, name)}

    @property
    def weighs_w(self) -> bool:
        """Whether a term looks at w itself."""
        return bool(any(vars(self.w).values()) or self.align)

    @property
    def weighs_ws(self) -> bool:
        """Whether a term depends on ws, so that it learns."""
        return bool(any(vars(self.ws).values()) or self.latent or self.spread)

    @property
    def weighs_f(self) -> bool:
        """Whether a term depends on f, so that it has to be computed and learns."""
        pictures = any(vars(self.f).values()) or any(vars(self.edit).values())
        return bool(pictures or self.kept_detail or self.offset)

    @property
    def pictures(self) -> tuple[PictureWeights, ...]:
        """Factors of all comparisons of pictures."""
        return self.w, self.ws, self.f, self.edit


@dataclass(frozen=True, kw_only=True)
class RefinementPhase(FacesScheduleConfig):
    """One stretch of training the refiners; `pair_batch` 0 trains without edited pairs."""

    loss: RefinementLoss
    real_batch: int = 6
    f_ramp: float = 0.0  # share of the phase over which the offset of f rises from 0 to full, once a run
    encoder_rate: float = 0.0  # learning rate of the encoder as a share of the refiners'; 0: it is frozen
    foundation_share: float = 1.0  # of the real faces that G(w) is drawn for, where the loss looks at it

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.real_batch < 1:
            raise ConfigError(f"real_batch: {self.real_batch}; must be at least 1")
        if not 0 <= self.f_ramp <= 1:
            raise ConfigError(f"f_ramp: {self.f_ramp}; must be in [0, 1]")
        if not 0 < self.foundation_share <= 1:
            raise ConfigError(f"foundation_share: {self.foundation_share}; must be above 0 and at most 1")
        if not (self.loss.weighs_ws or self.loss.weighs_f):
            raise ConfigError("loss: nothing of ws or f is weighed; nothing to learn from")
        if self.loss.kept_detail and not self.pair_batch:
            raise ConfigError("pair_batch: 0, but kept_detail is weighed; only pairs teach when to let go")
        if self.encoder_rate < 0:
            raise ConfigError(f"encoder_rate: {self.encoder_rate}; must be at least 0")
        if (self.encoder_rate or self.loss.weighs_w) and not self.loss.weighs_ws:
            raise ConfigError("loss: nothing of ws is weighed, but w shall learn")


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
    second_look: bool = False
    look_resolution: int | None = None  # null: half of the generator's, at most 64
    look_channels: tuple[int, int, int, int, int] = (24, 48, 96, 128, 80)
    look_width: int = 152
    attention: Attention = "tokens"
    feature: FeatureForm = "carried"
    readiness: float | None = None  # null: that of `start_from`, or `RefinerConfig`'s own
    restraint: float | None = None  # the same

    def __post_init__(self) -> None:
        check_choice("attention", self.attention, get_args(Attention))
        check_choice("feature", self.feature, get_args(FeatureForm))

    def retuned(self, wanted: RefinerConfig, trained: RefinerConfig) -> RefinerConfig:
        """`wanted`, tuned as the refiners that it goes on from where nothing is chosen here."""
        return replace(
            wanted,
            readiness=trained.readiness if self.readiness is None else wanted.readiness,
            restraint=trained.restraint if self.restraint is None else wanted.restraint,
        )

    def complete(self, encoder: EncoderConfig, generator: GeneratorConfig) -> RefinerConfig:
        """The whole architecture for an encoder and a generator."""
        chosen = {name: value for name, value in vars(self).items() if value is not None}
        look_resolution = self.look_resolution or min(64, generator.img_resolution // 2)
        for name, side in (("f_resolution", self.f_resolution), ("look_resolution", look_resolution)):
            if side not in generator.channels:
                raise ConfigError(f"{name}: {side}; must be one of {sorted(generator.channels)}")
        return RefinerConfig(
            in_resolution=encoder.in_resolution,
            level_channels=encoder.channels[1:4],
            img_resolution=generator.img_resolution,
            w_dim=generator.w_dim,
            num_ws=generator.num_ws,
            f_channels=generator.channels[self.f_resolution],
            look_features=generator.channels[look_resolution],
            **{**chosen, "look_resolution": look_resolution},
        )


@dataclass(frozen=True, kw_only=True)
class RefinementConfig:
    """`python -m train refiners`: W+ and F on top of an encoder, which may learn with them."""

    bundle: Path
    run: RunConfig
    phases: tuple[RefinementPhase, ...]
    data: DataConfig
    encoder: Path | None = None  # null: the bundle's
    start_from: Path | None = None  # refiners.safetensors to go on from instead of random weights
    refiners: RefinerSizes = field(default_factory=RefinerSizes)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    perceptual_weights: Path | None = None
    identity_weights: Path | None = None
    contrastive: Path | None = None  # contrastive.safetensors of the stage `contrastive`; null: the bundle's
    align_against: Against = "input"  # the picture that w has to fit; reconstruction: G(w), for comparison
    pool_factor: int = 4
    identity_share: float = 1.0  # of a batch's pictures that the identity network looks at: it is slow
    optim: OptimConfig = field(default_factory=OptimConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        check_names(self.phases)
        if self.data.images is None:
            raise ConfigError("data.images: null, but this stage needs real faces")
        ramps = [phase.name for phase in self.phases if phase.f_ramp]
        if len(ramps) > 1:
            raise ConfigError(f"f_ramp: set in the phases {', '.join(ramps)}; f enters once a run")
        for phase in self.phases:
            if phase.loss.weighs_w and not (phase.encoder_rate or self.refiners.second_look):
                raise ConfigError("loss: w or align is weighed, but neither encoder nor second look learn")
        weighed = any(part.identity for p in self.phases for part in p.loss.pictures)
        if weighed and self.identity_weights is None:
            raise ConfigError("identity_weights: null, but a phase weighs identity")
        if not 0 < self.identity_share <= 1:
            raise ConfigError(f"identity_share: {self.identity_share}; must be above 0 and at most 1")

    @property
    def trains_encoder(self) -> bool:
        """Whether the encoder learns in some phase."""
        return any(phase.encoder_rate > 0 for phase in self.phases)

    @property
    def images(self) -> str:
        """Where the real faces are."""
        return str(self.data.images)
