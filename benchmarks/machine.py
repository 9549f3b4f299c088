"""What the numbers of a benchmark were measured on, and how they are told."""

import os
import platform
import statistics
from pathlib import Path

import torch


def describe() -> str:
    """Processor, cores, instruction sets that matter here, and versions, in one line."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.is_file() else ""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    name = fields.get("model name", platform.processor())
    family = f", family {fields['cpu family']} model {fields['model']}" if "cpu family" in fields else ""
    flags = fields.get("flags", "").split()
    sets = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16") if flag in flags]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return f"{name}{family}, {cores} cores ({', '.join(sets)}), torch {torch.__version__}, load {load:.1f}"


def spread(values: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"
