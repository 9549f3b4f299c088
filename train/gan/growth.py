"""Networks that a training starts from: of a trained bundle, or of one of half the resolution, grown."""

from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from stylegan2 import Generator, GeneratorConfig
from stylegan2.bundle.checkpoint import read_safetensors
from stylegan2.bundle.folder import ModelBundle
from stylegan2.checks import check_finite
from stylegan2.errors import ConfigError
from train.core.checkpoint import training_facts, write_weights
from train.gan.discriminator import Discriminator

DISCRIMINATOR_FILE = "discriminator.safetensors"  # in the run's folder, beside the bundle's


def take_over(generator: Generator, config: GeneratorConfig, *, grow: bool, origin: Path) -> Generator:
    """The trained `generator` in the architecture `config`: its own, or to grow one with one block more.

    A new block draws nothing at first: its ToRGB is zero and the strength of its noise too, so every picture
    is the old one, doubled by `upsample2d`.

    Args:
        generator: Trained weights.
        config: The architecture wanted.
        grow: Whether `config` doubles the resolution.
        origin: Where `generator` came from, for the error.

    Raises:
        ConfigError: The resolution is another one, or anything else differs.
    """
    wanted = config.img_resolution // 2 if grow else config.img_resolution
    found = generator.config
    if found.img_resolution != wanted:
        purpose = "grow needs" if grow else "without grow it must be"
        raise ConfigError(f"start_from: {origin} draws {found.img_resolution} px; {purpose} {wanted}")
    kept = {resolution: config.channels[resolution] for resolution in found.channels}
    for name in ("z_dim", "w_dim", "mapping_layers", "mapping_lr_multiplier"):
        if getattr(found, name) != getattr(config, name):
            raise ConfigError(
                f"generator.{name}: {getattr(config, name)}; {origin} has {getattr(found, name)}"
            )
    if kept != found.channels:
        raise ConfigError(f"generator.channels: {kept}; {origin} has {found.channels}")
    grown = Generator(config)
    grown.load_state_dict(generator.state_dict(), strict=not grow)
    if grow:
        torgb = grown.synthesis.blocks[-1].torgb
        nn.init.zeros_(torgb.weight)
        nn.init.zeros_(torgb.bias)
    return grown


def inherit_discriminator(discriminator: Discriminator, bundle: ModelBundle, *, grow: bool) -> bool:
    """Load the discriminator that was trained against the bundle's generator, where its run's folder has it.

    Returns:
        Whether there was one; without, `discriminator` keeps its random weights.

    Raises:
        ConfigError: There was one, of another architecture.
        CheckpointError: The file is damaged, or holds no numbers.
    """
    file = bundle.folder.parent / DISCRIMINATOR_FILE
    if not file.is_file() or training_facts(file).get("generator_sha256") != bundle.generator_sha256:
        return False
    state = {name: value.float() for name, value in read_safetensors(file).items()}
    check_finite(str(file), state)
    # A run that grew kept the entrance it grew from; that resolution is not looked at any more.
    state = {name: value for name, value in state.items() if not name.startswith("from_rgb_half.")}
    if grow:
        state = {name.replace("from_rgb.", "from_rgb_half."): value for name, value in state.items()}
    new = ("from_rgb.", f"b{discriminator.img_resolution}.") if grow else ("from_rgb_half.",)
    try:
        missing, unexpected = discriminator.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ConfigError(f"discriminator: {file} is of another architecture ({error})") from error
    lacking = [name for name in missing if not name.startswith(new)]
    if unexpected or lacking:
        raise ConfigError(f"discriminator: {file} lacks {lacking}, and has {unexpected} besides")
    return True


def save_discriminator(discriminator: Discriminator, folder: Path, facts: dict[str, object]) -> None:
    """Write the weights in half precision, with `facts` of their training, for a run to start from."""
    state = {name: value.detach().half().contiguous() for name, value in discriminator.state_dict().items()}
    write_weights(
        folder / DISCRIMINATOR_FILE, facts, lambda path, told: save_file(state, path, metadata=told)
    )
