"""The frozen generator as the stages of training use it."""

from collections.abc import Callable

import torch
from torch import Tensor

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
