"""Read and write the weights of the face parser."""

from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from editor.parts.network import FaceParserNetwork
from stylegan2.bundle.checkpoint import as_int8, in_float, read_safetensors
from stylegan2.checks import check_finite
from stylegan2.errors import CheckpointError

BUNDLED_PARSER = Path(__file__).resolve().parents[2] / "weights" / "face_parser" / "face_parser.safetensors"


def save_face_parser(
    network: FaceParserNetwork, path: str | Path, metadata: dict[str, str] | None = None
) -> None:
    """Write the weights as safetensors, matrices in 8 bits, scaled row by row."""
    state: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        kept = value.detach().cpu().contiguous()
        state |= as_int8(name, kept) if kept.ndim > 1 else {name: kept.half()}
    save_file(state, path, metadata or {})
    Path(path).chmod(0o644)  # safetensors leaves files that only their owner can read


def load_face_parser(path: str | Path = BUNDLED_PARSER) -> FaceParserNetwork:
    """Build the face parser of `path`, in float32, in evaluation mode.

    Raises:
        CheckpointError: Missing, damaged, tensors that do not fit, or no numbers.
    """
    state = in_float(read_safetensors(path))
    check_finite(str(path), state)
    network = FaceParserNetwork()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: not a face parser: {error}") from error
    return network.eval().requires_grad_(False)
