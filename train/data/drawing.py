"""The frozen generator as the stages of training use it."""

from collections.abc import Callable

import torch
from torch import Tensor

from inversion.chain.chain import Synthesis
from stylegan2 import Generator
from train.core.config import HardwareConfig
from train.core.hardware import autocast, choose_precision


class Drawing:
    """w [N, w_dim] -> img [N, 3, R, R] float32, with the stored noise, in the training's number format.

    Args:
        generator: Frozen, on the device.
        hardware: Number format, and whether to compile.

    Raises:
        ConfigError: The number format does not suit the device.
    """

    def __init__(self, generator: Generator, hardware: HardwareConfig) -> None:
        self.generator = generator
        self.device = generator.w_avg.device
        self.dtype = choose_precision(self.device, hardware.precision)
        self._render: Callable[[Tensor], Tensor] = self._synthesise
        if hardware.compile:
            self._render = torch.compile(self._synthesise, dynamic=False)

    def __call__(self, w: Tensor) -> Tensor:
        """Draw `w`; compiled code is made for every number of pictures and kept."""
        with autocast(self.device, self.dtype):
            return self._render(w).float()

    def uncompiled(self, w: Tensor) -> Tensor:
        """Draw `w` where a number of pictures comes too rarely to compile for it."""
        with autocast(self.device, self.dtype):
            return self._synthesise(w).float()

    def _synthesise(self, w: Tensor) -> Tensor:
        img: Tensor = self.generator.synthesis(self.generator.broadcast(w), noise_mode="const")
        return img


class CompiledSynthesis:
    """The two parts of a synthesis network, compiled, in bfloat16 where the device has it natively.

    Some times faster than the network itself, after a minute of compiling for every number of pictures.

    Args:
        synthesis: On the device, not trained.
        device: That device.
    """

    def __init__(self, synthesis: Synthesis, device: torch.device) -> None:
        self._device, self.dtype = device, choose_precision(device, "auto")
        self._lower = torch.compile(synthesis.lower, dynamic=False)
        self._upper = torch.compile(synthesis.upper, dynamic=False)
        self._trace = torch.compile(synthesis.trace, dynamic=False)

    def lower(self, ws: Tensor, resolution: int) -> tuple[Tensor, Tensor | None]:
        """See `SynthesisNetwork.lower`; float32."""
        with autocast(self._device, self.dtype):
            a, img = self._lower(ws.contiguous(), resolution)
        return a.float(), None if img is None else img.float()

    def upper(self, f: Tensor, img: Tensor | None, ws: Tensor) -> Tensor:
        """See `SynthesisNetwork.upper`; float32."""
        with autocast(self._device, self.dtype):
            drawn: Tensor = self._upper(f, img, ws.contiguous())
        return drawn.float()

    def trace(self, f: Tensor, img: Tensor | None, ws: Tensor) -> tuple[list[Tensor], Tensor]:
        """See `SynthesisNetwork.trace`; float32."""
        with autocast(self._device, self.dtype):
            activations, drawn = self._trace(f, img, ws.contiguous())
        return [a.float() for a in activations], drawn.float()
