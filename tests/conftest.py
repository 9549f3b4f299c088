"""Fixtures that every test may use: small networks, the bundled model, the test photo."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from editor.face.landmarks import FaceDetector
from editor.pipeline import Editor
from editor.transfer.photo_transfer import PhotoTransfer
from inversion.chain.decoder import Decoder, FeatureRenderer
from inversion.chain.inverter import Inverter
from inversion.directions.bank import DirectionBank
from inversion.directions.components import discover_directions
from inversion.directions.linear import EditDirection
from inversion.networks.config import EncoderConfig
from inversion.networks.w_encoder import WEncoder
from stylegan2.bundle.content import Content
from stylegan2.bundle.folder import CropConfig
from stylegan2.engines.renderer import Renderer
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.generator import Generator
from tests.helpers.refiners import tiny_refiners

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002


@pytest.fixture(autouse=True)
def _compiled_aside(monkeypatch):
    """Commands of training that tests run shall keep nothing in the cache folder of the person who tests."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(Path(tempfile.gettempdir()) / "compiled-by-tests"))


@pytest.fixture
def shared():
    """The lab's folder beside the checkout; users do not have it."""
    if not (SHARED / "models").is_dir():  # some other folder may be called so
        pytest.skip("../shared is not there: it holds the lab's data, which users do not get")
    return SHARED


@pytest.fixture(scope="session")
def tiny_generator():
    """32 px, w_dim 32: random weights with noise and biases that matter."""
    torch.manual_seed(0)
    widths = {4: 16, 8: 16, 16: 8, 32: 8}
    config = GeneratorConfig(img_resolution=32, z_dim=32, w_dim=32, mapping_layers=2, channels=widths)
    generator = Generator(config)
    for name, value in generator.named_parameters():
        if name.endswith(("bias", "noise_strength")):
            value.data += 0.1 * torch.randn_like(value)
    generator.mapping.w_avg.copy_(generator.mapping(torch.randn(256, 32)).mean(0).detach())
    return generator.eval().requires_grad_(False)


@pytest.fixture
def tiny_encoder(tiny_generator):
    """For 32 px pictures; untrained."""
    torch.manual_seed(1)
    config = EncoderConfig(
        in_resolution=32, w_dim=32, channels=(8, 8, 16, 16, 16), depths=(1, 1, 1, 1), hidden=32
    )
    encoder = WEncoder(config)
    encoder.w_avg.copy_(tiny_generator.w_avg)
    return encoder.eval()


@pytest.fixture
def astronaut():
    """A public-domain portrait (NASA), 512 x 512 RGB uint8."""
    return pytest.importorskip("skimage.data").astronaut()


@pytest.fixture
def tiny_directions(tiny_generator):
    """Two edits of the tiny generator: one of every layer, one of the first two."""
    vectors = torch.nn.functional.normalize(torch.randn(2, 32, generator=torch.Generator().manual_seed(2)))
    common = {"low": "less", "high": "more", "sigma": 2.0, "range": (-3.0, 2.0)}
    return DirectionBank(
        {
            "smile": EditDirection(
                name="smile", label="Smile", group="Expression", direction=vectors[0], layers=(0, 8), **common
            ),
            "age": EditDirection(
                name="age", label="Age", group="Person", direction=vectors[1], layers=(0, 2), **common
            ),
        }
    )


@pytest.fixture(scope="session")
def tiny_transfer():
    """The bundled transfer network and face parser, for 32 px pictures."""
    return PhotoTransfer(32, engine="torch")


@pytest.fixture
def refined_editor(tiny_generator, tiny_encoder, tiny_directions, tiny_transfer):
    """`tiny_editor` with refiners of W+ and F."""
    refiners = tiny_refiners(tiny_encoder)
    renderer = Renderer(tiny_generator, engine="torch")
    features = FeatureRenderer(tiny_generator, refiners, engine="torch")
    inverter = Inverter(
        tiny_generator,
        tiny_encoder,
        refiners=refiners,
        engine="torch",
    )
    with FaceDetector() as detector:
        yield Editor(
            generator=tiny_generator,
            decoder=Decoder(renderer, features),
            inverter=inverter,
            detector=detector,
            directions=tiny_directions,
            crop_config=CropConfig(scale=0.66, center=0.48),
            transfer=tiny_transfer,
        )


@pytest.fixture
def open_tiny(tiny_generator, tiny_encoder, tiny_directions, tiny_transfer):
    """Opens the whole chain on real photos, with toy networks, for pictures that are told."""
    with FaceDetector() as detector:

        def open_chain(**pictures):
            return Editor(
                generator=tiny_generator,
                decoder=Decoder(Renderer(tiny_generator, engine="torch")),
                inverter=Inverter(tiny_generator, tiny_encoder, engine="torch"),
                detector=detector,
                directions=tiny_directions,
                transfer=tiny_transfer,
                **pictures,
            )

        yield open_chain


@pytest.fixture
def tiny_editor(open_tiny):
    """The whole chain on real photos, with toy networks."""
    return open_tiny(crop_config=CropConfig(scale=0.66, center=0.48))


@pytest.fixture
def picture_editor(open_tiny):
    """`tiny_editor` of pictures of 32 x 24 px that are no faces."""
    return open_tiny(crop_config=CropConfig(), content=Content(height=0.75))


@pytest.fixture
def lone_editor(tiny_generator, tiny_transfer):
    """A generator and nothing else: no encoder, and of directions only those that are found in it."""
    with FaceDetector() as detector:
        yield Editor(
            generator=tiny_generator,
            decoder=Decoder(Renderer(tiny_generator, engine="torch")),
            inverter=Inverter(tiny_generator, None, engine="torch"),
            detector=detector,
            directions=discover_directions(tiny_generator),
            crop_config=CropConfig(scale=0.66, center=0.48),
            transfer=tiny_transfer,
        )
