import pytest
import torch

from stylegan2.errors import ConfigError, ShapeError
from stylegan2.image import from_uint8, to_uint8
from stylegan2.network.config import GeneratorConfig, default_channels
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator


@pytest.mark.parametrize("resolution", [32, 64, 128, 256, 512, 1024])
def test_every_resolution_has_its_styles_and_size(resolution):
    channels = dict.fromkeys(default_channels(resolution), 2)
    config = GeneratorConfig(img_resolution=resolution, z_dim=4, w_dim=4, mapping_layers=1, channels=channels)
    assert config.num_ws == 2 * resolution.bit_length() - 4
    img = Generator(config).eval()(torch.randn(1, 4))
    assert img.shape == (1, 3, resolution, resolution)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_is_its_samples(tiny_generator, batch):
    ws = torch.randn(batch, tiny_generator.num_ws, 32)
    img = tiny_generator.synthesis(ws)
    alone = torch.cat([tiny_generator.synthesis(one[None]) for one in ws])
    torch.testing.assert_close(img, alone, atol=1e-5, rtol=1e-5)


def test_noise_modes_differ_and_const_repeats(tiny_generator):
    ws = tiny_generator.broadcast(tiny_generator.sample_w(1, seed=0))
    const, none = (tiny_generator.synthesis(ws, noise_mode=mode) for mode in ("const", "none"))
    assert torch.equal(const, tiny_generator.synthesis(ws))
    assert not torch.allclose(const, none)
    first, second = (tiny_generator.synthesis(ws, noise_mode="random") for _ in range(2))
    assert not torch.allclose(first, second)


def test_unknown_noise_mode_is_named(tiny_generator):
    with pytest.raises(ConfigError, match="noise_mode: 'loud'; must be one of const, random, none"):
        tiny_generator.synthesis(torch.zeros(1, tiny_generator.num_ws, 32), noise_mode="loud")


def test_truncation_goes_to_the_mean(tiny_generator):
    z = torch.randn(2, 32)
    full, none = tiny_generator.mapping(z), tiny_generator.mapping(z, truncation_psi=0.0)
    torch.testing.assert_close(none, tiny_generator.w_avg.expand(2, -1))
    half = tiny_generator.mapping(z, truncation_psi=0.5)
    torch.testing.assert_close(half, (full + none) / 2)


def test_mapping_ignores_the_length_of_z(tiny_generator):
    z = torch.randn(1, 32)
    torch.testing.assert_close(tiny_generator.mapping(z), tiny_generator.mapping(z * 5), atol=1e-5, rtol=1e-5)


def test_sampling_repeats_for_a_seed(tiny_generator):
    assert torch.equal(tiny_generator.sample_w(2, seed=4), tiny_generator.sample_w(2, seed=4))
    assert not torch.equal(tiny_generator.sample_w(2, seed=4), tiny_generator.sample_w(2, seed=5))


def test_every_style_matters(tiny_generator):
    ws = tiny_generator.broadcast(tiny_generator.w_avg[None]).clone()
    img = tiny_generator.synthesis(ws)
    for layer in range(tiny_generator.num_ws):
        moved = ws.clone()
        moved[:, layer] += 1
        assert (tiny_generator.synthesis(moved) - img).abs().max() > 1e-4, layer


@pytest.mark.parametrize("shape", [(1, 3, 32), (1, 8, 31), (8, 32)])
def test_wrong_styles_are_refused(tiny_generator, shape):
    with pytest.raises(ShapeError, match=r"ws: expected \[N, 8, 32\]"):
        tiny_generator.synthesis(torch.zeros(shape))


def test_wrong_z_is_refused(tiny_generator):
    with pytest.raises(ShapeError, match=r"z: expected \[N, 32\]"):
        tiny_generator(torch.zeros(1, 31))


@pytest.mark.parametrize("resolution", [0, 16, 48, 2048])
def test_impossible_resolutions_are_refused(resolution):
    with pytest.raises(ConfigError, match="must be a power of two from 32 to 1024"):
        GeneratorConfig(img_resolution=resolution)


def test_folding_changes_no_pixel_by_more_than_rounding(tiny_generator):
    ws = torch.randn(3, tiny_generator.num_ws, 32)
    folded = FoldedSynthesis(tiny_generator.synthesis)(ws)
    reference = to_uint8(tiny_generator.synthesis(ws))
    assert folded.dtype == torch.uint8
    assert (folded.int() - reference.int()).abs().max() <= 1


def test_every_pixel_level_survives_the_round_trip():
    levels = torch.arange(256, dtype=torch.uint8).repeat(3, 1).T.reshape(1, 16, 16, 3)
    assert torch.equal(to_uint8(from_uint8(levels)), levels)


def test_pixels_are_clamped():
    img = torch.tensor([-7.0, 7.0]).reshape(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert to_uint8(img)[0, 0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("resolution", [4, 8, 16, 32])
def test_a_picture_from_its_own_features_is_the_same(tiny_generator, resolution):
    ws = torch.randn(2, tiny_generator.num_ws, 32)
    f = tiny_generator.synthesis.features(ws, resolution)
    assert f.shape == (2, tiny_generator.config.channels[resolution], resolution, resolution)
    torch.testing.assert_close(tiny_generator.synthesis(ws, f=f), tiny_generator.synthesis(ws))


@pytest.mark.parametrize("folded", [False, True])
def test_a_trace_has_the_activations_and_the_picture(tiny_generator, folded):
    synthesis, ws = tiny_generator.synthesis, torch.randn(2, tiny_generator.num_ws, 32)
    traced = FoldedSynthesis(synthesis) if folded else synthesis
    activations, img = traced.trace(*traced.lower(ws, 8), ws)
    for found, resolution in zip(activations, (8, 16, 32), strict=True):
        torch.testing.assert_close(found, synthesis.features(ws, resolution), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(img, synthesis(ws), atol=1e-4, rtol=1e-4)


def test_features_replace_what_the_styles_below_drew(tiny_generator):
    ws, other = torch.randn(2, 1, tiny_generator.num_ws, 32)
    f = tiny_generator.synthesis.features(ws, 16)
    assert not torch.allclose(tiny_generator.synthesis(other, f=f), tiny_generator.synthesis(other))
    mixed = torch.cat([other[:, :5], ws[:, 5:]], 1)  # styles up to the activation at 16 px: only the skip
    skip = tiny_generator.synthesis(mixed, f=f) - tiny_generator.synthesis(ws, f=f)
    assert (
        0 < skip.abs().mean() < (tiny_generator.synthesis(mixed) - tiny_generator.synthesis(ws)).abs().mean()
    )


def test_features_of_another_shape_are_refused(tiny_generator):
    ws = torch.randn(1, tiny_generator.num_ws, 32)
    with pytest.raises(ShapeError, match=r"f: expected \[N, C, R, R\] with R one of \[4, 8, 16, 32\]"):
        tiny_generator.synthesis.upper(torch.zeros(1, 8, 24, 24), None, ws)
    with pytest.raises(ShapeError, match=r"f: expected \[1, 8, 16, 16\]"):
        tiny_generator.synthesis(ws, f=torch.zeros(1, 9, 16, 16))
    with pytest.raises(ConfigError, match=r"resolution: 64; must be one of \[4, 8, 16, 32\]"):
        tiny_generator.synthesis.features(ws, 64)
