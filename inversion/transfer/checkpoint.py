"""Read and write the weights of the transfer network."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from inversion.transfer.config import TransferConfig
from inversion.transfer.network import TransferNetwork
from stylegan2.bundle.checkpoint import read_safetensors
from stylegan2.checks import check_finite
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.settings import settings_from_dict, settings_to_dict

BUNDLED_TRANSFER = Path(__file__).resolve().parents[2] / "weights" / "transfer" / "transfer.safetensors"
_KEY = "transfer_config"  # of the metadata


def save_transfer(network: TransferNetwork, path: str | Path, metadata: dict[str, str] | None = None) -> None:
    """Write the weights as safetensors, in half precision, with architecture and `metadata` beside them."""
    state = {name: value.detach().cpu().half().contiguous() for name, value in network.state_dict().items()}
    config = json.dumps(settings_to_dict(network.config))
    save_file(state, path, {**(metadata or {}), _KEY: config})
    Path(path).chmod(0o644)  # safetensors leaves files that only their owner can read


def load_transfer(path: str | Path = BUNDLED_TRANSFER) -> TransferNetwork:
    """Build the transfer network that `path` describes, in float32, in evaluation mode.

    Raises:
        CheckpointError: Missing, damaged, without architecture, tensors that do not fit it, or no numbers.
    """
    state = {name: value.float() for name, value in read_safetensors(path).items()}
    check_finite(str(path), state)
    try:
        with safe_open(path, "pt") as file:
            told = file.metadata() or {}
        network = TransferNetwork(settings_from_dict(json.loads(told[_KEY]), TransferConfig))
        network.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        raise CheckpointError(f"{path}: not a transfer network: {type(error).__name__}: {error}") from error
    return network.eval().requires_grad_(False)
