"""Read generator weights of any layout, and write ours."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stylegan2.errors import CheckpointError
from stylegan2.layouts.found import State
from stylegan2.layouts.loading import load_any_generator
from stylegan2.layouts.translation import CONV_CLAMP
from stylegan2.network.generator import Generator

_SCALE = ".int8_scale"  # ending of what a tensor of whole numbers is multiplied with


def read_safetensors(path: str | Path) -> State:
    """All tensors of a safetensors file, on the CPU.

    Raises:
        CheckpointError: The file is missing, empty, or not safetensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected a .safetensors file of weights")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        size = path.stat().st_size
        raise CheckpointError(f"{path}: not a readable safetensors file ({size} bytes: {error})") from error


def load_generator(path: str | Path) -> Generator:
    """Build a generator of the size that the weights say, in float32, in evaluation mode.

    Args:
        path: A weights file of any layout that `stylegan2.layouts` knows.

    Raises:
        CheckpointError: See `load_any_generator`.
    """
    return load_any_generator(path).generator


def save_generator(generator: Generator, path: str | Path, dtype: torch.dtype = torch.float16) -> None:
    """Write our layout; `w_avg` stays float32, since every latent is measured from it.

    What no tensor tells of the architecture stands in the file's metadata.
    """
    state = {
        name: value.detach().float().contiguous()
        if name == "mapping.w_avg"
        else value.detach().to(dtype).contiguous()
        for name, value in generator.state_dict().items()
    }
    limit = generator.config.conv_clamp
    save_file(state, path, None if limit is None else {CONV_CLAMP: repr(limit)})
    Path(path).chmod(0o644)  # safetensors leaves files that only their owner can read


def file_sha256(path: str | Path) -> str:
    """Hex digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def as_int8(name: str, weight: Tensor) -> dict[str, Tensor]:
    """A weight [outputs, ...] in whole numbers of -127..127, and what one of them is worth [outputs].

    Half the size of half precision, for networks that can do with less; `in_float` turns it back.
    """
    scale = weight.flatten(1).abs().amax(1).clamp(min=1e-12) / 127
    whole = (weight / scale.view(-1, *(1,) * (weight.ndim - 1))).round().to(torch.int8)
    return {name: whole, name + _SCALE: scale.float()}


def in_float(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file in float32; what `as_int8` stored is what it was worth."""
    found = {}
    for name, value in state.items():
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in state:
            continue
        scale = state.get(name + _SCALE)
        plain = value.float()
        found[name] = plain if scale is None else plain * scale.float().view(-1, *(1,) * (plain.ndim - 1))
    return found
