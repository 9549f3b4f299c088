"""Settings of the stage `contrastive`."""

from dataclasses import dataclass, field
from pathlib import Path

from inversion.networks.config import ContrastivePairConfig
from stylegan2.settings import require
from train.core.config import HardwareConfig, OptimConfig, PairsConfig, RunConfig, ScheduleConfig, check_names


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
