"""Engines run a module with fixed weights fast: the interface, the torch engine, the choice of device."""

import threading
from typing import Protocol

import torch
from torch import Tensor, nn

from stylegan2.errors import EngineError

DEVICES = ("auto", "cpu", "cuda", "mps")
ENGINES = ("auto", "torch", "openvino")


class Engine(Protocol):
    """Tensors in, tensors out, all on the CPU, batch first; safe to call from several threads."""

    @property
    def name(self) -> str:
        """Engine, device and number format in a few words, for people."""

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the module on `inputs`; what it returns, always as a tuple."""


def choose_device(device: str = "auto") -> torch.device:
    """The device that torch shall use: CUDA before MPS before the CPU, unless one is named.

    Raises:
        EngineError: An unknown name, or a device that this machine does not have.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device not in DEVICES:
        raise EngineError(f"device: {device!r}; must be one of {', '.join(DEVICES)}")
    if device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if available[name]))
    if not available[device]:
        have = ", ".join(name for name, there in available.items() if there)
        raise EngineError(f"device: {device!r} is not available to torch on this machine; have: {have}")
    return torch.device(device)


def engine_device(engine: str, device: str) -> torch.device:
    """The device of an engine: OpenVINO knows the CPU alone.

    Raises:
        EngineError: An unknown name, a device that is not there, or OpenVINO asked for on a GPU.
    """
    if engine not in ENGINES:
        raise EngineError(f"engine: {engine!r}; must be one of {', '.join(ENGINES)}")
    chosen = choose_device("cpu" if engine == "openvino" and device == "auto" else device)
    if engine == "openvino" and chosen.type != "cpu":
        raise EngineError(f"engine: 'openvino' runs on the cpu, not on {chosen.type!r}; use --engine torch")
    return chosen


class TorchEngine:
    """Run the module with torch in float32: the reference, and the engine of GPUs."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self._device = device
        self._module = module.to(device).eval()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """For example "torch cpu float32"."""
        return f"torch {self._device.type} float32"

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the module on `inputs`."""
        # One picture at a time: two threads that render at once only evict each other's caches.
        with self._lock, torch.inference_mode():
            result = self._module(*(x.to(self._device) for x in inputs))
            outputs = result if isinstance(result, tuple) else (result,)
            return tuple(x.cpu() for x in outputs)
