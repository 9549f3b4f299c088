"""Settings of `python -m train evaluate`."""

from dataclasses import dataclass
from pathlib import Path

from inversion.chain.inversion import Space
from stylegan2.bundle.opening import DEFAULT_BUNDLE
from stylegan2.errors import ConfigError
from train.core.logbook import REPOSITORY
from train.evaluate.edit_truth import FACES as EDIT_FACES
from train.evaluate.retention import FACES as RETENTION_FACES
from train.evaluate.subject import SPACES

DEFAULT_METRICS = REPOSITORY.parent / "shared" / "models" / "metrics"
PHOTO_SIDE = 256  # px of the photos; the model sees them shrunk
PHOTO_FACES = 473  # all of the held-out ones
PICTURES = (".jpg", ".jpeg", ".png")  # what a grid can be written as


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is measured, with what; `train/configs/evaluate.yaml` prints the tables there are."""

    data: str  # cropped faces, see `train.data.images.find_images`; shrunk by area to the model's resolution
    bundle: Path = DEFAULT_BUNDLE
    encoder: Path | None = None  # encoder.safetensors; null: the bundle's
    contrastive: Path | None = None  # contrastive.safetensors; null: the bundle's, if it has one
    refiners: Path | None = None  # refiners.safetensors, of W+ and F; null: the bundle's, if it has some
    directions: Path | None = None  # folder with a manifest.yaml; null: those below directions/
    edit_faces: int = EDIT_FACES  # generated faces whose edits are measured; 0: none
    retention_faces: int = RETENTION_FACES  # generated and real ones whose attributes are measured; 0: none
    photo_faces: int = PHOTO_FACES  # real ones at 256 px that are edited as photos; 0: none
    limit: int | None = None  # at most so many faces; null: all
    spaces: tuple[Space, ...] = SPACES  # what is measured of w, w+ and f
    metrics_dir: Path = DEFAULT_METRICS  # networks that measure identity, age and gender
    device: str = "auto"  # auto, cpu, cuda or mps
    engine: str = "auto"  # auto, as the product; torch or openvino
    grid: Path | None = None  # JPEG or PNG to write, see `train.evaluate.edit_grid.edit_grid`; null: none
    retrieval: bool = True  # measure the contrastive pair, if there is one
    colours: bool = True  # fit the colours of W+, as the product does; else its answer is the refiners'

    def __post_init__(self) -> None:
        if not self.data.strip():
            raise ConfigError(f"data: {self.data!r}; must name shards or a folder")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit: {self.limit}; must be at least 1, or null")
        if not self.spaces:
            raise ConfigError(f"spaces: none; must be some of {', '.join(SPACES)}")
        for name in ("edit_faces", "retention_faces", "photo_faces"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: {getattr(self, name)}; must be at least 0")
        if self.grid is not None and self.grid.suffix.lower() not in PICTURES:
            raise ConfigError(f"grid: {self.grid}; must end in one of {', '.join(PICTURES)}")
