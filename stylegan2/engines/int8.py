"""Which layers a converted graph computes in 8 bits, and whether a model's pictures bear it."""

import copy
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from stylegan2.aside import write_whole
from stylegan2.engines.hashes import weights_hash
from stylegan2.image import psnr
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.ops.int8 import Int8Conv2d

_FIRST = 64  # px: no layer below is rounded, for others amplify what it rounds
LEAST_PSNR = 40.0  # dB that the worst of a model's samples has to keep of its exact picture
# What a processor multiplies faster in 8 bits: "convolutions" leaves those out that double the resolution.
Int8 = Literal["all", "convolutions", "none"]

_LOCK, _SIZING = threading.Lock(), threading.Lock()
_BEAR: WeakIdKeyDictionary = WeakIdKeyDictionary()  # synthesis -> whether it bears 8 bits
_SIZES: WeakIdKeyDictionary = WeakIdKeyDictionary()  # synthesis -> sizes of its channels


def int8_of(capabilities: Mapping[str, Any]) -> Int8:
    """What a processor of these instruction sets, in torch's words, multiplies faster in 8 bits.

    Without dot products of 512 bits, transposed convolutions in 8 bits take OpenVINO longer than in float32.
    """
    if capabilities.get("avx512_vnni") or capabilities.get("amx_int8"):
        return "all"
    return "convolutions" if capabilities.get("avx2") else "none"


def int8_for(module: nn.Module, kind: Int8, folder: Path) -> Int8:
    """`kind` where the pictures of the model that `module` draws bear it, else "none".

    Args:
        module: Without a synthesis of known samples in it nothing is rounded.
        kind: Of this machine.
        folder: Of the cache: what was found is kept there.
    """
    synthesis = next((part for part in module.modules() if isinstance(part, FoldedSynthesis)), None)
    if kind == "none" or synthesis is None or synthesis.samples is None or synthesis.resolutions[-1] < _FIRST:
        return "none"
    with _LOCK:
        if synthesis not in _BEAR:
            _BEAR[synthesis] = _bears(synthesis, synthesis.samples, folder)
        return kind if _BEAR[synthesis] else "none"


def rounded_from(synthesis: FoldedSynthesis) -> int:
    """Side in px from which layers are rounded: at most of the last three blocks, as errors add up."""
    return max(_FIRST, synthesis.resolutions[-1] // 4)


def in_int8(module: nn.Module, kind: Int8) -> nn.Module:
    """A copy of `module` whose layers are rounded as `int8_for` answered.

    Of `FoldedSynthesis` those that `rounded_from` says, and the `Int8Conv2d` of modules that say
    `int8_convolutions`.
    """
    # A copy, for another thread may draw with the module itself.
    rounding = copy.deepcopy(module)
    if kind == "none":
        return rounding
    for exact, part in zip(module.modules(), rounding.modules(), strict=True):
        if isinstance(exact, FoldedSynthesis) and isinstance(part, FoldedSynthesis):
            part.round_from(rounded_from(part), up=kind == "all", sizes=_sizes_in(exact))
        elif getattr(part, "int8_convolutions", False):
            for each in part.modules():
                if isinstance(each, Int8Conv2d):
                    each.int8 = True
    return rounding


def _sizes_in(synthesis: FoldedSynthesis) -> Mapping[int, Tensor]:
    """See `FoldedSynthesis.channel_sizes`: of its samples, found once for all its graphs."""
    with _SIZING:
        if synthesis not in _SIZES:
            samples = synthesis.samples
            # On a copy: hooks would also be told of what other threads draw.
            _SIZES[synthesis] = {} if samples is None else copy.deepcopy(synthesis).channel_sizes(samples)
        found: Mapping[int, Tensor] = _SIZES[synthesis]
        return found


def _bears(synthesis: FoldedSynthesis, samples: Tensor, folder: Path) -> bool:
    """Whether the rounded pictures of samples are near enough to the exact ones."""
    file = folder / f"int8-{weights_hash(synthesis)[:32]}.txt"
    with suppress(OSError, ValueError):  # not there, or damaged
        return float(file.read_text(encoding="utf-8")) >= LEAST_PSNR
    kept = rounding_psnr(synthesis, samples)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, f"{kept:.2f}\n".encode())
    return kept >= LEAST_PSNR


@torch.inference_mode()
def rounding_psnr(synthesis: FoldedSynthesis, samples: Tensor) -> float:
    """PSNR in dB of the rounded against the exact picture, of the worst of some.

    Args:
        synthesis: Draws; stays exact.
        samples: Styles [P, num_ws, w_dim].
    """
    rounding, worst = in_int8(synthesis, "all"), float("inf")
    for ws in samples:
        styles = synthesis.in_zones(ws[None])
        worst = min(worst, float(psnr(rounding(styles), synthesis(styles))))
    return worst
