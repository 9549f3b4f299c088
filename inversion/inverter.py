"""Inverter: the facade from aligned pixels to latents."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from inversion.colour_fit import ColourFit, mixed_palette
from inversion.feature_renderer import Feature
from inversion.feature_synthesis import FeatureSynthesis, Sketch
from inversion.optimise import OptimiseConfig, optimise_latents
from inversion.optimise_code import optimise_code
from inversion.refiners import FeatureRefiner, Refiners, Styles
from inversion.search import Progress, part_of, psnr
from inversion.w_encoder import WEncoder
from stylegan2.checks import check_shape
from stylegan2.engine import choose_device
from stylegan2.folded import FoldedSynthesis
from stylegan2.generator import Generator
from stylegan2.image import from_uint8, shrink, to_uint8
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


class _PixelsToCode(nn.Module):
    """Pixels of a picture and of its G(ws), the levels and ws -> code."""

    def __init__(self, feature: FeatureRefiner) -> None:
        super().__init__()
        self.feature = feature

    def forward(
        self, pixels: Tensor, drawn: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor, ws: Tensor
    ) -> Tensor:
        code: Tensor = self.feature(from_uint8(pixels), from_uint8(drawn), (fine, middle, coarse), ws)
        return code


class _Drawn(nn.Module):
    """ws -> pixels of G(ws), the palette of their colours, and the activation where f enters."""

    def __init__(self, synthesis: FoldedSynthesis, f_resolution: int, palette_side: int) -> None:
        super().__init__()
        self.synthesis, self.f_resolution, self.palette_side = synthesis, f_resolution, palette_side

    def forward(self, ws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        activations, drawn = self.synthesis.trace(*self.synthesis.lower(ws, self.f_resolution), ws)
        return to_uint8(drawn), mixed_palette(activations[-2:], self.palette_side), activations[0]

    def extra_repr(self) -> str:
        return f"f_resolution={self.f_resolution}, palette_side={self.palette_side}"


class _RefinerPath:
    """What follows the encoder: the engines of the refiners, and of what they look at."""

    def __init__(
        self,
        generator: Generator,
        refiners: Refiners,
        answer: tuple[Tensor, ...],
        open_engine: Callable[..., LiveEngine],
    ) -> None:
        """Open the engines; `answer`: the encoder's, for a picture of the right size."""
        side, config = generator.img_resolution, refiners.config
        pixels = torch.zeros(1, side, side, 3, dtype=torch.uint8)
        self.refiners = refiners
        self._colours = ColourFit(generator, refiners.wplus.w_std)
        folded = FoldedSynthesis(generator.synthesis).eval()
        # Unlike latents, which edits move, what is drawn and what is added to it needs few bits.
        self._sketch: LiveEngine | None = None
        if refiners.look is not None:
            sketch = Sketch(folded, config.look_resolution, config.num_ws).eval()
            self._sketch = open_engine(sketch, answer[:1], coarse=True)
        self._styles = open_engine(Styles(refiners).eval(), (*answer, *self._looked_at(pixels, answer[0])))
        _, ws = self.styles(pixels, *answer)
        drawn = _Drawn(folded, config.f_resolution, self._colours.side).eval()
        self._drawn = open_engine(drawn, (ws,), coarse=True)
        code = _PixelsToCode(refiners.feature).eval()
        self._code = open_engine(code, (pixels, pixels, *answer[1:], ws), coarse=True)

    def prepare(self) -> None:
        for engine in (self._sketch, self._styles, self._drawn, self._code):
            if engine is not None:
                engine.prepare()

    def styles(self, pixels: Tensor, w: Tensor, *levels: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's answer -> w, improved by the second look if there is one, and ws."""
        w, ws = self._styles(w, *levels, *self._looked_at(pixels, w))
        return w, ws

    def _looked_at(self, pixels: Tensor, w: Tensor) -> tuple[Tensor, ...]:
        return () if self._sketch is None else (from_uint8(pixels), *self._sketch(w))

    def fitted(self, pixels: Tensor, ws: Tensor, levels: list[Tensor]) -> tuple[Tensor, Feature]:
        """Styles -> the same with the colours of the picture, and what F adds to them as they were."""
        drawn, palette, a = self._drawn(ws)
        (code,) = self._code(pixels, drawn, *levels, ws)
        coloured = self._colours(from_uint8(pixels), from_uint8(drawn), palette, ws)
        return coloured, Feature(ws=ws, code=code, a=a)


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
        self._path: _RefinerPath | None = None
        if encoder is not None:
            self.engine = open_engine(_PixelsToW(encoder, refiners is not None).eval(), (pixels,))
            if refiners is not None:
                answer = self.engine(pixels)
                self._path = _RefinerPath(generator, refiners, answer, open_engine)
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
        w, ws = self._path.styles(pixels, w, *levels)
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
        return replace(refined, f=replace(f, code=better.code), stopped=better.stopped)
