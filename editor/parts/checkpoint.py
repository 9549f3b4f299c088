"""Read and write the weights of the face parser."""

from pathlib import Path

import torch

from editor.parts.network import FaceParserNetwork
from inversion.networks.checkpoint import load_network, save_network

BUNDLED_PARSER = Path(__file__).resolve().parents[2] / "weights" / "face_parser" / "face_parser.safetensors"


def save_face_parser(
    network: FaceParserNetwork, path: str | Path, metadata: dict[str, str] | None = None
) -> None:
    """Write the weights as safetensors, matrices in 8 bits, scaled row by row."""
    save_network(network, path, metadata or {}, torch.int8)


def load_face_parser(path: str | Path = BUNDLED_PARSER) -> FaceParserNetwork:
    """Build the face parser of `path`, in float32, in evaluation mode.

    Raises:
        CheckpointError: Missing, damaged, tensors that do not fit, or no numbers.
    """
    return load_network(path, "face_parser", "face parser", lambda _: FaceParserNetwork())
