from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import yaml

from stylegan2 import Generator, GeneratorConfig
from stylegan2.__main__ import main
from stylegan2.bundle.block import grow, load_bundle_generator, save_block, widened
from stylegan2.bundle.checkpoint import file_sha256, load_generator
from stylegan2.bundle.folder import read_bundle
from stylegan2.engines.renderer import Renderer
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.image import to_uint8
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.ops.upfirdn2d import upsample2d
from tests.helpers.training import tiny_generator, write_bundle


@pytest.fixture
def grown():
    torch.manual_seed(3)
    found = widened(tiny_generator(), 8).eval().requires_grad_(False)
    found.synthesis.blocks[-1].torgb.weight.mul_(0.3)
    return found


@pytest.fixture
def bundle(tmp_path, grown):
    """Of a model and, beside it, of its block."""
    home, block = tmp_path / "small", tmp_path / "large"
    home.mkdir()
    block.mkdir()
    write_bundle(home, generator=tiny_generator())
    save_block(grown.synthesis.blocks[-1], block / "block.safetensors")
    describe(block)
    return block


def describe(folder, **changes):
    entry = {"file": "block.safetensors", "sha256": file_sha256(folder / "block.safetensors")}
    listing = {
        "name": "large",
        "base": "small",
        "resolution": 64,
        "licence": "none",
        "files": {"block": entry},
    }
    (folder / "bundle.yaml").write_text(yaml.safe_dump({**listing, **changes}))


def test_a_grown_block_adds_to_the_enlarged_picture_and_changes_nothing_below(grown):
    base = tiny_generator()
    ws = base.broadcast(base.mapping(torch.randn(3, 16)))
    x, below = base.synthesis.lower(ws, 32)
    small = base.synthesis.upper(x, below, ws)
    torch.testing.assert_close(grown.synthesis.trace(*grown.synthesis.lower(ws, 32), ws, up_to=32)[1], small)
    block = grown.synthesis.blocks[-1]
    styles = ws[:, 6:7].expand(-1, 3, -1)  # of the last of 4 x 2 - 1 convolutions
    drawn = upsample2d(small) + block.torgb(block.activation(x, styles, "const"), styles[:, 0])
    torch.testing.assert_close(grown.synthesis(ws), drawn)


def test_latents_keep_their_shape_and_the_fits_row_does_not_reach_the_block(grown):
    assert (grown.num_ws, grown.img_resolution, grown.config.base_resolution) == (8, 64, 32)
    assert [grown.config.rows(side) for side in (4, 8, 32, 64)] == [(0, 1), (1, 2, 3), (5, 6, 7), (6, 6, 6)]
    ws = grown.broadcast(grown.mapping(torch.randn(1, 16))).clone()
    before = grown.synthesis.trace(*grown.synthesis.lower(ws, 64), ws)
    ws[:, 7] += torch.randn(16)  # the last ToRGB's below
    after = grown.synthesis.trace(*grown.synthesis.lower(ws, 64), ws)
    assert torch.equal(before[0][-1], after[0][-1])
    assert not torch.equal(before[1], after[1])


def test_a_folded_grown_model_draws_the_same(grown):
    ws = grown.broadcast(grown.mapping(torch.randn(2, 16))).clone()
    ws += 0.3 * torch.randn(ws.shape)
    folded = FoldedSynthesis(grown.synthesis)
    drawn = folded.upper(*folded.lower(ws, 16), ws)
    torch.testing.assert_close(drawn, grown.synthesis(ws), atol=1e-4, rtol=1e-4)
    small = folded.trace(*folded.lower(ws, 16), ws, up_to=32)[1]
    assert small.shape[2:] == (32, 32)
    pixels = Renderer(grown, engine="torch").render(ws)
    assert (pixels.int() - to_uint8(grown.synthesis(ws)).int()).abs().max() <= 1


def test_a_block_is_written_and_read_again(tmp_path, grown):
    save_block(grown.synthesis.blocks[-1], tmp_path / "block.safetensors", {"training": "{}"})
    again = grow(tiny_generator(), tmp_path / "block.safetensors")
    ws = again.broadcast(again.mapping(torch.randn(2, 16)))
    assert F.mse_loss(again.synthesis(ws), grown.synthesis(ws)) < 1e-6  # half precision
    assert again.config == grown.config


def test_a_bundle_of_a_block_shares_the_rest_with_the_folder_beside_it(bundle, grown):
    found = read_bundle(bundle)
    base = read_bundle(bundle.parent / "small")
    assert (found.name, found.resolution) == ("large", 64)
    assert (found.generator_sha256, found.crop_config) == (base.generator_sha256, base.crop_config)
    assert load_bundle_generator(found).config == grown.config
    assert load_bundle_generator(base).img_resolution == 32


@pytest.mark.parametrize("base", ["../small", "", ".", "/tmp", "missing", "small/x"])
def test_a_base_is_a_folder_beside_the_bundle(bundle, base):
    describe(bundle, base=base)
    with pytest.raises(CheckpointError, match=r"base|no bundle\.yaml"):
        read_bundle(bundle)


def test_a_block_doubles_its_base_and_no_grown_one(bundle):
    describe(bundle, resolution=128)
    with pytest.raises(CheckpointError, match="must double"):
        read_bundle(bundle)
    describe(bundle)
    (bundle.parent / "small").rename(bundle.parent / "first")
    (bundle.parent / "small").mkdir()
    for file in bundle.iterdir():
        (bundle.parent / "small" / file.name).write_bytes(file.read_bytes())
    describe(bundle.parent / "small", base="first")
    describe(bundle, resolution=128)
    with pytest.raises(CheckpointError, match="has not grown"):
        read_bundle(bundle)


def test_a_block_that_does_not_fit_is_refused_by_name(tmp_path, bundle, grown):
    block = grown.synthesis.blocks[-1]
    wider = Generator(replace(tiny_generator().config, channels={4: 16, 8: 16, 16: 8, 32: 16}))
    save_block(block, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="no block of 64 px for this generator"):
        grow(wider, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="no block of a generator"):
        grow(tiny_generator(), bundle.parent / "small" / "generator.safetensors")
    with pytest.raises(CheckpointError, match="no such file"):
        grow(tiny_generator(), tmp_path / "none.safetensors")
    block.conv1.weight[0, 0, 0, 0] = float("nan")
    save_block(block, tmp_path / "nan.safetensors")
    with pytest.raises(CheckpointError, match=r"conv1\.weight"):
        grow(tiny_generator(), tmp_path / "nan.safetensors")


@pytest.mark.parametrize("wrong", [0, 3, 64, 128])
def test_growing_starts_at_a_resolution_below(wrong):
    with pytest.raises(ConfigError, match="grown_from"):
        GeneratorConfig(img_resolution=64, grown_from=wrong)


def test_zones_reach_as_far_as_below_and_no_farther(grown):
    zones = torch.rand(2, 8, 8)
    zones /= zones.sum(0)
    styles = grown.broadcast(grown.mapping(torch.randn(2, 16)))[None]  # of two zones
    base, above = (FoldedSynthesis(each.synthesis, zones) for each in (tiny_generator(), grown))
    x, small = base.lower(styles, 32)
    x_too, small_too = above.lower(styles, 32)
    torch.testing.assert_close(x_too, x)
    torch.testing.assert_close(small_too, small)
    block, last = grown.synthesis.blocks[-1], styles[:, 1, 6:7].expand(-1, 3, -1)
    wanted = block.draw(block.activation(x, last, "const"), base.upper(x, small, styles), last)
    torch.testing.assert_close(above.upper(x, small, styles), wanted, atol=1e-4, rtol=1e-4)


def test_a_grown_model_is_exported_whole(bundle, grown, tmp_path, capsys):
    assert main(["export", str(bundle), "--to", "rosinality", "--out", str(tmp_path / "g.pt")]) == 0
    assert "its 64 px block takes the style of another layer here" in capsys.readouterr().out
    exported, z = load_generator(tmp_path / "g.pt"), torch.randn(2, 16)
    assert exported.num_ws == 10  # others' code knows nothing of growing
    assert F.mse_loss(exported(z), grown(z)) < 1e-6  # half precision
