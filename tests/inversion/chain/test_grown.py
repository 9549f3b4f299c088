"""A grown model: the same latents as below it, drawn at twice the size."""

import copy

import pytest
import torch

from inversion.chain.decoder import Decoder, FeatureRenderer
from inversion.chain.inverter import Inverter
from inversion.directions.style_space import factorised_edits, style_layers
from stylegan2.bundle.block import widened
from stylegan2.engines.renderer import Renderer
from stylegan2.image import to_uint8
from tests.helpers.refiners import tiny_refiners


@pytest.fixture
def refiners(tiny_encoder):
    return tiny_refiners(tiny_encoder)


@pytest.fixture
def grown(tiny_generator):
    torch.manual_seed(4)
    return widened(copy.deepcopy(tiny_generator), 8).eval().requires_grad_(False)


def opened(generator, encoder, refiners):
    renderer = Renderer(generator, shared=16, engine="torch")
    rest = {"synthesis": renderer.synthesis, "lower": renderer.lower, "engine": "torch"}
    inverter = Inverter(generator, encoder, refiners=refiners, **rest)
    return inverter, Decoder(renderer, FeatureRenderer(generator, refiners, **rest))


def test_a_grown_model_finds_what_the_one_below_finds(tiny_generator, grown, tiny_encoder, refiners):
    small = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    large = small.repeat_interleave(2, 1).repeat_interleave(2, 2)
    below, _ = opened(tiny_generator, tiny_encoder, refiners)
    above, decoder = opened(grown, tiny_encoder, refiners)
    wanted, found = below.invert(small), above.invert(large)
    for one, other in (
        (wanted.w, found.w),
        (wanted.ws, found.ws),
        (wanted.plain_ws, found.plain_ws),
        (wanted.f.code, found.f.code),
        (wanted.f.a, found.f.a),
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert wanted.drawn.shape == (1, 32, 32, 3)
    assert found.drawn.shape == (1, 64, 64, 3)
    for space in ("w", "w+", "f"):
        assert decoder.draw(found, space).shape == (1, 64, 64, 3)


def test_f_is_carried_into_the_grown_block(tiny_generator, grown, tiny_encoder, refiners):
    pixels = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    inverter, decoder = opened(grown, tiny_encoder, refiners)
    found = inverter.invert(pixels)
    moved = found.f.ws + 0.2
    a, below = grown.synthesis.lower(found.f.ws, 16)
    a_hat, below = grown.synthesis.lower(moved, 16)
    f_hat = refiners.carrier.carry(found.f.code, a, a_hat)
    wanted = to_uint8(grown.synthesis.upper(f_hat, below, moved))
    drawn = decoder.draw(found, "f", lambda ws: ws + 0.2)
    assert (drawn.int() - wanted.int()).abs().max() <= 1
    styles, in_f = decoder.draw_ways(found, "f", lambda ws: ws + 0.2)[0].flip(0)
    assert torch.equal(in_f, drawn[0])
    assert (styles.int() - to_uint8(grown.synthesis(moved))[0].int()).abs().max() <= 1


def test_closed_form_edits_are_those_of_the_model_below(tiny_generator, grown):
    pairs = zip(factorised_edits(tiny_generator, 4), factorised_edits(grown, 4), strict=True)
    for below, above in pairs:
        assert torch.equal(below.direction, above.direction)
        assert (below.layers, below.range) == (above.layers, above.range)
    assert [layer.style for layer in style_layers(grown)] == list(range(grown.num_ws - 1))
