"""Settings of the search for edit directions."""

from dataclasses import dataclass
from pathlib import Path

from stylegan2.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DirectionsConfig:
    """`python -m train directions`: edit directions of one model bundle, from measured faces."""

    bundle: Path
    networks: Path  # folder with age-v1.onnx and gender-v1.onnx
    out: Path | None = None  # folder to write; null: directions/NAME of the bundle
    pool: Path | None = None  # `pairs.cache` of a training, whose faces are measured; null draws new ones
    count: int = 4000  # faces to measure, at most as many as the pool has
    check: int = 24  # faces to edit when the effects are measured
    # attributes.safetensors of `train attributes`: tells age and sex instead of `networks`, and glasses, hat
    # and hair, which are then held; null: these are not looked at
    attribute_weights: Path | None = None
    identity_weights: Path | None = None  # mobilefacenet_id.onnx; null: edits do not mind who the face is
    gradients: int = 1000  # of identity, one a face
    psi: float = 0.8  # truncation of the faces that are drawn
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda or mps

    def __post_init__(self) -> None:
        for name in ("count", "check", "gradients"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)}; must be at least 1")
        if not 0 < self.psi <= 1.5:
            raise ConfigError(f"psi: {self.psi}; must be above 0 and at most 1.5")
