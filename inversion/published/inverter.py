"""PublishedInverter: the facade of `Inverter` around a published encoder."""

from dataclasses import replace

import torch
from torch import Tensor

from inversion.chain.decoder import FeatureRenderer
from inversion.chain.inversion import Feature, Inversion
from inversion.optimise.inversion import optimise_inversion
from inversion.optimise.latents import OptimiseConfig
from inversion.optimise.search import Tell
from inversion.published.encoders import Look
from inversion.published.foundation import ClcaeFoundation
from inversion.published.model import PublishedModel
from stylegan2.checks import check_shape
from stylegan2.engines.engine import engine_device
from stylegan2.engines.live import LiveEngine
from stylegan2.image import from_uint8
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator


class PublishedInverter:
    """Cropped pixels -> `Inversion`, with the encoder of another project's file.

    The encoder runs with torch whatever `engine` says: a converted graph would hold its weights once more,
    1.2 GB for CLCAE's, to save a fraction of a second a photo.

    Args:
        model: Its mean image is drawn here.
        generator: Used by the optimisation; moved to the device.
        features: Renders (ws, f); needed where the model has F.
        synthesis: Of `generator`, as its `Renderer` has it; None folds one more.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "auto", "torch" or "openvino"; the last keeps to the CPU.

    Raises:
        EngineError: A device that cannot be used.
    """

    def __init__(
        self,
        model: PublishedModel,
        generator: Generator,
        *,
        features: FeatureRenderer | None = None,
        synthesis: FoldedSynthesis | None = None,
        device: str = "auto",
        engine: str = "auto",
    ) -> None:
        chosen = engine_device(engine, device)
        self._generator, self._synthesis = generator.to(chosen), synthesis
        self._features = features if model.has_f else None
        model.draw_mean(self._generator)
        side = generator.img_resolution
        pixels = torch.zeros(1, side, side, 3, dtype=torch.uint8)
        self.engine = LiveEngine(model, (pixels,), device=chosen.type, engine="torch")
        self._model = model

    @property
    def report(self) -> str:
        """How the file's entries fitted, in words."""
        return self._model.report

    @property
    def engines(self) -> list[str]:
        """Names of what runs the encoder."""
        return [self.engine.name]

    @property
    def converted(self) -> bool:
        """The encoder never is."""
        return False

    def prepare(self) -> None:
        """There is nothing to prepare: see the class."""

    def wait(self) -> None:
        """Nor to wait for."""

    def invert(self, pixels: Tensor) -> Inversion:
        """Invert one cropped picture.

        Args:
            pixels: [1, R, R, 3] uint8, R the generator's resolution.

        Returns:
            Latents on the CPU.

        Raises:
            ShapeError: `pixels` has another shape.
        """
        w, ws, *rest = self._encode(pixels)
        if not rest:
            return Inversion(w=w, ws=ws, has_w=self._model.config.finds_w)
        f, latents, fine = rest
        look = Look(latents=latents, fine=fine)
        foundation = ClcaeFoundation(model=self._model, w=w, ws=ws, f=f, look=look)
        return Inversion(w=w, ws=ws, f=self._feature(f, ws), foundation=foundation)

    def glance(self, pixels: Tensor) -> Inversion:
        """See `Inverter.glance`; these encoders find all at once, so that nothing is saved."""
        w, ws, *_ = self._encode(pixels)
        return Inversion(w=w, ws=ws, has_w=self._model.config.finds_w)

    def optimise(
        self,
        pixels: Tensor,
        start: Inversion,
        steps: int,
        *,
        progress: Tell | None = None,
        config: OptimiseConfig | None = None,
    ) -> Inversion:
        """Improve an inversion by optimisation, see `Inverter.optimise`; f of CLCAE is its own code."""
        target = from_uint8(pixels)
        if start.f is None and self._features is not None:
            start = replace(start, f=self._feature(self._encode(pixels)[2], start.ws))
        space = self._model if self._features is not None else None
        return optimise_inversion(
            self._generator,
            target,
            start,
            steps,
            synthesis=self._synthesis,
            space=space,
            progress=progress,
            config=config,
        )

    def _encode(self, pixels: Tensor) -> tuple[Tensor, ...]:
        side = self._generator.img_resolution
        check_shape("pixels", pixels, 1, side, side, 3)
        return self.engine(pixels)

    def _feature(self, f: Tensor, ws: Tensor) -> Feature | None:
        return None if self._features is None else Feature(ws=ws, code=f, a=self._features.activation(ws))
