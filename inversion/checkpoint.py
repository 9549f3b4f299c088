"""Read and write encoder weights."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from inversion.config import EncoderConfig
from inversion.refiners import Refiners
from inversion.w_encoder import WEncoder
from stylegan2.checkpoint import read_safetensors
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.settings import settings_from_dict, settings_to_dict

_CONFIG_KEY = "encoder_config"
# The frame of reference stays exact: every latent is w_avg plus an offset.
_EXACT = ("w_avg", "w_std")


def save_encoder(
    encoder: WEncoder,
    path: str | Path,
    metadata: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write the weights as safetensors, in half precision, with architecture and `metadata` beside them."""
    state = {
        name: value.detach().cpu().contiguous()
        if name in _EXACT
        else value.detach().cpu().to(dtype).contiguous()
        for name, value in encoder.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    config = json.dumps(settings_to_dict(encoder.config))
    save_file(state, path, {**(metadata or {}), _CONFIG_KEY: config})
    Path(path).chmod(0o644)  # safetensors leaves files that only their owner can read


def load_encoder(path: str | Path) -> WEncoder:
    """Build the encoder that `path` describes, in float32, in evaluation mode.

    Raises:
        CheckpointError: Missing, damaged, without architecture, or tensors that do not fit it.
    """
    state = {name: value.float() for name, value in read_safetensors(path).items()}
    try:
        with safe_open(path, "pt") as file:
            fields = json.loads((file.metadata() or {})[_CONFIG_KEY])
        encoder = WEncoder(settings_from_dict(fields, EncoderConfig))
        missing, unexpected = encoder.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        if missing or unexpected:
            raise CheckpointError(
                f"{path}: not this encoder: missing {missing[:3]}, left over {unexpected[:3]}"
            )
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not a W encoder: {type(error).__name__}: {error}") from error
    return encoder.eval().requires_grad_(False)


def save_refiners(
    refiners: Refiners,
    path: str | Path,
    metadata: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write the refiners as `save_encoder` writes an encoder."""
    state = {
        name: value.detach().cpu().contiguous()
        if name.endswith(_EXACT)
        else value.detach().cpu().to(dtype).contiguous()
        for name, value in refiners.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    config = json.dumps(settings_to_dict(refiners.config))
    save_file(state, path, {**(metadata or {}), "refiner_config": config})
    Path(path).chmod(0o644)
