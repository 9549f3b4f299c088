import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from inversion.chain import Chain
from inversion.checkpoint import load_encoder, save_encoder
from inversion.colour_fit import ColourFit
from inversion.config import EncoderConfig
from inversion.feature_renderer import FeatureRenderer
from inversion.inverter import Inverter
from inversion.optimise import OptimiseConfig, optimise_latents
from inversion.search import pixel_loss
from stylegan2.errors import CheckpointError, ConfigError, ShapeError
from stylegan2.image import from_uint8, to_uint8
from tests.refiners import tiny_refiners


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
    with pytest.raises(ShapeError, match=r"pixels: expected \[1, 32, 32, 3\]"):
        inverter.invert(torch.zeros(1, 16, 16, 3, dtype=torch.uint8))


def test_refinement_brings_the_picture_closer(inverter, tiny_generator, pixels):
    start = inverter.invert(pixels)
    told = []
    refined = inverter.refine(pixels, start, 40, progress=lambda news: told.append(news) or True)
    error = [
        F.mse_loss(tiny_generator.synthesis(each.ws), from_uint8(pixels)).item() for each in (start, refined)
    ]
    assert error[1] < 0.5 * error[0]
    assert [news.step for news in told] == list(range(1, refined.steps + 1))
    assert all(a.psnr <= b.psnr + 1 for a, b in pairwise(told))
    assert not refined.stopped


def test_refinement_can_be_cancelled_and_keeps_the_best(inverter, pixels):
    start = inverter.invert(pixels)
    refined = inverter.refine(pixels, start, 50, progress=lambda news: news.step < 3)
    assert refined.stopped
    assert refined.steps == 3
    assert refined.ws.shape == (1, 8, 32)


def test_refinement_stops_where_nothing_improves(tiny_generator):
    w = tiny_generator.sample_w(1, seed=5)
    target = tiny_generator.synthesis(tiny_generator.broadcast(w))
    config = OptimiseConfig(patience=2)
    found = optimise_latents(tiny_generator, target, w, 60, config=config)
    assert found.steps < 20
    torch.testing.assert_close(found.ws, tiny_generator.broadcast(w), atol=0.2, rtol=0)


def test_refinement_never_returns_worse_than_its_start(tiny_generator, pixels):
    w = tiny_generator.sample_w(1, seed=9)
    target = from_uint8(pixels)
    found = optimise_latents(tiny_generator, target, w, 1, config=OptimiseConfig(lr_w=100.0))
    start = pixel_loss(tiny_generator.synthesis(tiny_generator.broadcast(w)), target)
    assert pixel_loss(tiny_generator.synthesis(found.ws), target) <= start


def test_pictures_that_are_refined_together_end_as_each_would_alone(tiny_generator, pixels):
    generator = copy.deepcopy(tiny_generator).double()  # so that only a real difference shows
    found = generator.sample_w(1, seed=5)  # drawn already: stops at once, while the other goes on
    target = torch.cat([generator.synthesis(generator.broadcast(found)), from_uint8(pixels).double()])
    start = torch.cat([found, generator.sample_w(1, seed=9)])
    config = OptimiseConfig(w_fraction=1.0, patience=2)
    together = optimise_latents(generator, target, start, 12, config=config)
    for i in range(2):
        alone = optimise_latents(generator, target[i : i + 1], start[i : i + 1], 12, config=config)
        torch.testing.assert_close(together.w[i], alone.w[0])
        torch.testing.assert_close(together.ws[i], alone.ws[0])
        assert alone.steps < 12 if i == 0 else alone.steps == together.steps == 12


@pytest.mark.parametrize("steps", [0, -1, 2001])
def test_impossible_step_counts_are_refused(inverter, pixels, steps):
    with pytest.raises(ConfigError, match=f"steps: {steps}; must be from 1 to 2000"):
        inverter.refine(pixels, inverter.invert(pixels), steps)


def test_the_generator_learns_nothing_from_a_refinement(tiny_generator, pixels):
    before = {name: value.clone() for name, value in tiny_generator.state_dict().items()}
    optimise_latents(tiny_generator, from_uint8(pixels), tiny_generator.sample_w(1, seed=1), 3)
    assert all(torch.equal(value, before[name]) for name, value in tiny_generator.state_dict().items())


@pytest.fixture(params=["torch", "openvino", "openvino without a second look"])
def full(request, tiny_generator, tiny_encoder, tmp_path):
    """Inverter and feature renderer with refiners, and the same networks as a plain chain."""
    engine, *without = request.param.split(maxsplit=1)
    refiners = tiny_refiners(tiny_encoder, second_look=not without)
    options = {"device": "cpu", "engine": engine, "cache": tmp_path}
    features = FeatureRenderer(tiny_generator, refiners, **options)
    inverter = Inverter(tiny_generator, tiny_encoder, refiners=refiners, **options)
    assert inverter.engine.name.lower().startswith(engine)
    chain = Chain(
        synthesis=tiny_generator.synthesis,
        encoder=tiny_encoder,
        refiners=refiners,
        colours=ColourFit(tiny_generator, tiny_encoder.w_std),
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
    for feature in (found.f, replace(found.f, pixels=None)):
        assert (features.render(found.f.ws, feature).int() - drawn).abs().float().mean() < 3
    ws_hat = found.f.ws + 0.3
    edited = to_uint8(chain.draw(expected, expected.ws_f + 0.3)).int()
    assert (features.render(ws_hat, found.f).int() - edited).abs().float().mean() < 3
    assert (edited - drawn).abs().float().mean() > 3


def test_what_the_inversion_has_drawn_is_the_unedited_picture_alone(full, pixels):
    inverter, features, _ = full
    found = inverter.invert(pixels).f
    other = replace(found, pixels=255 - found.pixels)
    features.render(found.ws, other).fill_(0)  # a caller's own
    assert torch.equal(features.render(found.ws, other), 255 - found.pixels)
    assert torch.equal(features.render(found.ws + 0.3, other), features.render(found.ws + 0.3, found))


def test_refinement_renews_f(full, pixels):
    inverter, features, _ = full
    start = inverter.invert(pixels)
    refined = inverter.refine(pixels, start, 5)
    assert not torch.equal(refined.f.a, start.f.a)
    torch.testing.assert_close(refined.f.a, features.activation(refined.f.ws))


def test_refinement_goes_on_in_f_and_brings_it_closer(full, pixels):
    inverter, features, _ = full
    start, told = inverter.invert(pixels), []
    predicted = inverter.refine(pixels, start, 20, config=OptimiseConfig(code_share=0.0))
    refined = inverter.refine(pixels, start, 20, progress=lambda news: told.append(news) or True)
    torch.testing.assert_close(refined.ws, predicted.ws)
    error = [
        F.mse_loss(features.render(each.f.ws, each.f).float(), pixels.float())
        for each in (predicted, refined)
    ]
    assert error[1] < 0.9 * error[0]
    assert refined.f.pixels is None  # those of the code before
    assert [news.step for news in told] == list(range(1, refined.steps + 7))
    assert {news.steps for news in told} == {26}
    assert refined.steps == 20


def error(generator, ws, pixels):
    return F.mse_loss(to_uint8(generator.synthesis(ws)).float(), pixels.float())


def test_a_refinement_leaves_ws_no_worse(full, tiny_generator):
    inverter, _, _ = full
    ws = tiny_generator.broadcast(tiny_generator.sample_w(1, seed=5)).contiguous()
    pixels = to_uint8(tiny_generator.synthesis(ws))
    start = inverter.invert(pixels)
    perfect = replace(start, w=ws[:, 0] + 3, ws=ws)  # such a w is far off, and a step does not bring it back
    refined = inverter.refine(pixels, perfect, 1)
    assert torch.equal(refined.ws, ws)
    assert not torch.equal(refined.f.ws, ws)
    better = inverter.refine(pixels, start, 40)
    assert error(tiny_generator, better.ws, pixels) <= error(tiny_generator, start.ws, pixels)


@pytest.mark.parametrize("last", [3, 12])
def test_a_refinement_that_is_cancelled_has_f_all_the_same(full, pixels, last):
    inverter, features, _ = full
    start = inverter.invert(pixels)
    refined = inverter.refine(pixels, start, 10, progress=lambda news: news.step < last)
    assert refined.stopped
    assert refined.steps == min(last, 10)
    f = refined.f
    shown, again = (features.render(f.ws, x).int() for x in (f, replace(f, pixels=None)))
    assert (shown - again).abs().float().mean() < 2
    assert (shown - start.f.pixels.int()).abs().float().mean() > 2


def test_without_refiners_there_is_no_f(inverter, pixels):
    assert inverter.invert(pixels).f is None
