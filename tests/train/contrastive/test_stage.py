import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from inversion.networks.checkpoint import load_contrastive_pair
from inversion.networks.contrastive import ContrastivePair
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.settings import read_settings, settings_from_dict, settings_to_dict
from tests.helpers.training import assert_equal, interrupting, run_stage, tiny_generator, write_bundle
from train.__main__ import main
from train.assemble import build_contrastive, frame_network
from train.contrastive.config import ContrastiveConfig
from train.core.checkpoint import training_facts
from train.core.config import ScheduleConfig
from train.encoder.config import InversionConfig

CONFIGS = Path(__file__).resolve().parents[3] / "train" / "configs"
RECIPE = CONFIGS / "contrastive.yaml"
SIZES = {
    "in_resolution": 32,
    "w_dim": 16,
    "channels": [8, 8, 16, 16, 32],
    "depths": [1, 1, 1, 1],
    "latent_hidden": 32,
    "latent_blocks": 1,
    "embedding_dim": 16,
}
PHASE = {"name": "alignment", "max_steps": 6, "pair_batch": 12, "lr": 3e-3, "warmup_steps": 0}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder, generator=tiny_generator())
    return folder


@pytest.fixture
def settings(bundle, tmp_path):
    """Two phases, and a pool that is refreshed."""
    return {
        "bundle": str(bundle),
        "run": {"folder": str(tmp_path / "run"), "log_every": 2, "validate_every": 5},
        "contrastive": SIZES,
        "pairs": {"pool": 32, "block": 8, "refresh": 0.5, "cache": str(tmp_path / "pool")},
        "validation_pairs": 20,
        "phases": [PHASE, {**PHASE, "name": "more", "max_steps": 4}],
        "hardware": {"device": "cpu"},
    }


def configured(settings, **changes):
    return settings_from_dict({**settings, **changes}, ContrastiveConfig)


run = partial(run_stage, build_contrastive)


def trained(config, steps):
    stage = build_contrastive(config)
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    return stage, [stage.step(step, step / steps) for step in range(steps)]


def test_a_few_steps_lower_the_loss_and_find_unseen_pairs(settings):
    phase = {**PHASE, "max_steps": 80, "pair_batch": 48, "lr": 5e-3, "ema": 0.9}
    pairs = {"pool": 512, "block": 32, "refresh": 0.1}
    config = configured(settings, phases=[phase], pairs=pairs, validation_pairs=100)
    before = build_contrastive(config).validate()
    stage, terms = trained(config, 80)
    assert set(terms[0]) == {"info_nce", "logit_scale", "gradient_norm"}
    losses = [each["info_nce"].item() for each in terms]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])
    after = stage.validate()
    assert after["info_nce"] < 0.6 * before["info_nce"]
    for way in ("image_to_w", "w_to_image"):
        assert before[f"{way}_r1"] < 0.1
        assert after[f"{way}_r1"] > 0.2  # by chance one in a hundred
        assert after[f"{way}_r5"] > after[f"{way}_r1"]


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("at", [3, 6, 8])
def test_a_stopped_and_resumed_run_equals_an_unbroken_one_bit_for_bit(settings, tmp_path, at, cached):
    def in_folder(name):
        pool = {**settings["pairs"], "cache": str(tmp_path / f"{name}-pool")} if cached else {}
        return configured(settings, run={**settings["run"], "folder": str(tmp_path / name)}, pairs=pool)

    whole, result = run(in_folder("whole"))
    assert (result.stopped_by, result.position.total) == (None, 10)
    config = in_folder("broken")
    _, stopped = run(config, interrupting(build_contrastive(config), at, signal.SIGTERM))
    assert (stopped.stopped_by, stopped.position.total) == (signal.SIGTERM, at)
    resumed, finished = run(config, resume=True)
    assert (finished.stopped_by, finished.position.total) == (None, 10)
    assert_equal(resumed.state_dict(), whole.state_dict())
    files = [tmp_path / name / "contrastive.safetensors" for name in ("whole", "broken")]
    assert_equal(load_contrastive_pair(files[0]).state_dict(), load_contrastive_pair(files[1]).state_dict())


def test_the_run_folder_holds_the_contrastive_pair_and_what_it_was_trained_on(settings, tmp_path):
    config = configured(settings)
    stage, _ = run(config)
    file = tmp_path / "run" / "contrastive.safetensors"
    assert training_facts(file) == {
        "steps": 10,
        "generator_sha256": load_bundle(config.bundle).generator_sha256,
        "losses": ["info_nce"],
        "psi": [0.7, 1.0],
    }
    loaded = load_contrastive_pair(file)
    expected = stage.optimiser.average.latent_projection.out.weight.half().float()
    assert torch.equal(loaded.latent_projection.out.weight, expected)
    assert torch.equal(loaded.w_avg, tiny_generator().w_avg)
    with Image.open(tmp_path / "run" / "grids" / "0000005.png") as grid:
        assert grid.size == (8 * 32, 2 * 32)


def test_validation_and_grids_change_nothing(settings):
    stage, _ = trained(configured(settings), 2)
    before = {key: value.clone() for key, value in stage.state_dict()["optimiser"]["module"].items()}
    assert stage.validate() == stage.validate()
    stage.grid()
    assert_equal(stage.state_dict()["optimiser"]["module"], before)


def test_validation_pairs_are_none_of_the_training(settings):
    stage, _ = trained(configured(settings), 3)
    w, pixels = stage.unseen
    assert (w.shape, pixels.shape) == ((20, 16), (20, 32, 32, 3))
    seen = {tuple(row) for row in stage._pairs._w.tolist()}
    assert not {tuple(row) for row in w.tolist()} & seen


def test_a_grid_shows_pictures_above_what_they_find(settings):
    stage = build_contrastive(configured(settings))
    pixels = stage.unseen[1]
    stage._image_embedding = lambda queries: torch.eye(20)[: len(queries)]
    stage._latent_embedding = lambda latents: torch.eye(20).roll(1, 0)  # picture i finds latent i + 1
    grid = stage.grid()
    assert grid.shape == (64, 8 * 32, 3)
    assert torch.equal(grid[:32, 32:64], pixels[1])
    assert torch.equal(grid[32:, 32:64], pixels[2])


def test_a_temperature_pushed_beyond_its_bound_comes_back(settings):
    optim = {"weight_decay": 0.0}  # which would bring it back too, very slowly
    stage = build_contrastive(configured(settings, optim=optim))
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    for network in (stage.contrastive, stage.average):
        network.log_logit_scale.data.fill_(10.0)
    scales = [stage.step(step, 0.0)["logit_scale"].item() for step in range(12)]
    assert scales[0] == 100
    assert scales[-1] < 99
    assert stage.average.log_logit_scale < np.log(100)


def test_the_weight_of_the_ways_changes_the_loss(settings):
    losses = [
        trained(configured(settings, weight_image=weight), 1)[1][0]["info_nce"].item()
        for weight in (0.0, 0.5, 1.0)
    ]
    assert losses[0] != losses[2]
    assert losses[1] == pytest.approx((losses[0] + losses[2]) / 2)


def test_a_smaller_contrastive_pair_sees_shrunk_pictures(settings):
    stage = build_contrastive(configured(settings))
    assert stage._seen(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 32, 32)


def test_the_contrastive_pair_starts_in_the_generators_frame(settings):
    config, generator = configured(settings), tiny_generator()
    contrastive = ContrastivePair(config.contrastive)
    frame_network(contrastive, generator, (1.0, 1.0), 0)
    w = generator.mapping(torch.randn(4000, 16))
    assert torch.equal(contrastive.w_avg, generator.w_avg)
    spread = (w - generator.w_avg).square().mean().sqrt().item()
    assert contrastive.w_std.item() == pytest.approx(spread, rel=0.03)
    mean = generator.synthesis(generator.broadcast(generator.w_avg[None]))
    torch.testing.assert_close(contrastive.img_avg, mean[0], atol=1e-5, rtol=0)


def test_a_contrastive_pair_of_another_width_is_refused(settings):
    with pytest.raises(ConfigError, match=r"contrastive\.w_dim: 8; the generator has 16"):
        build_contrastive(configured(settings, contrastive={**SIZES, "w_dim": 8}))


def test_states_of_another_contrastive_pair_are_refused(settings):
    run(configured(settings))
    with pytest.raises(CheckpointError, match="does not fit these settings"):
        run(configured(settings, contrastive={**SIZES, "latent_hidden": 64}), resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phases": []}, r"phases: empty"),
        ({"phases": [PHASE, PHASE]}, r"phases: names \['alignment', 'alignment'\]"),
        (
            {"phases": [{**PHASE, "pair_batch": 1}]},
            r"pair_batch: 1 in phase 'alignment'; a pair needs others to differ from, so at least 2",
        ),
        ({"phases": [{**PHASE, "lr": 0.0}]}, r"phases\.0\.lr: 0\.0; must be positive"),
        ({"phases": [{**PHASE, "real_batch": 2}]}, r"phases\.0\.real_batch: unknown key"),
        ({"phases": [{**PHASE, "accumulate": 2}]}, r"phases\.0\.accumulate: unknown key"),
        ({"validation_pairs": 0}, r"validation_pairs: 0; must be at least 1"),
        ({"weight_image": 1.5}, r"weight_image: 1\.5; must be in \[0, 1\]"),
        ({"contrastive": {**SIZES, "in_resolution": 40}}, r"contrastive\.in_resolution: 40"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, changes, message):
    with pytest.raises(ConfigError, match=message):
        configured(settings, **changes)


def test_the_recipe_reads_and_shares_its_pool_with_the_inversion():
    config = read_settings(RECIPE, ContrastiveConfig)
    assert settings_from_dict(settings_to_dict(config), ContrastiveConfig) == config
    assert [type(phase) for phase in config.phases] == [ScheduleConfig]
    inversion = read_settings(CONFIGS / "inversion.yaml", InversionConfig)
    assert (config.pairs, config.seed) == (inversion.pairs, inversion.seed)
    assert sum(p.numel() for p in ContrastivePair(config.contrastive).parameters()) <= 4_300_000
    assert "heldout" not in RECIPE.read_text(encoding="utf-8")


def test_the_command_line_trains_and_reports_errors_in_words(settings, tmp_path, capsys):
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(settings))
    assert main(["contrastive", "--config", str(file), "--set", "phases.1.max_steps=1"]) == 0
    assert "finished: 7 steps" in capsys.readouterr().out
    assert main(["contrastive", "--config", str(file)]) == 2
    assert "holds a run; use --resume" in capsys.readouterr().err
    assert main(["contrastive", "--config", str(file), "--resume"]) == 0
    assert main(["contrastive", "--config", str(file), "--set", "phases.0.loss=1"]) == 2
    assert "phases.0.loss: unknown key" in capsys.readouterr().err
