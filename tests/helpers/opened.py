"""Opened models around toy networks, for what measures models."""

from dataclasses import dataclass

from torch import Tensor

from editor.model.opening import OpenedModel
from inversion.chain.decoder import Decoder, FeatureRenderer
from inversion.chain.inversion import Inversion
from inversion.chain.inverter import Inverter
from stylegan2.engines.renderer import Renderer


@dataclass
class Oracle:
    """An inverter that knows w of the pictures it is asked for, and misses them by `offset`."""

    w: Tensor
    offset: float | Tensor = 0.0
    engine = None

    def invert(self, pixels):
        w = self.w[: len(pixels)] + self.offset
        return Inversion(w=w, ws=w[:, None].expand(-1, 8, -1).clone())


def known_model(generator, oracle):
    """A model of W alone whose inversions are `oracle`'s."""
    decoder = Decoder(Renderer(generator, engine="torch"))
    return OpenedModel(generator=generator, inverter=oracle, decoder=decoder, spaces=("w",))


def tiny_model(generator, encoder, refiners=None):
    """The product's own chain around toy networks."""
    renderer = Renderer(generator, engine="torch")
    features = None if refiners is None else FeatureRenderer(generator, refiners, engine="torch")
    return OpenedModel(
        generator=generator,
        inverter=Inverter(generator, encoder, refiners=refiners, engine="torch"),
        decoder=Decoder(renderer, features),
        spaces=("w",) if refiners is None else ("w", "w+", "f"),
    )
