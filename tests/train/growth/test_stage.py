from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from stylegan2.bundle.block import load_bundle_generator
from stylegan2.bundle.folder import read_bundle
from stylegan2.errors import ConfigError
from stylegan2.image import to_uint8
from stylegan2.ops.upfirdn2d import upsample2d
from tests.helpers.opened import tiny_model
from tests.helpers.refiners import tiny_refiners
from tests.helpers.training import assert_equal, write_bundle
from train.core.config import DataConfig, HardwareConfig, RunConfig
from train.core.loop import training_loop
from train.data.images import find_images, in_validation
from train.errors import DatasetError
from train.growth.config import GrowthConfig, GrowthPhase, JudgeConfig
from train.growth.export import GrownBundle
from train.growth.faces import FaceSource
from train.growth.judge import LEVEL_CHANNELS, Judge, fooling_loss, judge_loss, slope_penalty
from train.growth.pool import Below, GrownPool, PoolSizes
from train.growth.stage import GrowthStage, new_block
from train.losses.perceptual import load_perceptual

SIDE = 32  # of the tiny generator's pictures; its activation there has 8 channels, its w 32 numbers
SIZES = PoolSizes(faces=6, invented=5, channels=8, side=SIDE, w_dim=32)


def settings(folder, **changes):
    phases = (
        GrowthPhase(name="g", max_steps=12, pair_batch=2, real_batch=2, lr=5e-3, warmup_steps=0, ema=0.5),
    )
    given = {
        "bundle": folder,
        "run": RunConfig(folder=folder / "run"),
        "phases": phases,
        "data": DataConfig(images=str(folder / "photos"), validation_fraction=0.0),
        "channels": 8,
        "faces": 6,
        "invented": 5,
        "validation_faces": 2,
        "cache": folder / "cache",
        "hardware": HardwareConfig(device="cpu", precision="float32"),
    }
    return GrowthConfig(**{**given, **changes})


def texture(seed, *, soft=False):
    """A picture of 2 SIDE px with detail of a pixel, or without."""
    noise = np.random.default_rng(seed).integers(0, 255, (2 * SIDE, 2 * SIDE, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4.0 if soft else 0.8)


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(12):
        Image.fromarray(texture(i, soft=i % 2 == 1)).save(tmp_path / "photos" / f"{i:02}.png")
    return find_images(str(tmp_path / "photos"))


@pytest.fixture
def refiners(tiny_encoder):
    return tiny_refiners(tiny_encoder)


@pytest.fixture
def model(tiny_generator, tiny_encoder, refiners):
    return tiny_model(tiny_generator, tiny_encoder, refiners)


def source_of(config, model, refiners, photos):
    return FaceSource(config, model, refiners.carrier, refiners.config.f_resolution, photos)


def below_of(count, seed):
    rng = torch.Generator().manual_seed(seed)
    x, img = torch.randn(count, 8, SIDE, SIDE, generator=rng), torch.rand(count, 3, SIDE, SIDE, generator=rng)
    return Below(x=x, img=img - 0.5, w=torch.randn(count, 32, generator=rng))


@pytest.fixture
def pool(tmp_path):
    pool = GrownPool(tmp_path / "cache", SIZES, {"seed": 0})
    fill(pool)
    return pool


def photos_of(below):
    """Photos that a block can draw: the enlarged pictures, and three channels of what is handed on."""
    return to_uint8(upsample2d(below.img) + 0.3 * upsample2d(below.x[:, :3]))


def fill(pool, asked=None):
    known = [below_of(4, 0), below_of(2, 1)]

    def drawn(pixels):
        if asked is not None:
            asked.append(len(pixels))
        return known[0] if len(pixels) == 4 else known[1]

    pool.fill(
        drawn,
        lambda: iter([photos_of(each) for each in known]),
        lambda first, count: below_of(count, 100 + first),
        4,
        lambda *_: None,
    )


def test_photos_are_sharp_and_not_held_out(tmp_path, model, refiners, photos):
    config = settings(tmp_path, sharpness=8.0)
    found = torch.cat(list(source_of(config, model, refiners, photos).photos()))
    sharp = {texture(i).tobytes() for i in range(0, 12, 2)}
    assert {each.numpy().tobytes() for each in found} == sharp
    held = DataConfig(images="x", validation_fraction=0.5)
    kept = [i for i in range(0, 12, 2) if not in_validation(f"photos/{i:02}.png", 0.5)]
    assert 0 < len(kept) < 6
    with pytest.raises(DatasetError, match=f"{len(kept)} pictures of sharpness 8; faces wants 12"):
        list(
            source_of(
                settings(tmp_path, sharpness=8.0, data=held, faces=12), model, refiners, photos
            ).photos()
        )


def test_what_is_handed_on_of_a_photo_is_what_the_product_draws(
    tmp_path, model, refiners, tiny_generator, photos
):
    source = source_of(settings(tmp_path), model, refiners, photos)
    pixels = torch.from_numpy(np.stack([texture(0), texture(2)]))
    below = source.draw_faces(pixels)
    small = to_uint8(torch.nn.functional.avg_pool2d(pixels.permute(0, 3, 1, 2) / 127.5 - 1, 2))
    drawn = model.decoder.draw(model.inverter.invert(small), "f")
    assert (to_uint8(below.img).int() - drawn.int()).abs().max() <= 1
    block = new_block(tiny_generator, 8)
    grown = block(below.x, below.img, below.w)
    torch.testing.assert_close(grown, upsample2d(below.img))  # a new block draws nothing


def test_invented_faces_follow_from_their_number(tmp_path, model, refiners, photos, tiny_generator):
    source = source_of(settings(tmp_path), model, refiners, photos)
    one, again, other = source.invent(2, 3), source.invent(2, 3), source.invent(5, 3)
    assert_equal(vars(one), vars(again))
    assert not torch.equal(one.x, other.x)
    ws = tiny_generator.broadcast(one.w)
    torch.testing.assert_close(one.img, tiny_generator.synthesis(ws))
    torch.testing.assert_close(one.x, tiny_generator.synthesis.features(ws, SIDE))


def test_a_pool_is_filled_once_and_kept(tmp_path, pool):
    asked = []
    again = GrownPool(tmp_path / "cache", SIZES, {"seed": 0})
    fill(again, asked)
    assert asked == []
    rows = torch.tensor([5, 0, 8])
    assert_equal(vars(pool.below(rows)), vars(again.below(rows)))
    assert torch.equal(to_uint8(pool.photos(torch.tensor([5])))[0], photos_of(below_of(2, 1))[1])
    with pytest.raises(ConfigError, match="faces of another seed"):
        GrownPool(tmp_path / "cache", SIZES, {"seed": 1})


def test_the_games_are_those_of_their_papers():
    real, fake = [torch.tensor([2.0, 0.5])], [torch.tensor([-0.5, 1.0])]
    hinge, pairs = JudgeConfig(game="hinge"), JudgeConfig(game="relativistic")
    assert judge_loss(real, fake, hinge) == pytest.approx(0.25 + (0.5 + 2.0) / 2)
    assert fooling_loss(real, fake, hinge) == pytest.approx(-0.25)
    wanted = np.log1p(np.exp([-2.5, 0.5])).mean()
    assert judge_loss(real, fake, pairs) == pytest.approx(wanted, abs=1e-6)
    assert fooling_loss(real, fake, pairs) == pytest.approx(np.log1p(np.exp([2.5, -0.5])).mean(), abs=1e-6)


@pytest.mark.parametrize("sees", ["features", "pixels"])
def test_slopes_are_those_of_opinions(sees):
    torch.manual_seed(0)
    judge = Judge(JudgeConfig(sees=sees, width=8, hidden=8)).eval().double()
    shapes = [(c, 16, 16) for c in LEVEL_CHANNELS] if sees == "features" else [(3, 32, 32)]
    levels = [torch.rand(2, *shape, dtype=torch.float64) for shape in shapes]
    steps = [torch.randn_like(x) for x in levels]

    def opinions(at):
        moved = [x + at * step for x, step in zip(levels, steps, strict=True)]
        return sum(float(a.sum()) for a in judge(moved))

    seen = [x.clone().requires_grad_() for x in levels]
    slopes = torch.autograd.grad(sum(a.sum() for a in judge(seen)), seen)
    along = sum(float((slope * step).sum()) for slope, step in zip(slopes, steps, strict=True))
    h = 1e-2 if sees == "features" else 1e-3  # features are brought to unit size in float32
    assert (opinions(h) - opinions(-h)) / (2 * h) == pytest.approx(along, rel=0.02)
    wanted = sum(float(slope.square().sum()) for slope in slopes) / 2 / 2
    assert float(slope_penalty(judge.float(), levels)) == pytest.approx(wanted, rel=1e-4)


def stage_of(config, pool, generator):
    torch.manual_seed(0)
    block = new_block(generator, config.channels)
    full = SimpleNamespace(draw_faces=None, photos=None, invent=None, batch=4)  # is not asked for anything
    origin = read_bundle(config.bundle)
    features = load_perceptual().features
    return GrowthStage(config, block, features, full, pool, GrownBundle(origin), torch.device("cpu"))


def test_training_comes_nearer_to_photos_and_writes_a_model(tmp_path, pool, tiny_generator):
    write_bundle(tmp_path, generator=tiny_generator)
    config = settings(tmp_path)
    stage = stage_of(config, pool, tiny_generator)
    before = stage.validate()
    assert before["psnr"] == pytest.approx(before["enlarged_psnr"])
    training_loop(stage, config.run, {}, resume=False, report=lambda line: None)
    after = stage.validate()
    assert after["psnr"] > before["psnr"]
    assert after["enlarged_psnr"] == before["enlarged_psnr"]
    assert stage.grid().shape == (5 * 2 * SIDE, 2 * 2 * SIDE, 3)
    found = read_bundle(tmp_path / "run" / "bundle")
    grown = load_bundle_generator(found)
    assert (found.resolution, grown.img_resolution) == (2 * SIDE, 2 * SIDE)
    assert found.generator_sha256 == read_bundle(tmp_path).generator_sha256  # what lies below is as it was
    below = pool.below(torch.tensor([7]))
    drawn = stage.optimiser.average(below.x, below.img, below.w)
    block = grown.synthesis.blocks[-1]
    styles = below.w[:, None].expand(-1, 3, -1)
    again = block.draw(block.activation(below.x, styles, "const"), below.img, styles)
    assert (drawn - again).abs().max() < 2e-2  # half precision


@pytest.mark.parametrize(
    "judge",
    [JudgeConfig(), JudgeConfig(game="relativistic"), JudgeConfig(sees="pixels", game="relativistic")],
)
def test_every_judge_is_taught_and_moves_the_block(tmp_path, pool, tiny_generator, judge):
    write_bundle(tmp_path, generator=tiny_generator)
    stage = stage_of(settings(tmp_path, judge=judge), pool, tiny_generator)
    taught = [p for p in stage.judge.parameters() if p.requires_grad and p.ndim > 1]
    before = [p.detach().clone() for p in taught]
    for step in range(3):
        terms = stage.step(step, 0.0)
    assert all(torch.isfinite(value) for value in terms.values())
    assert ("slopes" in terms) == (judge.game == "relativistic")
    assert all(not torch.equal(a, b) for a, b in zip(before, taught, strict=True))
    assert stage.optimiser.module.block.torgb.weight.abs().max() > 0


def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(tmp_path, pool, tiny_generator):
    write_bundle(tmp_path, generator=tiny_generator)
    config = settings(tmp_path)
    whole, first = stage_of(config, pool, tiny_generator), stage_of(config, pool, tiny_generator)
    for step in range(3):
        whole.step(step, 0.5)
    first.step(0, 0.5)
    second = stage_of(config, pool, tiny_generator)
    second.load_state_dict(first.state_dict())
    for step in (1, 2):
        second.step(step, 0.5)
    assert_equal(whole.state_dict(), second.state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": DataConfig()}, "data.images: null"),
        ({"validation_faces": 5}, "validation_faces: 5; must be 1 to 4 of 5"),
        ({"channels": 0}, "channels: 0"),
        ({"psi": (1.0, 0.5)}, "psi"),
        ({"phases": ()}, "phases: empty"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, **changes)
