"""Inverter: the facade from aligned pixels to latents."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.optimise import OptimiseConfig, Progress, optimise_latents
from inversion.w_encoder import WEncoder
from stylegan2.checks import check_shape
from stylegan2.generator import Generator
from stylegan2.image import from_uint8
from stylegan2.live_engine import LiveEngine


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """Latents of one picture; `ws` is `w` for every layer until something refines it."""

    w: Tensor  # [1, w_dim]
    ws: Tensor  # [1, num_ws, w_dim]
    steps: int = 0  # optimisation steps behind `ws`; 0 is the encoder's answer
    stopped: bool = False  # whether the optimisation was cancelled


class _PixelsToW(nn.Module):
    """Pixels as the engines take them: uint8 in, w out."""

    def __init__(self, encoder: WEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [N, R, R, 3] uint8 -> w [N, w_dim]."""
        w: Tensor = self.encoder(from_uint8(pixels))
        return w


class Inverter:
    """Aligned pixels -> `Inversion`.

    W+ and F refiners will join behind `invert`; its callers only see more fields filled in.

    Args:
        generator: Used by the optimisation alone; moved to the device.
        encoder: Trained for `generator`.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "auto", "torch" or "openvino".
        cache: Folder for converted graphs; None for the user's cache folder.

    Raises:
        EngineError: See `LiveEngine`.
    """

    def __init__(
        self,
        generator: Generator,
        encoder: WEncoder,
        *,
        device: str = "auto",
        engine: str = "auto",
        cache: Path | None = None,
    ) -> None:
        self._in_resolution = encoder.config.in_resolution
        r = self._in_resolution
        example = torch.zeros(1, r, r, 3, dtype=torch.uint8)
        self.engine = LiveEngine(
            _PixelsToW(encoder).eval(), example, device=device, engine=engine, cache=cache
        )
        self._generator = generator.to(self.engine.device)

    def invert(self, pixels: Tensor) -> Inversion:
        """Invert one aligned picture with the encoder.

        Args:
            pixels: [1, R, R, 3] uint8, R the generator's resolution.

        Returns:
            w and ws, on the CPU.

        Raises:
            ShapeError: `pixels` has another shape.
        """
        side = self._generator.img_resolution
        check_shape("pixels", pixels, 1, side, side, 3)
        w = self.engine(self._shrink(pixels))
        return Inversion(w=w, ws=self._generator.broadcast(w).clone())

    def _shrink(self, pixels: Tensor) -> Tensor:
        side = self._in_resolution
        if pixels.shape[1] == side:
            return pixels
        small = F.interpolate(pixels.permute(0, 3, 1, 2).float(), size=(side, side), mode="area")
        return small.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def refine(
        self,
        pixels: Tensor,
        start: Inversion,
        steps: int,
        *,
        progress: Callable[[Progress], bool] | None = None,
        config: OptimiseConfig | None = None,
    ) -> Inversion:
        """Improve an inversion by optimisation: Adam on w, then on ws.

        Args:
            pixels: The picture that `start` inverts [1, R, R, 3] uint8, R the generator's resolution.
            start: Where to begin.
            steps: Most steps to take, at least 1; fewer where the picture stops improving.
            progress: Told after every step; answering False cancels, and the best latents so far are
                returned.
            config: Learning rates and weights.

        Returns:
            The best latents found, with the number of steps taken.

        Raises:
            ShapeError: `pixels` has another shape.
            ConfigError: `steps` is out of range.
        """
        found = optimise_latents(
            self._generator, from_uint8(pixels), start.w, steps, progress=progress, config=config
        )
        return replace(start, w=found.w, ws=found.ws, steps=found.steps, stopped=found.stopped)
