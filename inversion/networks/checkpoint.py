"""Read and write the weights of the inversion networks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from inversion.networks.config import ContrastivePairConfig, EncoderConfig, RefinerConfig
from inversion.networks.contrastive import ContrastivePair
from inversion.networks.refiners import Refiners
from inversion.networks.w_encoder import WEncoder
from stylegan2.bundle.checkpoint import as_int8, in_float, read_safetensors
from stylegan2.checks import check_finite
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.settings import settings_from_dict, settings_to_dict

Network = TypeVar("Network", bound=nn.Module)

# Where a file's metadata keep the architecture: under the first, or as files before it was so called have it.
KEYS: dict[str, tuple[str, ...]] = {
    "encoder": ("encoder_config",),
    "contrastive": ("contrastive_config", "aligner_config"),
    "refiners": ("refiners_config",),
    "transfer": ("transfer_config",),
    "face_parser": (),  # has but one
    "attributes": (),  # likewise
}
# The frame of reference stays exact: every latent is w_avg plus an offset.
_EXACT = ("w_avg", "w_std")


def save_encoder(
    encoder: WEncoder,
    path: str | Path,
    metadata: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write the weights as safetensors, in half precision, with architecture and `metadata` beside them."""
    config = json.dumps(settings_to_dict(encoder.config))
    save_network(encoder, path, {**(metadata or {}), "encoder_config": config}, dtype)


def load_encoder(path: str | Path) -> WEncoder:
    """Build the encoder that `path` describes, in float32, in evaluation mode.

    Raises:
        CheckpointError: Missing, damaged, without architecture, tensors that do not fit it, or no numbers.
    """
    return load_network(
        path, "encoder", "W encoder", lambda fields: WEncoder(settings_from_dict(fields, EncoderConfig))
    )


def save_contrastive_pair(
    contrastive: ContrastivePair,
    path: str | Path,
    metadata: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write the weights as `save_encoder` does; with int8, matrices in 8 bits, scaled row by row."""
    config = json.dumps(settings_to_dict(contrastive.config))
    save_network(contrastive, path, {**(metadata or {}), "contrastive_config": config}, dtype)


def load_contrastive_pair(path: str | Path) -> ContrastivePair:
    """Build the contrastive pair that `path` describes, in float32, in evaluation mode.

    Raises:
        CheckpointError: Missing, damaged, without architecture, tensors that do not fit it, or no numbers.
    """
    return load_network(
        path,
        "contrastive",
        "contrastive pair",
        lambda fields: ContrastivePair(settings_from_dict(fields, ContrastivePairConfig)),
    )


def save_refiners(
    refiners: Refiners,
    path: str | Path,
    metadata: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write the weights as `save_encoder` does."""
    config = json.dumps(settings_to_dict(refiners.config))
    save_network(refiners, path, {**(metadata or {}), "refiners_config": config}, dtype)


def load_refiners(path: str | Path) -> Refiners:
    """Build the refiners that `path` describes, in float32, in evaluation mode.

    Raises:
        CheckpointError: Missing, damaged, without architecture, tensors that do not fit it, or no numbers.
    """
    return load_network(
        path, "refiners", "refiners' file", lambda fields: Refiners(settings_from_dict(fields, RefinerConfig))
    )


def save_network(
    network: nn.Module, path: str | Path, metadata: dict[str, str], dtype: torch.dtype = torch.float16
) -> None:
    """Write weights as safetensors; with int8, matrices in 8 bits, scaled row by row, and the rest in 16."""
    state: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        kept = value.detach().cpu().contiguous()
        if name.endswith("num_batches_tracked"):
            continue
        if name.rpartition(".")[2] in _EXACT:
            state[name] = kept
        elif dtype != torch.int8:
            state[name] = kept.to(dtype)
        elif kept.ndim < 2:
            state[name] = kept.half()
        else:
            state |= as_int8(name, kept)
    save_file(state, path, metadata)
    Path(path).chmod(0o644)  # safetensors leaves files that only their owner can read


def load_network(path: str | Path, role: str, title: str, build: Callable[[Any], Network]) -> Network:
    """Network of `path`, in float32, in evaluation mode.

    Args:
        path: As `save_network` wrote it.
        role: A key of `KEYS`, which says where the metadata keep the architecture.
        title: What to call the network in messages.
        build: Makes it from the architecture, as plain values; from None where the role has none.

    Raises:
        CheckpointError: Missing, damaged, without architecture, tensors that do not fit it, or no numbers.
    """
    try:
        state = in_float(read_safetensors(path))
        network = build(_architecture(path, KEYS[role]) if KEYS[role] else None)
        check_finite(str(path), state)
        missing, unexpected = network.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        if missing or unexpected:
            raise CheckpointError(
                f"{path}: not this {title}: missing {missing[:3]}, left over {unexpected[:3]}"
            )
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not a {title}: {type(error).__name__}: {error}") from error
    return network.eval().requires_grad_(False)


def _architecture(path: str | Path, keys: tuple[str, ...]) -> Any:  # noqa: ANN401 (JSON)
    with safe_open(path, "pt") as file:
        told = file.metadata() or {}
    return json.loads(told[next((key for key in keys if key in told), keys[0])])
