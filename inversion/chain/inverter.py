"""Inverter: the facade from aligned pixels to latents."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from inversion.chain.inversion import Inversion
from inversion.chain.refiner_path import RefinerPath
from inversion.networks.refiners import Refiners
from inversion.networks.w_encoder import WEncoder
from inversion.optimise.inversion import refine_inversion
from inversion.optimise.latents import OptimiseConfig
from inversion.optimise.search import Tell
from stylegan2.checks import check_shape
from stylegan2.engines.engine import choose_device
from stylegan2.engines.live import LiveEngine
from stylegan2.image import from_uint8, shrink
from stylegan2.network.generator import Generator


class InvertsPictures(Protocol):
    """What an editor needs of an inverter: `Inverter`, or `PublishedInverter`."""

    @property
    def engine(self) -> LiveEngine | None:
        """Of the encoder; None where there is none."""

    def prepare(self) -> None:
        """See `Inverter.prepare`."""

    def invert(self, pixels: Tensor) -> Inversion:
        """See `Inverter.invert`."""

    def refine(
        self,
        pixels: Tensor,
        start: Inversion,
        steps: int,
        *,
        progress: Tell | None = None,
    ) -> Inversion:
        """See `Inverter.refine`."""


class _PixelsToW(nn.Module):
    """Pixels [N, R, R, 3] uint8 -> w [N, w_dim], and the levels where refiners want them."""

    def __init__(self, encoder: WEncoder, with_levels: bool) -> None:
        super().__init__()
        self.encoder, self.with_levels = encoder, with_levels

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        w, levels = self.encoder.encode(shrink(from_uint8(pixels), self.encoder.config.in_resolution))
        return (w, *levels) if self.with_levels else (w,)

    def extra_repr(self) -> str:
        return f"with_levels={self.with_levels}"


class Inverter:
    """Aligned pixels -> `Inversion`.

    Args:
        generator: Used by the optimisation; moved to the device.
        encoder: Trained for `generator`. Without one `invert` answers with the mean of W, from where `refine`
            finds the picture.
        refiners: Trained for `encoder`; None inverts into W alone.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "auto", "torch" or "openvino".
        cache: Folder for converted graphs; None for the user's cache folder.

    Raises:
        EngineError: See `LiveEngine`.
    """

    def __init__(
        self,
        generator: Generator,
        encoder: WEncoder | None,
        *,
        refiners: Refiners | None = None,
        device: str = "auto",
        engine: str = "auto",
        cache: Path | None = None,
    ) -> None:
        side = generator.img_resolution
        pixels = torch.zeros(1, side, side, 3, dtype=torch.uint8)

        open_engine = partial(LiveEngine, device=device, engine=engine, cache=cache)

        self.engine: LiveEngine | None = None
        self._path: RefinerPath | None = None
        if encoder is not None:
            self.engine = open_engine(_PixelsToW(encoder, refiners is not None).eval(), (pixels,))
            if refiners is not None:
                answer = self.engine(pixels)
                self._path = RefinerPath(generator, refiners, answer, open_engine)
        self._generator = generator.to(choose_device("cpu" if engine == "openvino" else device))

    def prepare(self) -> None:
        """Start building faster engines in the background."""
        if self.engine is not None:
            self.engine.prepare()
        if self._path is not None:
            self._path.prepare()

    def invert(self, pixels: Tensor) -> Inversion:
        """Invert one aligned picture with the encoder, and with the refiners where there are some.

        Args:
            pixels: [1, R, R, 3] uint8, R the generator's resolution.

        Returns:
            Latents on the CPU.

        Raises:
            ShapeError: `pixels` has another shape.
        """
        self._check(pixels)
        if self.engine is None:
            w, levels = self._generator.w_avg[None].cpu(), []
        else:
            w, *levels = self.engine(pixels)
        if self._path is None:
            return Inversion(w=w, ws=self._generator.broadcast(w).clone())
        w, ws = self._path.styles(pixels, w, levels)
        fitted, f = self._path.fitted(pixels, ws, levels)
        return Inversion(w=w, ws=fitted, plain_ws=ws, f=f)

    def _check(self, pixels: Tensor) -> None:
        side = self._generator.img_resolution
        check_shape("pixels", pixels, 1, side, side, 3)

    def refine(
        self,
        pixels: Tensor,
        start: Inversion,
        steps: int,
        *,
        progress: Tell | None = None,
        config: OptimiseConfig | None = None,
    ) -> Inversion:
        """Improve an inversion by optimisation, see `refine_inversion`.

        Args:
            pixels: The picture that `start` inverts [1, R, R, 3] uint8, R the generator's resolution.
            start: Where to begin; without f, F begins with what the refiners find for its ws.
            steps: Most steps in each space.
            progress: Told after every step; answering False cancels, and the best so far is returned.
            config: Learning rates and weights.

        Raises:
            ShapeError: `pixels` has another shape.
            ConfigError: `steps` is out of range.
        """
        self._check(pixels)
        target = from_uint8(pixels)
        if self._path is None or self.engine is None:
            return refine_inversion(self._generator, target, start, steps, progress=progress, config=config)
        path, (_, *levels) = self._path, self.engine(pixels)
        if start.f is None:
            start = replace(start, f=path.fitted(pixels, start.ws, levels)[1])
        return refine_inversion(
            self._generator,
            target,
            start,
            steps,
            space=path.refiners,
            fit_colours=lambda ws: path.fitted(pixels, ws, levels)[0],
            progress=progress,
            config=config,
        )
