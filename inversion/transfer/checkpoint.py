"""Read and write the weights of the transfer network."""

import json
from pathlib import Path

import torch

from inversion.networks.checkpoint import KEYS, load_network, save_network
from inversion.transfer.config import TransferConfig
from inversion.transfer.network import TransferNetwork
from stylegan2.settings import settings_from_dict, settings_to_dict

BUNDLED_TRANSFER = Path(__file__).resolve().parents[2] / "weights" / "transfer" / "transfer.safetensors"


def save_transfer(network: TransferNetwork, path: str | Path, metadata: dict[str, str] | None = None) -> None:
    """Write the weights as safetensors, matrices in 8 bits, with architecture and `metadata` beside them."""
    config = json.dumps(settings_to_dict(network.config))
    save_network(network, path, {**(metadata or {}), KEYS["transfer"][0]: config}, torch.int8)


def load_transfer(path: str | Path = BUNDLED_TRANSFER) -> TransferNetwork:
    """Build the transfer network that `path` describes, in float32, in evaluation mode.

    Raises:
        CheckpointError: Missing, damaged, without architecture, tensors that do not fit it, or no numbers.
    """
    return load_network(
        path,
        "transfer",
        "transfer network",
        lambda fields: TransferNetwork(settings_from_dict(fields, TransferConfig)),
    )
