"""The block that a model has grown by: its file, and the generator that it makes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from stylegan2.bundle.checkpoint import load_generator, read_safetensors
from stylegan2.bundle.folder import ModelBundle
from stylegan2.checks import check_finite
from stylegan2.errors import CheckpointError
from stylegan2.network.generator import Generator
from stylegan2.network.synthesis import SynthesisBlock

BLOCK_FILE = "block.safetensors"
_WIDTH = "conv1.bias"  # the tensor that tells how many feature maps a block has


def load_bundle_generator(bundle: ModelBundle) -> Generator:
    """The generator of a bundle, grown by its block where there is one.

    Raises:
        CheckpointError: A file is damaged, or the block does not fit.
    """
    generator = load_generator(bundle.generator_path)
    return generator if bundle.block_path is None else grow(generator, bundle.block_path)


def grow(generator: Generator, path: Path) -> Generator:
    """A generator of twice the resolution, whose new block is read from a file; see `GeneratorConfig.rows`.

    Raises:
        CheckpointError: The file is missing or damaged, or does not fit the generator.
    """
    state = {name: value.float() for name, value in read_safetensors(path).items()}
    if _WIDTH not in state:
        raise CheckpointError(f"{path}: no block of a generator; {_WIDTH} is missing")
    check_finite(str(path), state)
    side = 2 * generator.img_resolution
    grown = widened(generator, len(state[_WIDTH]))
    block: SynthesisBlock = grown.synthesis.blocks[-1]
    try:
        block.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: no block of {side} px for this generator ({error})") from error
    return grown.eval()


def widened(generator: Generator, channels: int) -> Generator:
    """A generator of twice the resolution, with a new block of random weights above the same others.

    Args:
        generator: Its networks become the new one's.
        channels: Feature maps of the block.
    """
    config = generator.config
    side = 2 * config.img_resolution
    with torch.device("meta"):
        grown = Generator(
            replace(
                config,
                img_resolution=side,
                channels={**config.channels, side: channels},
                grown_from=config.base_resolution,
            )
        )
    block = SynthesisBlock(
        config.channels[config.img_resolution], channels, config.w_dim, side, conv_clamp=config.conv_clamp
    )
    grown.mapping = generator.mapping
    for old in generator.synthesis.blocks:
        setattr(grown.synthesis, f"b{old.resolution}", old)
    setattr(grown.synthesis, f"b{side}", block.to(generator.w_avg.device))
    return grown


def save_block(block: SynthesisBlock, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a block's weights in half precision."""
    state = {name: value.detach().half().cpu().contiguous() for name, value in block.state_dict().items()}
    save_file(state, path, None if metadata is None else dict(metadata))
    path.chmod(0o644)  # safetensors leaves files that only their owner can read
