from types import SimpleNamespace

import numpy as np
import pytest
import torch

from inversion.transfer.checkpoint import load_transfer
from inversion.transfer.config import SIDE, TransferConfig
from inversion.transfer.network import TransferNetwork
from stylegan2.errors import ConfigError
from tests.helpers.opened import tiny_model
from tests.helpers.refiners import tiny_refiners
from train.core.config import HardwareConfig, RunConfig
from train.core.loop import training_loop
from train.losses.perceptual import load_perceptual
from train.refiners.edits import EditSampler
from train.transfer.config import TransferPhaseConfig, TransferTrainingConfig
from train.transfer.examples import DRAWN, EDITS, Example, ExampleMaker, estranged
from train.transfer.pool import ExamplePool
from train.transfer.stage import TRANSFER_FILE, TransferStage
from train.transfer.terms import carried_l1, edit_gain, optical_flow, total_variation


@pytest.fixture
def maker(tiny_generator, tiny_encoder, tiny_directions):
    model = tiny_model(tiny_generator, tiny_encoder, tiny_refiners(tiny_encoder))
    return ExampleMaker(model, EditSampler(tiny_generator, tiny_directions), 0)


def test_an_example_follows_from_its_number(maker):
    one, again, other = maker.make(3), maker.make(3), maker.make(4)
    assert one.photo.shape == (32, 32, 3)
    assert one.drawn.shape == (DRAWN, 32, 32, 3)
    assert one.truth.shape == (EDITS, 32, 32, 3)
    assert one.edited.shape == (EDITS, DRAWN, 32, 32, 3)
    for name in ("photo", "drawn", "truth", "edited"):
        assert torch.equal(getattr(one, name), getattr(again, name))
    assert not torch.equal(one.photo, other.photo)


def test_truth_and_edit_differ_from_the_photo(maker):
    example = maker.make(0)
    assert not torch.equal(example.truth[0], example.photo)
    assert not torch.equal(example.edited[0, 0], example.drawn[0])
    assert not torch.equal(example.edited[0, 0], example.edited[0, 1])  # F, and the styles below it


def test_strange_looks_are_the_same_for_photo_and_truth():
    rng = np.random.default_rng(0)
    one = torch.from_numpy(rng.integers(60, 200, (1, 64, 64, 3), np.uint8))
    changed = 0
    for seed in range(8):
        out = estranged(torch.cat([one, one]), torch.Generator().manual_seed(seed))
        assert torch.equal(out[0], out[1])
        changed += not torch.equal(out[0], one[0])
    assert 3 <= changed <= 8


def example_of(rng):
    def noise(*shape):
        return torch.from_numpy(rng.integers(0, 255, (*shape, SIDE, SIDE, 3), np.uint8))

    return Example(noise(), noise(DRAWN), noise(EDITS), noise(EDITS, DRAWN))


@pytest.fixture
def pool(tmp_path):
    pool = ExamplePool(tmp_path / "examples", 6, SIDE, {"seed": 0})
    rng = np.random.default_rng(0)
    pool.fill(lambda number: example_of(rng), lambda done, total: None)
    return pool


def test_a_pool_is_filled_once_and_kept(tmp_path, pool):
    asked = []
    again = ExamplePool(tmp_path / "examples", 6, SIDE, {"seed": 0})
    again.fill(asked.append, lambda done, total: None)
    assert asked == []
    assert torch.equal(pool.pick(2, 1, 0), again.pick(2, 1, 0))
    with pytest.raises(ConfigError, match="examples of another seed"):
        ExamplePool(tmp_path / "examples", 6, SIDE, {"seed": 1})
    (tmp_path / "examples" / "photo.npy").write_bytes(b"broken")
    with pytest.raises(ConfigError, match="damaged"):
        ExamplePool(tmp_path / "examples", 6, SIDE, {"seed": 0})


def test_what_is_drawn_follows_from_the_position(pool):
    first = pool.draw(2, 5, torch.Generator().manual_seed(1))
    assert first.shape == (5, 6, 3, SIDE, SIDE)
    assert torch.equal(first, pool.draw(2, 5, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, pool.draw(2, 5, torch.Generator().manual_seed(2)))


def test_gain_is_the_share_of_the_change():
    photo = torch.rand(3, 3, 32, 32)
    truth = photo + torch.randn(3, 3, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    for share in (0.0, 0.4, 1.0, 1.3):
        gain, weight = edit_gain(photo + share * (truth - photo), truth, photo)
        torch.testing.assert_close(gain, torch.full((3, 16), share), atol=1e-3, rtol=0)
        assert (weight > 0.5).all()
    _, weight = edit_gain(photo, photo + 1e-4, photo)
    assert (weight < 0.01).all()


def test_a_small_edit_that_is_lost_counts_beside_a_large_one_that_is_kept():
    photo = torch.zeros(1, 3, 64, 64)
    truth = photo.clone()
    truth[..., :48] = 0.8
    truth[..., 48:, 48:] = 0.2
    img = truth.clone()
    img[..., 48:] = 0
    gain, weight = edit_gain(img, truth, photo)
    assert int((gain > 0.99).sum()) == 12
    assert float((weight * (1 - gain).square()).sum()) == pytest.approx(0.93, abs=0.02)


def test_f_is_held_back_of_half_of_the_faces_and_nothing_else(pool):
    plain, held = (pool.draw(0, 40, torch.Generator().manual_seed(3), share) for share in (0.0, 0.6))
    for same in (0, 1, 2, 3, 5):
        assert torch.equal(plain[:, same], held[:, same])
    moved = (held[:, 4] - plain[:, 4]).flatten(1).abs().amax(1) > 0
    assert 5 < int(moved.sum()) < 25  # half of those of F, which are 0.7
    left = (held[:, 4] - held[:, 2])[moved] / (plain[:, 4] - plain[:, 2])[moved]
    assert 0.4 - 1e-3 < float(left.nanmedian()) < 1


def test_detail_has_to_come_from_the_photo():
    fine = torch.randn(1, 3, 32, 32)
    kept = torch.ones(1, 1, 32, 32)
    from_photo = carried_l1(torch.zeros_like(fine), fine, kept, fine)
    from_model = carried_l1(fine, fine, torch.zeros_like(kept), fine)
    assert from_photo == 0
    assert from_model > 0.3


def test_optical_flow_finds_a_shift():
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 16, 16, generator=rng) * 2 - 1
    img = torch.nn.functional.interpolate(coarse, size=(128, 128), mode="bicubic").clamp(-1, 1)
    flow = optical_flow(img, img.roll(4, 3))  # moved to the right: a place comes from its left
    inner = flow[0, :, 32:-32, 32:-32]
    assert float(inner[0].median()) == pytest.approx(-4, abs=0.5)
    assert float(inner[1].median()) == pytest.approx(0, abs=0.5)


def test_total_variation_of_a_ramp():
    flow = torch.arange(8.0).expand(1, 2, 8, 8)
    assert total_variation(flow) == 1


def settings(tmp_path, **changes):
    phase = TransferPhaseConfig(name="transfer", max_steps=6, batch=2, lr=1e-3, warmup_steps=1)
    return TransferTrainingConfig(
        bundle=tmp_path,
        run=RunConfig(folder=tmp_path / "run", validate_every=6, checkpoint_every=3, log_every=2),
        phases=(phase,),
        transfer=TransferConfig(channels=(8, 8)),
        examples=6,
        cache=tmp_path / "examples",
        validation_examples=2,
        hardware=HardwareConfig(device="cpu", precision="float32"),
        **changes,
    )


def stage_of(config, pool):
    torch.manual_seed(0)
    network = TransferNetwork(config.transfer)
    full = SimpleNamespace(make=None)  # is not asked for what the pool has
    return TransferStage(config, network, load_perceptual(), full, pool, torch.device("cpu"))


def test_training_lowers_the_loss_and_writes_what_the_product_reads(tmp_path, pool):
    config = settings(tmp_path)
    stage = stage_of(config, pool)
    before = stage.step(0, 0.0)
    assert set(before) == {
        *("l1", "carried", "perceptual", "gain", "smoothness", "flow", "total", "gradient_norm")
    }
    start = stage.validate()["f_psnr"]
    training_loop(stage, config.run, {}, resume=False, report=lambda line: None)
    assert stage.validate()["f_psnr"] > start
    assert stage.grid().shape == (4 * SIDE, 6 * SIDE, 3)
    assert load_transfer(tmp_path / "run" / TRANSFER_FILE).config == config.transfer


def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(tmp_path, pool):
    config = settings(tmp_path)
    whole, first = stage_of(config, pool), stage_of(config, pool)
    for step in range(3):
        whole.step(step, 0.9)
    first.step(0, 0.9)
    second = stage_of(config, pool)
    second.load_state_dict(first.state_dict())
    for step in (1, 2):
        second.step(step, 0.9)
    for one, two in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_a_given_flow_trains_masks_alone(tmp_path, pool):
    config = settings(tmp_path)
    config = type(config)(**{**vars(config), "transfer": TransferConfig(channels=(8, 8), learned_flow=False)})
    stage = stage_of(config, pool)
    assert "flow" not in stage.step(0, 0.0)


@pytest.mark.parametrize("kept", [0, 6, 9])
def test_validation_needs_some_examples_and_leaves_some(tmp_path, kept):
    with pytest.raises(ConfigError, match="validation_examples"):
        settings(tmp_path / "x").__class__(**{**vars(settings(tmp_path / "x")), "validation_examples": kept})
