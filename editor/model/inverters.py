"""Open what inverts photos for a model: our encoder and refiners, a published encoder, or none."""

from dataclasses import dataclass
from pathlib import Path

from inversion.chain.feature_renderer import FeatureRenderer
from inversion.chain.inverter import Inverter, InvertsPictures
from inversion.networks.checkpoint import load_encoder, load_refiners
from inversion.optimise.search import Space
from inversion.published import PublishedInverter, load_published
from stylegan2.bundle.folder import ModelBundle
from stylegan2.network.generator import Generator


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An inverter and what comes with it."""

    inverter: InvertsPictures
    features: FeatureRenderer | None  # runs the generator with features; None without the space F
    spaces: tuple[Space, ...]  # that photos are inverted into at once; none where there is no encoder
    encoder: str = ""  # whose it is, where it is another project's


def open_inverter(
    model: ModelBundle,
    generator: Generator,
    *,
    device: str,
    engine: str,
    cache: Path | None,
) -> Opened:
    """Open a bundle's inverter; see `open_editor` for the arguments.

    Raises:
        CheckpointError: Damaged weights, or some that do not fit the generator.
        EngineError: A device or engine that cannot be used.
    """
    if model.encoder_path is None and model.inverter_path is not None:
        published = load_published(model.inverter_path, generator)
        features = None
        if published.has_f:
            features = FeatureRenderer(generator, published, device=device, engine=engine, cache=cache)
        return Opened(
            inverter=PublishedInverter(published, generator, features=features, device=device, engine=engine),
            features=features,
            spaces=published.spaces,
            encoder=published.name,
        )
    encoder, refiners, features = None, None, None
    if model.encoder_path is not None:
        encoder = load_encoder(model.encoder_path)
        if model.refiners_path is not None:
            refiners = load_refiners(model.refiners_path).fold_attention()
            features = FeatureRenderer(generator, refiners, device=device, engine=engine, cache=cache)
    inverter = Inverter(generator, encoder, refiners=refiners, device=device, engine=engine, cache=cache)
    spaces: tuple[Space, ...] = () if encoder is None else ("w",) if features is None else ("w", "w+", "f")
    return Opened(inverter=inverter, features=features, spaces=spaces)
