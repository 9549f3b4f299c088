"""Settings of the search for edit directions."""

from dataclasses import dataclass
from pathlib import Path

from editor.measure.attribute_network import BUNDLED_ATTRIBUTES
from stylegan2.errors import ConfigError
from stylegan2.settings import require


@dataclass(frozen=True, kw_only=True)
class DirectionsConfig:
    """`python -m train directions`: edit directions of one model bundle, learned on measured faces."""

    bundle: Path
    out: Path | None = None  # folder to write; null: directions/NAME of the bundle
    work: Path = Path("runs/directions")  # folder that keeps what is done, for a run that was broken off
    pool: Path | None = None  # `pairs.cache` of a training, whose faces are measured; null draws new ones
    count: int = 7000  # faces to measure, at most as many as the pool has
    psi: float = 0.85  # truncation of the faces that are measured; of those that are learned on, 0.8
    attribute_weights: Path = BUNDLED_ATTRIBUTES  # attributes.safetensors of `train attributes`
    identity_weights: Path | None = None  # mobilefacenet_id.onnx; null: edits do not mind who the face is
    edits: tuple[str, ...] = ()  # those that are learned; empty: all
    rounds: int = 3  # of teaching the surrogate and learning edits; after each, edited faces are measured
    lessons: int = 700  # steps of the surrogate, in each round
    steps: int = 90  # of every edit, in each round
    batch: int = 16  # edited faces a step
    faces: int = 512  # that edits are learned on
    edited: int = 110  # faces a round and edit that the next surrogate is taught with
    check: int = 48  # faces, of no other use, to edit when the effects are measured
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda or mps

    def __post_init__(self) -> None:
        for name in ("count", "check", "rounds", "lessons", "steps", "faces", "edited"):
            require(getattr(self, name) >= 1, f"{name}: {getattr(self, name)}; must be at least 1")
        require(self.batch >= 2, f"batch: {self.batch}; must be at least 2")
        require(self.batch <= self.faces, f"batch: {self.batch}; must be at most faces, {self.faces}")
        if not 0 < self.psi <= 1.5:
            raise ConfigError(f"psi: {self.psi}; must be above 0 and at most 1.5")
