"""What a training runs on: number format and memory layout, and where compiled code and memory are kept."""

import ctypes
import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stylegan2.engines.cache import cache_folder
from stylegan2.errors import ConfigError
from train.core.config import HardwareConfig


def choose_precision(device: torch.device, precision: Literal["auto", "float32", "bfloat16"]) -> torch.dtype:
    """Number format for the forward passes: bfloat16 where it is native, or where it is asked for.

    Raises:
        ConfigError: bfloat16 is asked for on a device that only emulates it, which is slower than float32.
    """
    native = has_native_bfloat16(device)
    if precision == "bfloat16" and not native:
        raise ConfigError(f"hardware.precision: bfloat16 is not native on {device.type}; use auto or float32")
    return torch.bfloat16 if native and precision != "float32" else torch.float32


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(
            torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16")
        )
    return False


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Context for forward passes in `dtype`."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def narrow_vectors(device: torch.device) -> dict[str, str | int | bool | Callable[..., Any]] | None:
    """Options of torch.compile for a layer norm over tokens of a feature map to which places were added.

    In vectors of 512 bits the code that torch 2.13 makes of it answers with NaN (seen on a Xeon with AMX); in
    vectors of 256 it is right. None where vectors are no wider.
    """
    wide = device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_f")
    return {"cpp.simdlen": 256} if wide else None


def keep_compiled() -> bool:
    """Let torch.compile keep its code in the user's cache folder, so that the next run finds it again.

    torch's own choice is the system's folder for temporary files, which a restart empties. A folder that
    TORCHINDUCTOR_CACHE_DIR names already stays the one. To be called before anything is compiled.

    Returns:
        Whether the code is kept there; not where another folder is named, or ours cannot be written.
    """
    if os.environ.get("TORCHINDUCTOR_CACHE_DIR"):
        return False
    folder = cache_folder().absolute() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    if not os.access(folder, os.W_OK):
        return False
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    return True


def to_channels_last(module: nn.Module) -> None:
    """Lay convolution kernels out as the device's convolutions read them."""
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def laid_out(img: Tensor, hardware: HardwareConfig) -> Tensor:
    """Pictures or feature maps [N, C, H, W] in the memory layout that the settings ask for."""
    return img.contiguous(memory_format=torch.channels_last) if hardware.channels_last else img


# Of malloc.h in glibc.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1  # bytes at the heap's end that go back to the system: as many as mallopt can be told


def keep_memory() -> bool:
    """Let malloc keep the memory of large tensors instead of giving it back each time one is freed.

    glibc asks the system for every tensor of some megabytes anew, and the system clears it page by page: a
    quarter of a training step on a processor (`python -m benchmarks.memory`). Kept memory was cleared once.
    The process stays as large as it has been at its largest, so this is for commands that end.

    Returns:
        Whether this system's malloc can be told; others are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
