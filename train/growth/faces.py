"""FaceSource: what the frozen blocks hand on, of real faces through the inversion and of invented ones."""

import random
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from editor.model.opening import OpenedModel
from inversion.chain.steps import Carrier
from stylegan2.errors import ConfigError
from stylegan2.image import from_uint8, shrink, to_uint8
from train.core.hardware import autocast, choose_precision
from train.core.seeds import Stream, positioned_generator
from train.data.images import ImageSource, decode_image, in_validation
from train.data.pairs import sample_w
from train.errors import DatasetError
from train.evaluate.photo.measures import fine_detail
from train.growth.config import GrowthConfig
from train.growth.pool import Below

BATCH = 16


class FaceSource:
    """Faces, each a pure function of the model, the pictures, the seed and its number.

    Args:
        config: Settings.
        model: Prepared, with refiners.
        carrier: Of these.
        f_resolution: Where f enters the generator.
        source: Real pictures.
    """

    batch = BATCH

    def __init__(
        self,
        config: GrowthConfig,
        model: OpenedModel,
        carrier: Carrier,
        f_resolution: int,
        source: ImageSource,
    ) -> None:
        self._config, self._model, self._source = config, model, source
        self._carrier, self._f_resolution = carrier, f_resolution
        self._device = model.generator.w_avg.device
        self._dtype = choose_precision(self._device, config.hardware.precision)

    def photos(self) -> Iterator[Tensor]:
        """Batches of sharp photos [N, 2 R, 2 R, 3] uint8 from what is not held out.

        Raises:
            DatasetError: They are fewer than the settings want.
        """
        found, batch = 0, []
        data, side = self._config.data, 2 * self._model.generator.img_resolution
        for pixels in sharp_photos(
            self._source,
            side,
            self._config.sharpness,
            lambda key: not in_validation(key, data.validation_fraction),
            buffer=data.shuffle_buffer,
            seed=self._config.seed,
        ):
            batch.append(pixels)
            if len(batch) == BATCH or found + len(batch) == self._config.faces:
                found += len(batch)
                yield torch.stack(batch)
                batch = []
            if found == self._config.faces:
                return
        raise DatasetError(
            f"{self._source.name}: {found + len(batch)} pictures of sharpness {self._config.sharpness:g}; "
            f"faces wants {self._config.faces}"
        )

    @torch.no_grad()
    def draw_faces(self, photos: Tensor) -> Below:
        """Real faces as F draws them, of photos [N, 2 R, 2 R, 3] uint8."""
        generator = self._model.generator
        small = to_uint8(shrink(from_uint8(photos), generator.img_resolution))
        parts = []
        for pixels in torch.split(small, 1):
            found = self._model.inverter.invert(pixels).f
            if found is None:
                raise ConfigError("bundle: its inversion finds no F")
            parts.append((found.ws, found.code))
        ws, code = (torch.cat(each).to(self._device) for each in zip(*parts, strict=True))
        with autocast(self._device, self._dtype):
            a, below = generator.synthesis.lower(ws, self._f_resolution)
            return self._handed_on(self._carrier(code, a), below, ws)

    @torch.no_grad()
    def invent(self, first: int, count: int) -> Below:
        """Invented faces, by the number of the first."""
        generator = self._model.generator
        rng = positioned_generator(self._config.seed, Stream.GROWTH_FACES, first)
        ws = generator.broadcast(sample_w(generator, count, self._config.psi, rng))
        with autocast(self._device, self._dtype):
            return self._handed_on(*generator.synthesis.lower(ws, self._f_resolution), ws)

    def _handed_on(self, f: Tensor, below: Tensor | None, ws: Tensor) -> Below:
        generator = self._model.generator
        activations, img = generator.synthesis.trace(f, below, ws)
        row = generator.config.num_ws - 2
        x, img, w = (part.float().cpu() for part in (activations[-1], img, ws[:, row]))
        return Below(x=x, img=img, w=w)


def sharp_photos(
    source: ImageSource,
    side: int,
    sharpness: float,
    keep: Callable[[str], bool],
    *,
    buffer: int,
    seed: int,
) -> Iterator[Tensor]:
    """Photos [side, side, 3] uint8 with fine detail enough, in an order that follows from the seed.

    Args:
        source: Where from.
        side: px.
        sharpness: Least `fine_detail`, in levels.
        keep: Selects by key.
        buffer: Pictures that are shuffled at a time.
        seed: Of the order.

    Raises:
        DatasetError: A picture cannot be read, or is no cropped square of `side`.
    """
    rng = random.Random(seed)  # noqa: S311 (an order of pictures)
    for key, encoded in source.samples(list(source.files), buffer, rng):
        if keep(key):
            pixels = decode_image(encoded, side, f"{source.name}: {key}")
            if fine_detail(pixels) >= sharpness:
                yield torch.from_numpy(pixels)
