"""Inverter: the facade from aligned pixels to latents."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from inversion.feature_renderer import Feature
from inversion.feature_synthesis import FeatureSynthesis
from inversion.optimise import OptimiseConfig, optimise_latents
from inversion.optimise_code import optimise_code
from inversion.refiner_path import RefinerPath
from inversion.refiners import Refiners
from inversion.search import Progress, part_of, psnr
from inversion.w_encoder import WEncoder
from stylegan2.checks import check_shape
from stylegan2.engine import choose_device
from stylegan2.folded import FoldedSynthesis
from stylegan2.generator import Generator
from stylegan2.image import from_uint8, shrink
from stylegan2.live_engine import LiveEngine


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """Latents of one picture; without refiners `ws` is `w` for every layer and `f` is None."""

    w: Tensor  # [1, w_dim]
    ws: Tensor  # [1, num_ws, w_dim]
    f: Feature | None = None
    steps: int = 0  # optimisation steps behind `ws`; 0 is the encoder's answer
    stopped: bool = False  # whether the optimisation was cancelled
    has_w: bool = True  # whether `w` was found by itself; else it is the mean of `ws`, a start for refining


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
        progress: Callable[[Progress], bool] | None = None,
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
        ws, f = self._path.fitted(pixels, ws, levels)
        return Inversion(w=w, ws=ws, f=f)

    @torch.no_grad()
    def _fidelity(self, target: Tensor, ws: Tensor) -> float:
        """PSNR of G(ws) in dB against `target` [1, 3, R, R]."""
        drawn = self._generator.synthesis(ws.to(self._generator.w_avg.device))
        return float(psnr(drawn, target.to(drawn.device)))

    def _check(self, pixels: Tensor) -> None:
        side = self._generator.img_resolution
        check_shape("pixels", pixels, 1, side, side, 3)

    def refine(
        self,
        pixels: Tensor,
        start: Inversion,
        steps: int,
        *,
        progress: Callable[[Progress], bool] | None = None,
        config: OptimiseConfig | None = None,
    ) -> Inversion:
        """Improve an inversion by optimisation: Adam on w, on ws, and on the code of F if there is one.

        Args:
            pixels: The picture that `start` inverts [1, R, R, 3] uint8, R the generator's resolution.
            start: Where to begin.
            steps: Most steps to take on w and ws, at least 1; fewer where the picture stops improving. Those
                on the code are `OptimiseConfig.code_share` of as many, besides.
            progress: Told after every step; answering False cancels, and the best latents so far are
                returned.
            config: Learning rates and weights.

        Returns:
            The best latents found, with the number of steps taken on w and ws.

        Raises:
            ShapeError: `pixels` has another shape.
            ConfigError: `steps` is out of range.
        """
        self._check(pixels)
        config, target = config or OptimiseConfig(), from_uint8(pixels)
        on_code = 0 if self._path is None else round(config.code_share * steps)
        told = part_of(progress, 0, steps + on_code)
        found = optimise_latents(self._generator, target, start.w, steps, progress=told, config=config)
        refined = replace(start, w=found.w, ws=found.ws, f=None, steps=found.steps, stopped=found.stopped)
        if self._path is None or self.engine is None:
            return refined
        _, *levels = self.engine(pixels)
        ws, f = self._path.fitted(pixels, found.ws, levels)
        # Few steps may not make up for colours that were fitted to other styles.
        refined = replace(refined, ws=max(start.ws, ws, key=partial(self._fidelity, target)), f=f)
        if found.stopped:
            return refined
        folded = FoldedSynthesis(self._generator.synthesis)
        synthesis = FeatureSynthesis(folded, self._path.refiners).to(self._generator.w_avg.device)
        told = part_of(progress, found.steps, found.steps + on_code)
        better = optimise_code(synthesis, target, found.ws, f.code, on_code, progress=told, config=config)
        f = replace(f, code=better.code, pixels=None)
        return replace(refined, f=f, stopped=better.stopped)
