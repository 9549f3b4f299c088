"""Put a stage together from the files that its settings name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from inversion.directions.bank import DIRECTIONS_ROOT, find_directions
from inversion.networks.backbone import ResidualBlock
from inversion.networks.checkpoint import load_contrastive_pair, load_encoder, load_refiners
from inversion.networks.config import EncoderConfig, RefinerConfig
from inversion.networks.contrastive import ContrastivePair
from inversion.networks.refiners import Refiners
from inversion.networks.w_encoder import WEncoder
from stylegan2 import Generator
from stylegan2.bundle.checkpoint import load_generator
from stylegan2.bundle.folder import ModelBundle
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import ConfigError
from stylegan2.image import shrink
from train.contrastive.config import ContrastiveConfig
from train.contrastive.stage import ContrastiveStage
from train.core.hardware import to_channels_last
from train.core.processes import is_main, training_device
from train.core.seeds import Stream, positioned_generator
from train.data.images import ImageSource, find_images
from train.data.pairs import sample_w
from train.encoder.config import InversionConfig
from train.encoder.stage import InversionStage, Networks
from train.gan.config import GeneratorTrainingConfig
from train.gan.discriminator import Discriminator
from train.gan.growth import inherit_discriminator, take_over
from train.gan.stage import GanNetworks, GeneratorStage
from train.losses.alignment import AlignmentLoss
from train.losses.identity import load_identity
from train.losses.perceptual import has_packaged_weights, load_perceptual
from train.refiners.config import RefinementConfig
from train.refiners.sketch import fit_sketch
from train.refiners.stage import RefinementStage
from train.refiners.terms import RefinementNetworks

Report = Callable[[str], None]  # receives one line per event
SPREAD_SAMPLES = 8192  # latents behind w_std: its error is then far below one percent


class Framed(Protocol):
    """A network that measures pictures and latents from the generator's mean."""

    w_avg: Tensor  # mean of W [w_dim]
    w_std: Tensor  # root mean square spread of w around it []
    img_avg: Tensor  # the mean's picture [3, R, R] in [-1, 1]


def build_inversion(config: InversionConfig, *, report: Report = tqdm.write) -> InversionStage:
    """Load everything that `config` names, and report the pictures that will be read.

    Raises:
        ConfigError: The encoder does not fit the generator, or the file it starts from.
        CheckpointError: A weights file is missing, damaged, or does not fit the others.
        DatasetError: There are no real faces where some are needed, or a shard is damaged.
        EngineError: The device is not there.
    """
    bundle, generator = _open_model(config)
    device = generator.w_avg.device
    encoder = _encoder(config, generator).to(device)
    phases = config.phases
    perceptual = (
        load_perceptual(config.perceptual_weights) if any(p.loss.perceptual for p in phases) else None
    )
    identity = None
    if config.identity_weights is not None and any(p.loss.identity for p in phases):
        identity = load_identity(config.identity_weights, bundle.crop_config).to(device)
    networks = Networks(
        generator=generator,
        encoder=encoder,
        perceptual=perceptual.to(device) if perceptual else None,
        identity=identity,
        alignment=_alignment(config, bundle, device) if any(p.loss.align for p in phases) else None,
    )
    if config.hardware.channels_last:
        for network in (generator, encoder, perceptual, identity):
            if network is not None:
                to_channels_last(network)
    source = _open_images(config.data.images, report) if config.data.images is not None else None
    return InversionStage(config, networks, source, bundle.generator_sha256)


def build_contrastive(config: ContrastiveConfig) -> ContrastiveStage:
    """Load everything that `config` names.

    Raises:
        ConfigError: The contrastive pair does not fit the generator.
        CheckpointError: A weights file is missing or damaged.
        EngineError: The device is not there.
    """
    bundle, generator = _open_model(config)
    _require_width("contrastive", config.contrastive.w_dim, generator)
    contrastive = ContrastivePair(config.contrastive)
    frame_network(contrastive, generator, config.pairs.psi, config.seed)
    contrastive.to(generator.w_avg.device)
    if config.hardware.channels_last:
        for network in (generator, contrastive):
            to_channels_last(network)
    return ContrastiveStage(config, generator, contrastive, bundle.generator_sha256)


def build_refinement(config: RefinementConfig, *, report: Report = tqdm.write) -> RefinementStage:
    """Load everything that `config` names; reports and raises as `build_inversion`."""
    bundle, generator = _open_model(config)
    device = generator.w_avg.device
    file = config.encoder or bundle.encoder_path
    if file is None:
        raise ConfigError(f"encoder: null, and {bundle.folder} has none")
    encoder = load_encoder(file)
    wanted = config.refiners.complete(encoder.config, generator.config)
    looked = False  # whether the look that they have is a trained one
    if config.start_from is None:
        refiners = Refiners(wanted)
        refiners.frame(encoder.w_avg, encoder.w_std)
    else:
        trained = load_refiners(config.start_from)
        wanted = config.refiners.retuned(wanted, trained.config)
        refiners, looked = inherit_refiners(trained, wanted, config.start_from), trained.look is not None
    refiners.to(device)
    if refiners.look is not None and not looked:
        fit_sketch(refiners.look, generator, config.pairs.psi, config.seed)
    identity = None
    if config.identity_weights is not None:
        identity = load_identity(config.identity_weights, bundle.crop_config).to(device)
    networks = RefinementNetworks(
        generator=generator,
        encoder=encoder.to(device),
        refiners=refiners,
        perceptual=load_perceptual(config.perceptual_weights).to(device),
        identity=identity,
        alignment=_alignment(config, bundle, device) if any(p.loss.align for p in config.phases) else None,
        directions=find_directions(
            bundle.generator_sha256, generator.w_dim, generator.num_ws, DIRECTIONS_ROOT
        ),
    )
    if config.hardware.channels_last:
        for network in vars(networks).values():
            if isinstance(network, nn.Module):
                to_channels_last(network)
    source = _open_images(config.images, report)
    return RefinementStage(config, networks, source, bundle.generator_sha256)


def build_generator(config: GeneratorTrainingConfig, *, report: Report = tqdm.write) -> GeneratorStage:
    """Make the networks, from the bundle `start_from` where there is one, and report the pictures.

    Raises:
        ConfigError: `start_from` does not fit the architecture.
        CheckpointError: A weights file of `start_from` is damaged.
        DatasetError: There are no pictures, or a shard is damaged.
        EngineError: The device is not there.
    """
    device = training_device(config.hardware.device)
    torch.manual_seed(config.seed)
    discriminator = Discriminator(
        config.discriminator_channels, group_size=config.discriminator.group_size, growing=config.grow
    )
    if config.start_from is None:
        generator = Generator(config.generator)
        rng = positioned_generator(config.seed, Stream.SPREAD)
        with torch.no_grad():
            z = torch.randn(SPREAD_SAMPLES, generator.z_dim, generator=rng)
            generator.w_avg.copy_(generator.mapping(z).mean(0))
    else:
        bundle = load_bundle(config.start_from)
        trained = load_generator(bundle.generator_path)
        generator = take_over(trained, config.generator, grow=config.grow, origin=config.start_from)
        inherit_discriminator(discriminator, bundle, grow=config.grow)
    measured = config.feature_images and has_packaged_weights()
    features = load_perceptual().features.to(device) if measured else None
    if config.hardware.channels_last:
        for network in (generator, discriminator):
            to_channels_last(network)
    networks = GanNetworks(
        generator=generator.to(device), discriminator=discriminator.to(device), features=features
    )
    return GeneratorStage(config, networks, _open_images(config.images, report))


def _open_images(pattern: str, report: Report) -> ImageSource:
    source = find_images(pattern)
    told = source.describe()  # in every process: what is wrong with the pictures ends all of them
    if is_main():
        report(told)
    return source


def _open_model(
    config: InversionConfig | ContrastiveConfig | RefinementConfig,
) -> tuple[ModelBundle, Generator]:
    """The bundle and its generator on the device; seeds torch, so that new networks follow."""
    bundle = load_bundle(config.bundle)
    device = training_device(config.hardware.device)
    torch.manual_seed(config.seed)
    return bundle, load_generator(bundle.generator_path).to(device)


def _alignment(
    config: InversionConfig | RefinementConfig, bundle: ModelBundle, device: torch.device
) -> AlignmentLoss:
    file = config.contrastive or bundle.contrastive_path
    if file is None:
        raise ConfigError(
            f"contrastive: null, and {bundle.folder} has none, but a phase weighs align; "
            "name one that `python -m train contrastive` made, or set the weight 0"
        )
    return AlignmentLoss(load_contrastive_pair(file).to(device), config.align_against)


def _require_width(name: str, w_dim: int, generator: Generator) -> None:
    if w_dim != generator.w_dim:
        raise ConfigError(f"{name}.w_dim: {w_dim}; the generator has {generator.w_dim}")


def _encoder(config: InversionConfig, generator: Generator) -> WEncoder:
    _require_width("encoder", config.encoder.w_dim, generator)
    if config.start_from is None:
        encoder = WEncoder(config.encoder)
        frame_network(encoder, generator, config.pairs.psi, config.seed)
        return encoder
    return deepen(load_encoder(config.start_from), config.encoder, config.start_from)


def deepen(encoder: WEncoder, config: EncoderConfig, origin: Path) -> WEncoder:
    """The function of `encoder` in an architecture with as many residual blocks or more.

    Added blocks start as the identity: their last convolution is zero, so only the shortcut speaks.

    Args:
        encoder: Trained weights.
        config: The architecture wanted; only `depths` may exceed that of `encoder`.
        origin: Where `encoder` came from, for the error.

    Raises:
        ConfigError: Something else differs, or a level would lose blocks.
    """
    found = encoder.config
    shallower = any(ours < theirs for ours, theirs in zip(config.depths, found.depths, strict=True))
    if shallower or replace(found, depths=config.depths) != config:
        raise ConfigError(
            f"encoder: {origin} is {found}; all but depths must be the same, and no depth may be smaller"
        )
    deeper = WEncoder(config)
    missing = deeper.load_state_dict(encoder.state_dict(), strict=False).missing_keys
    for name, module in deeper.named_modules():
        if isinstance(module, ResidualBlock) and f"{name}.conv2.weight" in missing:
            nn.init.zeros_(module.conv2.weight)
    return deeper


def inherit_refiners(trained: Refiners, wanted: RefinerConfig, origin: Path) -> Refiners:
    """The function of `trained`, to be trained on, with a second look added where `wanted` has one.

    Args:
        trained: Refiners without a second look, or of the same architecture.
        wanted: The architecture; only the second look may differ, and what is chosen after training.
        origin: Where `trained` came from, for the error.

    Raises:
        ConfigError: Something else differs, or a second look would be lost.
    """
    found = trained.config.tuned_as(wanted)
    if found != wanted and (found.second_look or found.with_look_of(wanted) != wanted):
        raise ConfigError(f"refiners: {origin} is {found}; must be {wanted}")
    refiners = Refiners(wanted)
    refiners.load_state_dict(trained.state_dict(), strict=False)
    refiners.frame(trained.wplus.w_avg, trained.wplus.w_std)
    return refiners


@torch.no_grad()
def frame_network(network: Framed, generator: Generator, psi: tuple[float, float], seed: int) -> None:
    """Set the network's constants: the mean of W, the spread around it, and the mean's picture."""
    rng = positioned_generator(seed, Stream.SPREAD)
    w = sample_w(generator, SPREAD_SAMPLES, psi, rng)
    network.w_avg.copy_(generator.w_avg)
    network.w_std.copy_((w - generator.w_avg).square().mean().sqrt())
    img = generator.synthesis(generator.broadcast(generator.w_avg[None]), noise_mode="const")
    network.img_avg.copy_(shrink(img, network.img_avg.shape[-1])[0])
