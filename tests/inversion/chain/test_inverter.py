from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from inversion.chain.colour_fit import ColourFit
from inversion.chain.decoder import Decoder, FeatureRenderer
from inversion.chain.inversion import Inversion
from inversion.chain.inverter import Inverter
from inversion.networks.checkpoint import load_encoder, save_encoder
from inversion.networks.config import EncoderConfig
from stylegan2.engines.renderer import Renderer
from stylegan2.errors import CheckpointError, ConfigError, ShapeError
from stylegan2.image import from_uint8, to_uint8
from tests.helpers.plain_chain import PlainChain
from tests.helpers.refiners import tiny_refiners


@pytest.mark.parametrize("batch", [1, 3])
def test_the_encoder_maps_pictures_to_w(tiny_encoder, batch):
    assert tiny_encoder(torch.randn(batch, 3, 32, 32)).shape == (batch, 32)


def test_three_feature_levels_halve(tiny_encoder):
    fine, middle, coarse = tiny_encoder.backbone(torch.randn(2, 3, 32, 32))
    assert [level.shape[2] for level in (fine, middle, coarse)] == [8, 4, 2]


def test_an_untrained_encoder_stays_near_the_mean(tiny_encoder):
    w = tiny_encoder(torch.randn(4, 3, 32, 32))
    assert (w - tiny_encoder.w_avg).abs().max() < 0.5 * tiny_encoder.w_std


def test_a_wrong_size_is_refused(tiny_encoder):
    with pytest.raises(ShapeError, match=r"img: expected \[N, 3, 32, 32\], got \[1, 3, 16, 16\]"):
        tiny_encoder(torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_resolution": 40}, "in_resolution: 40; must be a positive multiple of 32"),
        ({"channels": (1, 8, 8, 8, 8)}, "channels: .* at least 8"),
        ({"depths": (1, 0, 1, 1)}, "depths: .* at least 1"),
    ],
)
def test_impossible_encoders_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        EncoderConfig(**change)


def test_encoder_weights_round_trip(tiny_encoder, tmp_path):
    save_encoder(tiny_encoder, tmp_path / "e.safetensors", {"note": "x"}, dtype=torch.float32)
    loaded = load_encoder(tmp_path / "e.safetensors")
    assert loaded.config == tiny_encoder.config
    img = torch.randn(1, 3, 32, 32)
    assert torch.equal(loaded(img), tiny_encoder(img))


def test_half_precision_keeps_the_frame_of_reference(tiny_encoder, tmp_path):
    save_encoder(tiny_encoder, tmp_path / "e.safetensors")
    loaded = load_encoder(tmp_path / "e.safetensors")
    assert torch.equal(loaded.w_avg, tiny_encoder.w_avg)


def test_weights_without_architecture_are_refused(tmp_path):
    save_file({"w_avg": torch.zeros(3)}, tmp_path / "e.safetensors")
    with pytest.raises(CheckpointError, match=r"e\.safetensors: not a W encoder"):
        load_encoder(tmp_path / "e.safetensors")


def test_weights_that_are_no_numbers_are_refused_by_name(tiny_encoder, tmp_path):
    next(iter(tiny_encoder.parameters())).data.view(-1)[0] = float("nan")
    name = next(iter(dict(tiny_encoder.named_parameters())))
    save_encoder(tiny_encoder, tmp_path / "e.safetensors")
    with pytest.raises(CheckpointError, match=rf"e\.safetensors: {name} of \d+ tensors hold NaN or infinity"):
        load_encoder(tmp_path / "e.safetensors")


def test_left_over_weights_are_named(tiny_encoder, tmp_path):
    tiny_encoder.register_buffer("surprise", torch.zeros(1))
    save_encoder(tiny_encoder, tmp_path / "e.safetensors")
    with pytest.raises(CheckpointError, match=r"left over \['surprise'\]"):
        load_encoder(tmp_path / "e.safetensors")


@pytest.fixture
def inverter(tiny_generator, tiny_encoder):
    return Inverter(tiny_generator, tiny_encoder, engine="torch")


@pytest.fixture
def pixels(tiny_generator):
    return to_uint8(tiny_generator.synthesis(tiny_generator.broadcast(tiny_generator.sample_w(1, seed=5))))


def test_the_facade_answers_as_the_encoder(inverter, tiny_encoder, pixels):
    inversion = inverter.invert(pixels)
    torch.testing.assert_close(inversion.w, tiny_encoder(from_uint8(pixels)), atol=1e-6, rtol=1e-6)
    assert torch.equal(inversion.ws, inversion.w[:, None].expand(-1, 8, -1))


def test_the_facade_refuses_a_wrong_size(inverter):
    with pytest.raises(ShapeError, match=r"pixels: expected \[N, 32, 32, 3\]"):
        inverter.invert(torch.zeros(1, 16, 16, 3, dtype=torch.uint8))


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """Converted once, for all tests."""
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(
    params=[
        "torch",
        "torch sharing what is drawn below",
        "openvino sharing what is drawn below",
        "openvino without a second look",
    ]
)
def full(request, tiny_generator, tiny_encoder, graphs):
    """Inverter and feature renderer with refiners, and the same networks as a plain chain."""
    engine, *how = request.param.split(maxsplit=1)
    refiners = tiny_refiners(tiny_encoder, second_look=how != ["without a second look"])
    options = {"device": "cpu", "engine": engine, "cache": graphs}
    if how == ["sharing what is drawn below"]:
        options["lower"] = Renderer(tiny_generator, shared=8, **options).lower
    features = FeatureRenderer(tiny_generator, refiners, **options)
    inverter = Inverter(tiny_generator, tiny_encoder, refiners=refiners, **options)
    assert inverter.engine.name.lower().startswith(engine)
    chain = PlainChain(
        synthesis=tiny_generator.synthesis,
        encoder=tiny_encoder,
        refiners=refiners,
        colours=ColourFit(
            tiny_generator,
            tiny_encoder.w_std,
            synthesis=tiny_generator.synthesis,
            restraint=refiners.config.restraint,
        ),
    )
    return inverter, features, chain


def test_the_facade_with_refiners_answers_as_the_chain(full, pixels):
    inverter, features, chain = full
    found, expected = inverter.invert(pixels), chain.invert(from_uint8(pixels))
    torch.testing.assert_close(found.f.ws, expected.ws_f, atol=0.02, rtol=0.02)
    assert (found.ws - found.f.ws).abs().amax((0, 2)).gt(0.01).tolist() == 5 * [False] + [True, False, True]
    fitted, own = (to_uint8(chain.draw_ws(ws)).int() for ws in (expected.ws, found.ws))
    assert (fitted - own).abs().float().mean() < 3
    assert (fitted - to_uint8(chain.draw_ws(expected.ws_f)).int()).abs().float().mean() > 3
    drawn = to_uint8(chain.draw(expected)).int()
    for pixels_in_f in (found.drawn, features.render(found.f.ws, found.f)):
        assert (pixels_in_f.int() - drawn).abs().float().mean() < 3
    ws_hat = found.f.ws + 0.3
    edited = to_uint8(chain.draw(expected, expected.ws_f + 0.3)).int()
    assert (features.render(ws_hat, found.f).int() - edited).abs().float().mean() < 3
    assert (edited - drawn).abs().float().mean() > 3


def test_what_the_inversion_has_drawn_is_the_unedited_picture_alone(full, tiny_generator, pixels):
    inverter, features, _ = full
    found = inverter.invert(pixels)
    decoder = Decoder(Renderer(tiny_generator, engine="torch"), features)
    other = replace(found, drawn=255 - found.drawn)
    decoder.draw(other, "f").fill_(0)  # a caller's own
    assert torch.equal(decoder.draw(other, "f"), 255 - found.drawn)
    moved = [decoder.draw(each, "f", lambda ws: ws + 0.3) for each in (other, found)]
    assert torch.equal(*moved)
    assert not torch.equal(decoder.draw(other, "w+"), other.drawn)


def test_pictures_are_told_apart_by_every_engine_that_draws_them(tiny_generator, tmp_path):
    renderer = Renderer(tiny_generator, shared=8, device="cpu", cache=tmp_path)
    w = tiny_generator.sample_w(1, seed=0)
    decoder, found = Decoder(renderer), Inversion(w=w, ws=tiny_generator.broadcast(w).clone())
    before, shown = decoder.drawn_by(found, "w"), decoder.engine(found, "w").name
    renderer.lower.engine.prepare()
    renderer.lower.engine.wait()
    assert decoder.engine(found, "w").name == shown  # the upper part is the same still
    assert decoder.drawn_by(found, "w") != before


def test_pictures_are_inverted_and_drawn_together_as_alone(full, tiny_generator, pixels):
    inverter, features, _ = full
    decoder, both = (
        Decoder(Renderer(tiny_generator, engine="torch"), features),
        torch.cat([pixels, 255 - pixels]),
    )
    together, alone = inverter.invert(both), inverter.invert(both[1:])
    for space in ("w", "w+", "f"):
        drawn = (decoder.draw(found, space, lambda ws: ws * 1.1)[-1:].int() for found in (together, alone))
        assert (next(drawn) - next(drawn)).abs().max() <= 2


def test_without_refiners_there_is_no_f(inverter, pixels):
    assert inverter.invert(pixels).f is None
