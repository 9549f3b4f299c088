"""The encoder of another project's file, stored beside a bundle's generator."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from stylegan2.layouts.found import Found, Layout, plain_settings
from stylegan2.layouts.psp_family import ENCODER, OURS

# One entry for everything: safetensors writes several in an order that differs from run to run.
_ENTRY = "inverter"
# Of the file's settings, what changes which encoder it is and what that computes.
_KEPT = (
    "dataset_type",
    "encoder_type",
    "input_nc",
    "learn_in_w",
    "output_size",
    "start_from_latent_avg",
    "stylegan_size",
)


def save_inverter(found: Found, path: str | Path) -> None:
    """Write an encoder's tensors by their published names, as they are, for `recognise` to read again.

    Nothing is rounded: float32 tensors of a safetensors file are used where they lie on the disk, so that
    the larger file costs neither memory nor time.

    Args:
        found: A file with an encoder of one of `psp_family.OURS`.
        path: The safetensors file.
    """
    description = {
        "layout": found.layout,
        "opts": {name: found.opts[name] for name in _KEPT if name in found.opts},
        "generator_entries": found.generator_entries,
    }
    tensors = {ENCODER + name: value.contiguous() for name, value in found.encoder.items()}
    save_file(tensors, path, {_ENTRY: json.dumps(description)})
    Path(path).chmod(0o644)  # safetensors leaves files that only their owner can read


def kept_layout(metadata: Mapping[str, str]) -> Layout | None:
    """The layout that `save_inverter` wrote down; None in other files."""
    kept = _description(metadata).get("layout")
    return next((layout for layout in OURS if kept == layout), None)


def kept_settings(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The settings that `save_inverter` wrote down; empty in other files."""
    return plain_settings(_description(metadata).get("opts"))


def kept_entries(metadata: Mapping[str, str]) -> int:
    """How many entries made the generator of the file that `save_inverter` was given; 0 for other files."""
    count = _description(metadata).get("generator_entries")
    return count if type(count) is int else 0


def _description(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        return plain_settings(json.loads(metadata.get(_ENTRY, "{}")))
    except (ValueError, RecursionError):
        return {}
