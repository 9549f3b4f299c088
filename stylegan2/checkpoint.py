"""Read and write generator weights: our own safetensors and rosinality's names."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stylegan2.config import GeneratorConfig
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.generator import Generator

State = dict[str, Tensor]


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
        path: A .safetensors file with our names (`synthesis.b4.const`) or rosinality's (`input.input`).

    Raises:
        CheckpointError: Missing, damaged, of another layout, or tensors that do not fit together.
    """
    state = read_safetensors(path)
    if "input.input" in state:
        state = from_rosinality(state, str(path))
    if "synthesis.b4.const" not in state:
        raise CheckpointError(
            f"{path}: no entry 'synthesis.b4.const' or 'input.input'; not a StyleGAN2 generator"
        )
    try:
        generator = Generator(infer_config(state))
        generator.load_state_dict({name: value.float() for name, value in state.items()})
    except (KeyError, IndexError, RuntimeError, ConfigError) as error:
        raise CheckpointError(f"{path}: tensors do not fit together: {error}") from error
    return generator.eval().requires_grad_(False)


def save_generator(generator: Generator, path: str | Path, dtype: torch.dtype = torch.float16) -> None:
    """Write our layout; `w_avg` stays float32, since every latent is measured from it."""
    state = {
        name: value.detach().float().contiguous()
        if name == "mapping.w_avg"
        else value.detach().to(dtype).contiguous()
        for name, value in generator.state_dict().items()
    }
    save_file(state, path)
    Path(path).chmod(0o644)  # safetensors leaves files that only their owner can read


def infer_config(state: Mapping[str, Tensor]) -> GeneratorConfig:
    """Architecture from the shapes of our layout's tensors."""
    blocks = [re.match(r"synthesis\.b(\d+)\.torgb\.weight", name) for name in state]
    channels = {int(m[1]): state[m[0]].shape[1] for m in blocks if m}
    depth = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in state)
    w_dim, z_dim = state["mapping.fc0.weight"].shape
    return GeneratorConfig(
        img_resolution=max(channels), z_dim=z_dim, w_dim=w_dim, mapping_layers=depth, channels=channels
    )


def _rosinality_layer(index: int) -> str:
    # Their convs count from the first 8 x 8 layer, two per resolution: 0 upsamples, 1 does not.
    return f"synthesis.b{8 * 2 ** (index // 2)}.conv{index % 2}"


_ROSINALITY_LEAVES = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}


def _rename_rosinality(name: str) -> str | None:
    """Our name for a rosinality name; None for filter kernels, constants here; KeyError if unknown."""
    if name.endswith(("blur.kernel", "upsample.kernel")):
        return None
    if name == "input.input":
        return "synthesis.b4.const"
    if name == "latent_avg":
        return "mapping.w_avg"
    if match := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"
    if match := re.fullmatch(r"noises\.noise_(\d+)", name):
        k = int(match[1])
        return ("synthesis.b4.conv1" if k == 0 else _rosinality_layer(k - 1)) + ".noise_const"
    head, _, leaf = name.partition(".")
    if head in ("convs", "to_rgbs"):
        number, _, leaf = leaf.partition(".")
        block = (
            _rosinality_layer(int(number)) if head == "convs" else f"synthesis.b{8 * 2 ** int(number)}.torgb"
        )
    else:
        block = {"conv1": "synthesis.b4.conv1", "to_rgb1": "synthesis.b4.torgb"}[head]
    return f"{block}.{_ROSINALITY_LEAVES[leaf]}"


def from_rosinality(state: Mapping[str, Tensor], source: str = "rosinality weights") -> State:
    """Translate rosinality's `g_ema` (with `latent_avg` beside it) to our layout.

    Raises:
        CheckpointError: An unknown name, or no `latent_avg`.
    """
    out: State = {}
    for name, value in state.items():
        try:
            ours = _rename_rosinality(name)
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{source}: unknown entry {name!r} in a rosinality generator") from error
        if ours is None:
            continue
        # They keep a leading batch axis of one on kernels, the constant and the noise pictures.
        if ours.endswith(("noise_const", "torgb.bias")) or ours == "synthesis.b4.const" or value.ndim == 5:
            value = value.reshape(value.shape[2:] if ours.endswith("noise_const") else value.shape[1:])  # noqa: PLW2901
        out[ours] = value.flatten() if ours.endswith("torgb.bias") else value
        if ours.endswith("noise_strength"):
            out[ours] = value.reshape([])
    if "mapping.w_avg" not in out:
        raise CheckpointError(f"{source}: no entry 'latent_avg'; edits and truncation need the mean of W")
    return out


def file_sha256(path: str | Path) -> str:
    """Hex digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()
