"""Put the stages that look at photos together: face parser, transfer network and attribute network.

Apart from `train.assemble`, which needs no OpenCV: that wants libraries of the system that a machine for
training may lack.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from editor.measure.attribute_network import AttributeNetwork, load_attributes
from editor.model.opening import open_model
from editor.parts.checkpoint import load_face_parser
from editor.parts.network import FaceParserNetwork
from editor.parts.parser import FaceParser
from inversion.directions.bank import DIRECTIONS_ROOT, find_directions
from inversion.networks.checkpoint import load_refiners
from inversion.transfer.checkpoint import load_transfer
from inversion.transfer.network import TransferNetwork
from stylegan2.bundle.folder import ModelBundle
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import ConfigError
from train.attributes.config import AttributesConfig
from train.attributes.faces import KnownFaces, keep_faces
from train.attributes.stage import AttributesStage
from train.core.hardware import to_channels_last
from train.core.processes import training_device
from train.data.images import find_images
from train.growth.config import GrowthConfig
from train.growth.export import GrownBundle
from train.growth.faces import FaceSource
from train.growth.pool import GrownPool, PoolSizes
from train.growth.stage import GrowthStage, new_block
from train.losses.perceptual import load_perceptual
from train.parts.config import PartsConfig
from train.parts.faces import read_faces
from train.parts.stage import PartsStage
from train.refiners.edits import EditSampler
from train.transfer.config import TransferTrainingConfig
from train.transfer.examples import ExampleMaker
from train.transfer.pool import ExamplePool
from train.transfer.stage import TransferStage

Report = Callable[[str], None]  # receives one line per event


def build_parts(config: PartsConfig, *, report: Report = tqdm.write) -> PartsStage:
    """Read the faces, and start from a network that knows pictures.

    Raises:
        DatasetError: The shard is missing or damaged.
        CheckpointError: The backbone's weights are missing or damaged.
        EngineError: The device is not there.
    """
    device = training_device(config.hardware.device)
    torch.manual_seed(config.seed)
    faces = read_faces(config.faces)
    report(f"{config.faces}: {len(faces):,} faces")
    if config.start_from is None:
        network = FaceParserNetwork()
        network.start_from(load_perceptual(config.backbone_weights).features)
    else:
        network = load_face_parser(config.start_from)
    network.requires_grad_(True)
    network.to(device)
    if config.hardware.channels_last:
        to_channels_last(network)
    return PartsStage(config, network, faces, device)


def build_attributes(config: AttributesConfig, *, report: Report = tqdm.write) -> AttributesStage:
    """Start from a network that knows pictures, or from an attribute network.

    Raises:
        CheckpointError: The weights to start from are missing or damaged.
        EngineError: The device or engine is not there.
    """
    device = training_device(config.hardware.device)
    torch.manual_seed(config.seed)
    if config.start_from is None:
        network = AttributeNetwork()
        network.start_from(load_perceptual(config.backbone_weights).features)
    else:
        network = load_attributes(config.start_from)
    network.requires_grad_(True)
    network.to(device)
    if config.hardware.channels_last:
        to_channels_last(network)

    def keep(progress: Callable[[int, int], None]) -> KnownFaces:
        parser = FaceParser(device=config.hardware.device, engine=config.engine)
        parser.engine.prepare()
        parser.engine.wait()
        faces = keep_faces(config.cache, config.faces, parser, progress)
        report(f"{len(faces):,} faces")
        return faces

    return AttributesStage(config, network, keep, device)


def build_transfer(config: TransferTrainingConfig, *, report: Report = tqdm.write) -> TransferStage:
    """Load everything that `config` names.

    Raises:
        ConfigError: The bundle has no refiners, the network to start from is another, or the folder of the
            examples holds others.
        CheckpointError: A weights file is missing or damaged.
        EngineError: The device or engine is not there.
    """
    device = training_device(config.hardware.device)
    torch.manual_seed(config.seed)
    bundle, _ = _with_refiners(config.bundle)
    model = open_model(bundle, device=config.hardware.device, engine=config.engine)
    model.prepare()
    generator = model.generator
    directions = find_directions(bundle.generator_sha256, generator.w_dim, generator.num_ws, DIRECTIONS_ROOT)
    maker = ExampleMaker(model, EditSampler(generator, directions), config.seed)
    owner = {"generator": bundle.generator_sha256, "refiners": bundle.refiners_sha256, "seed": config.seed}
    pool = ExamplePool(config.cache, config.examples, generator.img_resolution, owner)
    if config.start_from is None:
        network = TransferNetwork(config.transfer)
    else:
        network = load_transfer(config.start_from).requires_grad_(True)
        if network.config != config.transfer:
            raise ConfigError(f"start_from: {config.start_from} is {network.config}, not {config.transfer}")
    perceptual = load_perceptual(config.perceptual_weights).to(device)
    network.to(device)
    if config.hardware.channels_last:
        for part in (network, perceptual):
            to_channels_last(part)
    report(f"{config.cache}: {config.examples:,} examples")
    return TransferStage(config, network, perceptual, maker, pool, device)


def build_growth(config: GrowthConfig, *, report: Report = tqdm.write) -> GrowthStage:
    """Load everything that `config` names, and make the new block.

    Raises:
        ConfigError: The bundle has no refiners, or the folder of the faces holds others.
        CheckpointError: A weights file is missing or damaged.
        DatasetError: There are no pictures, or a shard is damaged.
        EngineError: The device or engine is not there.
    """
    device = training_device(config.hardware.device)
    torch.manual_seed(config.seed)
    bundle, refiners_path = _with_refiners(config.bundle)
    source = find_images(config.images)
    report(source.describe())
    model = open_model(bundle, device=config.hardware.device, engine=config.engine)
    refiners = load_refiners(refiners_path).to(device).eval().requires_grad_(False)
    generator = model.generator.to(device).requires_grad_(False)
    owner = {
        "generator": bundle.generator_sha256,
        "refiners": bundle.refiners_sha256,
        "images": config.images,
        "validation_fraction": config.data.validation_fraction,
        "sharpness": config.sharpness,
        "psi": list(config.psi),
        "seed": config.seed,
    }
    side = generator.img_resolution
    sizes = PoolSizes(
        faces=config.faces,
        invented=config.invented,
        channels=generator.config.channels[side],
        side=side,
        w_dim=generator.w_dim,
    )
    pool = GrownPool(config.cache, sizes, owner)
    faces = FaceSource(config, model, refiners.carrier, refiners.config.f_resolution, source)
    features = load_perceptual(config.perceptual_weights).features.to(device)
    block = new_block(generator, config.channels)
    if config.hardware.channels_last:
        for part in (block, features, generator, refiners):
            to_channels_last(part)
    return GrowthStage(config, block, features, faces, pool, GrownBundle(bundle), device)


def _with_refiners(folder: Path) -> tuple[ModelBundle, Path]:
    """A bundle, and its refiners' file, without which there is no F."""
    bundle = load_bundle(folder)
    if bundle.refiners_path is None:
        raise ConfigError(f"bundle: {bundle.folder} has no refiners, and so no F; train those first")
    return bundle, bundle.refiners_path
