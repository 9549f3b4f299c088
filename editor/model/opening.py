"""Open what a model consists of: what draws, and what inverts."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from inversion.chain.decoder import Decoder, FeatureRenderer
from inversion.chain.inversion import Space
from inversion.chain.inverter import Inverter, InvertsPictures
from inversion.chain.steps import FeatureSpace
from inversion.directions.bank import direction_folders, use_zones
from inversion.directions.zones import zone_maps
from inversion.networks.checkpoint import load_encoder, load_refiners
from inversion.networks.refiners import Refiners
from inversion.published import PublishedInverter, load_published
from inversion.published.model import PublishedModel
from stylegan2.bundle.block import load_bundle_generator
from stylegan2.bundle.folder import ModelBundle
from stylegan2.engines.renderer import Renderer
from stylegan2.engines.resting import RestingWeights
from stylegan2.errors import CheckpointError
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator


@dataclass(frozen=True, kw_only=True)
class OpenedModel:
    """A model that runs; its parts share one folded synthesis."""

    generator: Generator
    inverter: InvertsPictures
    decoder: Decoder
    spaces: tuple[Space, ...]  # that photos are inverted into at once; none where there is no encoder
    encoder: str = ""  # whose it is, where it is another project's
    weights: RestingWeights | None = None  # of its networks; None where torch goes on to need them

    @property
    def engines(self) -> list[str]:
        """Names of what inverts and draws at the moment."""
        return [*self.inverter.engines, *self.decoder.engines]

    def prepare(self) -> None:
        """Start building faster engines in the background."""
        self.decoder.prepare()
        self.inverter.prepare()

    def wait(self) -> None:
        """Return when every faster engine is built, or has refused."""
        self.decoder.wait()
        self.inverter.wait()


def open_model(
    model: ModelBundle,
    *,
    directions: Path | None = None,
    device: str = "auto",
    engine: str = "auto",
    cache: Path | None = None,
    at_once: bool = False,
) -> OpenedModel:
    """Load a bundle's generator and what inverts photos for it: our networks, another project's, or none.

    Args:
        model: Its description.
        directions: A folder of edits that are drawn beside those that `find_directions` finds. Where any is
            limited to zones, zones are drawn; that takes somewhat longer.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "auto", "torch" or "openvino".
        cache: Folder for converted graphs; None for the user's cache folder.
        at_once: Begin to prepare every part as soon as it is read.

    Raises:
        CheckpointError: Damaged weights, or some that do not fit the generator.
        EngineError: A device or engine that cannot be used.
    """
    generator = load_bundle_generator(model)
    if generator.img_resolution != model.resolution:
        raise CheckpointError(
            f"{model.generator_path}: draws {generator.img_resolution} px, "
            f"the bundle says {model.resolution} px"
        )
    folders = direction_folders(model.generator_sha256) + ([] if directions is None else [directions])
    zones = zone_maps(model.crop_config) if use_zones(folders) else None
    published, refiners = _read_rest(model, generator)
    options = {"device": device, "engine": engine}
    shared = _shared(published, refiners)
    renderer = Renderer(generator, zones=zones, shared=shared, cache=cache, **options)
    synthesis, lower = renderer.synthesis, renderer.lower
    if at_once:
        renderer.prepare()

    def open_features(space: FeatureSpace) -> FeatureRenderer:
        found = FeatureRenderer(generator, space, synthesis=synthesis, lower=lower, cache=cache, **options)
        if at_once:
            found.engine.prepare()
        return found

    if published is not None:
        features = open_features(published) if published.has_f else None
        theirs = PublishedInverter(published, generator, features=features, synthesis=synthesis, **options)
        return OpenedModel(
            generator=generator,
            inverter=theirs,
            decoder=Decoder(renderer, features),
            spaces=published.spaces,
            encoder=published.name,
        )
    encoder = None if model.encoder_path is None else load_encoder(model.encoder_path)
    features = None if refiners is None else open_features(refiners)
    inverter = Inverter(
        generator, encoder, refiners=refiners, synthesis=synthesis, lower=lower, cache=cache, **options
    )
    spaces: tuple[Space, ...] = () if encoder is None else ("w",) if refiners is None else ("w", "w+", "f")
    decoder = Decoder(renderer, features)
    networks = [generator.synthesis, synthesis, *(part for part in (encoder, refiners) if part is not None)]

    def read() -> list[nn.Module]:
        again = load_bundle_generator(model).requires_grad_(False)
        found: list[nn.Module] = [again.synthesis, FoldedSynthesis(again.synthesis, zones)]
        if encoder is not None and model.encoder_path is not None:
            found.append(load_encoder(model.encoder_path))
        if refiners is not None and model.refiners_path is not None:
            found.append(load_refiners(model.refiners_path).fold_attention())
        return found

    return OpenedModel(
        generator=generator,
        inverter=inverter,
        decoder=decoder,
        spaces=spaces,
        weights=RestingWeights(networks, read),
    )


def model_of_results(sha256: str, generator: Generator) -> str:
    """What results say they are of: the hash of a generator's file, and where it has grown its resolution."""
    config = generator.config
    return sha256 if config.grown_from is None else f"{sha256}, {config.img_resolution} px"


def _read_rest(model: ModelBundle, generator: Generator) -> tuple[PublishedModel | None, Refiners | None]:
    """Another project's networks, or our own after the encoder; at most one of them."""
    if model.encoder_path is None and model.inverter_path is not None:
        return load_published(model.inverter_path, generator), None
    if model.encoder_path is not None and model.refiners_path is not None:
        return None, load_refiners(model.refiners_path).fold_attention()
    return None, None


def _shared(published: PublishedModel | None, refiners: Refiners | None) -> int | None:
    """The resolution that all graphs of a model reach; None where pictures are drawn by one graph alone."""
    if published is not None and published.has_f:
        return published.config.f_resolution
    if refiners is None:
        return None
    config = refiners.config
    looked_at = config.look_resolution if config.second_look else config.f_resolution
    return min(config.f_resolution, looked_at)
