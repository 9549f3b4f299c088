"""Inverter: the facade from cropped pixels to latents."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from inversion.chain.chain import Chain
from inversion.chain.inversion import Inversion
from inversion.networks.refiners import Refiners
from inversion.networks.w_encoder import WEncoder
from inversion.optimise.inversion import optimise_inversion
from inversion.optimise.latents import OptimiseConfig
from inversion.optimise.search import Tell
from stylegan2.checks import check_shape
from stylegan2.engines.cache import cache_folder
from stylegan2.engines.engine import engine_device
from stylegan2.engines.live import LiveEngine
from stylegan2.engines.lower import LowerPart
from stylegan2.image import from_uint8
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator


class InvertsPictures(Protocol):
    """What an editor needs of an inverter: `Inverter`, or `PublishedInverter`."""

    @property
    def engine(self) -> LiveEngine | None:
        """Of the encoder; None where there is none."""

    @property
    def engines(self) -> list[str]:
        """See `Inverter.engines`."""

    @property
    def converted(self) -> bool:
        """See `Inverter.converted`."""

    def prepare(self) -> None:
        """See `Inverter.prepare`."""

    def wait(self) -> None:
        """See `Inverter.wait`."""

    def invert(self, pixels: Tensor) -> Inversion:
        """See `Inverter.invert`."""

    def glance(self, pixels: Tensor) -> Inversion:
        """See `Inverter.glance`."""

    def optimise(
        self,
        pixels: Tensor,
        start: Inversion,
        steps: int,
        *,
        progress: Tell | None = None,
    ) -> Inversion:
        """See `Inverter.optimise`."""


class Inverter:
    """Cropped pixels -> `Inversion`.

    Args:
        generator: Used by the optimisation; moved to the device.
        encoder: Trained for `generator`. Without one `invert` answers with the mean of W, from where
            `optimise` finds the picture.
        refiners: Trained for `encoder`; None inverts into W alone.
        synthesis: Of `generator`, as its `Renderer` has it; None folds one more.
        lower: Likewise, at the resolution of F and of the second look or below; None draws all of it here.
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
        synthesis: FoldedSynthesis | None = None,
        lower: LowerPart | None = None,
        device: str = "auto",
        engine: str = "auto",
        cache: Path | None = None,
    ) -> None:
        # First: an engine has taken the shared synthesis to its device already.
        self._generator = generator.to(engine_device(engine, device))
        self._synthesis = synthesis or FoldedSynthesis(generator.synthesis).eval()
        self._engines: list[LiveEngine] = []
        open_engine = partial(LiveEngine, device=device, engine=engine, cache=cache)

        def run(step: torch.nn.Module, examples: tuple[Tensor, ...]) -> LiveEngine:
            self._engines.append(open_engine(step, examples))
            return self._engines[-1]

        self._chain = None
        if encoder is not None:
            keep = cache or cache_folder()
            self._chain = Chain(
                generator, self._synthesis, encoder, refiners, run=run, keep=keep, begin=lower
            )

    @property
    def engine(self) -> LiveEngine | None:
        """Of the encoder; None where there is none."""
        return self._engines[0] if self._engines else None

    @property
    def engines(self) -> list[str]:
        """Names of what runs the steps at the moment."""
        return [engine.name for engine in self._engines]

    @property
    def converted(self) -> bool:
        """Whether all its steps are run by converted graphs."""
        return all(engine.converted for engine in self._engines)

    def prepare(self) -> None:
        """Start building faster engines in the background."""
        for engine in self._engines:
            engine.prepare()

    def wait(self) -> None:
        """Return when every faster engine is built, or has refused."""
        for engine in self._engines:
            engine.wait()

    def invert(self, pixels: Tensor) -> Inversion:
        """Invert cropped faces with the encoder, and with the refiners where there are some.

        Args:
            pixels: [N, R, R, 3] uint8, R the generator's resolution.

        Returns:
            Latents on the CPU.

        Raises:
            ShapeError: `pixels` has another shape.
        """
        return self._mean(pixels) if self._chain is None else self._chain.invert(pixels)

    def glance(self, pixels: Tensor) -> Inversion:
        """Find w alone, at the encoder's first look: for moving pictures; arguments as `invert`."""
        return self._mean(pixels) if self._chain is None else self._chain.glance(pixels)

    def _mean(self, pixels: Tensor) -> Inversion:
        self._check(pixels, "N")
        w = self._generator.w_avg[None].cpu().repeat(len(pixels), 1)
        return Inversion(w=w, ws=self._generator.broadcast(w).clone())

    def _check(self, pixels: Tensor, count: int | str) -> None:
        side = self._generator.img_resolution
        check_shape("pixels", pixels, count, side, side, 3)

    def optimise(
        self,
        pixels: Tensor,
        start: Inversion,
        steps: int,
        *,
        progress: Tell | None = None,
        config: OptimiseConfig | None = None,
    ) -> Inversion:
        """Improve an inversion by optimisation, see `optimise_inversion`.

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
        self._check(pixels, 1)
        target = from_uint8(pixels)
        optimise = partial(
            optimise_inversion,
            self._generator,
            target,
            synthesis=self._synthesis,
            progress=progress,
            config=config,
        )
        if self._chain is None or self._chain.after_w is None:
            return optimise(start, steps)
        after_w, (_, *levels) = self._chain.after_w, self._chain.encode(pixels)
        if start.f is None:
            start = replace(start, f=after_w.find_feature(pixels, start.ws, levels)[1])
        return optimise(
            start,
            steps,
            space=after_w.refiners,
            fit_colours=lambda ws: after_w.find_feature(pixels, ws, levels)[0],
        )
