"""What can be said of a generator and its discriminator while they train."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from editor.parts.efficientnet import EfficientNetLite0Features
from stylegan2 import Generator
from stylegan2.image import from_uint8, picture_grid, to_uint8
from train.core.seeds import Stream, positioned_generator
from train.data.images import ImageSource, in_validation, read_images
from train.gan.config import GeneratorTrainingConfig
from train.gan.feature_distance import (
    FeatureStatistics,
    feature_statistics,
    frechet_distance,
    pooled_features,
)

GRID_ROWS, GRID_COLUMNS, GRID_PSI = 4, 8, 0.7
BATCH = 64  # pictures drawn at once


class GeneratorValidation:
    """Fixed real pictures, and the measures that compare them with generated ones.

    Args:
        config: Settings.
        source: Real pictures.
        features: On the device; None leaves out the distance.
        device: Of both networks.

    Raises:
        DatasetError: The validation part, or the rest, holds no picture.
    """

    def __init__(
        self,
        config: GeneratorTrainingConfig,
        source: ImageSource,
        features: EfficientNetLite0Features | None,
        device: torch.device,
    ) -> None:
        self._config, self._source, self._features, self._device = config, source, features, device
        self._real: FeatureStatistics | None = None  # of training pictures; computed at the first use
        fraction, count = config.data.validation_fraction, config.data.validation_images
        self._pictures = {"training": self._read(count, validation=False)}
        if fraction:
            self._pictures["validation"] = self._read(count, validation=True)

    def measure(self, judge: Callable[[Tensor], Tensor], average: Generator, batch: int) -> dict[str, float]:
        """Compare.

        The sign statistics are E sign(D) of real pictures as they are, unaugmented. A discriminator that is
        surer of training pictures than of validation ones has learnt them by heart.

        Args:
            judge: The discriminator: img [N, 3, R, R] -> logits [N, 1].
            average: The averaged generator; pictures of fixed z, not truncated, are measured.
            batch: Pictures that the discriminator sees at once.
        """
        measures = {
            f"sign_{name}": self._sign(pixels, judge, batch) for name, pixels in self._pictures.items()
        }
        if self._features is not None:
            if self._real is None:
                self._real = self._statistics(self._real_pictures(), self._features)
            made = self._statistics(self._samples(average), self._features)
            measures["feature_distance"] = frechet_distance(self._real, made)
        return measures

    def _samples(self, average: Generator) -> Iterator[Tensor]:
        z = _fixed_z(average, Stream.GENERATOR_SAMPLES, self._config.seed, self._config.feature_images)
        return (average(part) for part in torch.split(z, BATCH))

    def _sign(self, pixels: Tensor, judge: Callable[[Tensor], Tensor], batch: int) -> float:
        parts = [judge(from_uint8(part).to(self._device)) for part in torch.split(pixels, batch)]
        return float(torch.cat(parts).sign().mean())

    def _real_pictures(self) -> Iterator[Tensor]:
        pixels = self._read(self._config.feature_images, validation=False)
        return (from_uint8(part).to(self._device) for part in torch.split(pixels, BATCH))

    def _statistics(
        self, pictures: Iterator[Tensor], features: EfficientNetLite0Features
    ) -> FeatureStatistics:
        return feature_statistics(torch.cat([pooled_features(features, part) for part in pictures]))

    def _read(self, count: int, *, validation: bool) -> Tensor:
        """Pixels [N, R, R, 3], the first `count` of the validation part or of the rest."""
        fraction = self._config.data.validation_fraction
        batches = read_images(
            self._source,
            self._config.generator.img_resolution,
            64,
            keep=lambda key: in_validation(key, fraction) == validation,
            limit=count,
        )
        return torch.cat(list(batches))


def sample_grid(average: Generator, seed: int) -> Tensor:
    """Pixels [4 R, 8 R, 3] uint8 on the CPU: pictures of fixed z, truncated to psi 0.7."""
    z = _fixed_z(average, Stream.GENERATOR_GRID, seed, GRID_ROWS * GRID_COLUMNS)
    pixels = to_uint8(average(z, truncation_psi=GRID_PSI)).cpu()
    rows = torch.unflatten(pixels, 0, (GRID_ROWS, GRID_COLUMNS))  # [4, 8, R, R, 3]
    return picture_grid(rows)


def _fixed_z(generator: Generator, stream: int, seed: int, count: int) -> Tensor:
    """Input latents z [count, z_dim] on the generator's device, always the same."""
    z = torch.randn(count, generator.z_dim, generator=positioned_generator(seed, stream))
    return z.to(generator.w_avg.device)
