from pathlib import Path

import pytest

from stylegan2.errors import ConfigError
from stylegan2.settings import read_settings, settings_from_dict, settings_to_dict
from train.core.config import DataConfig, OptimConfig, PairsConfig, RunConfig
from train.encoder.config import InversionConfig, PhaseConfig

RECIPE = Path(__file__).resolve().parents[3] / "train" / "configs" / "inversion.yaml"
PHASE = {"name": "a", "max_steps": 1, "pair_batch": 2, "loss": {"latent": 1.0}}
REAL = {"name": "a", "max_steps": 1, "real_batch": 2, "loss": {"l2": 1.0}}


def settings(**changes):
    return settings_from_dict(
        {"bundle": "b", "run": {"folder": "r"}, "phases": [PHASE], **changes}, InversionConfig
    )


def test_the_recipe_reads_and_survives_being_written():
    config = read_settings(RECIPE, InversionConfig)
    assert [phase.name for phase in config.phases] == ["latents", "pixels"]
    assert settings_from_dict(settings_to_dict(config), InversionConfig) == config


def test_every_training_of_an_encoder_on_faces_aligns_w_with_them():
    """CLCAE's central loss, at the weight of its code; the first recipe of this project forgot it."""
    weights = [
        phase.loss.align
        for file in RECIPE.parent.glob("inversion*.yaml")
        for phase in read_settings(file, InversionConfig).phases
        if phase.loss.pixels
    ]
    assert weights == [0.1, 0.1, 0.1]


def test_the_recipe_never_reads_the_held_out_faces():
    assert "heldout" not in RECIPE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phases": []}, r"phases: empty"),
        ({"phases": [PHASE, PHASE]}, r"phases: names \['a', 'a'\]"),
        ({"phases": [REAL]}, r"data\.images: null, but phase 'a' needs real faces"),
        (
            {"phases": [{**REAL, "loss": {"identity": 1.0}}], "data": {"images": "x"}},
            r"identity_weights: null, but phase 'a' weighs identity",
        ),
        ({"phases": [{**PHASE, "loss": {}}]}, r"phases\.0\.loss: every weight is 0"),
        (
            {"phases": [{**PHASE, "real_batch": 2}]},
            r"phases\.0\.real_batch: 2, but the loss has no such term",
        ),
        ({"phases": [{**REAL, "pair_batch": 2}]}, r"phases\.0\.pair_batch: 2, but loss\.latent is 0"),
        ({"phases": [{**REAL, "real_batch": 0, "pair_batch": 2}]}, r"phases\.0\.real_batch: 0, but"),
        ({"phases": [{**REAL, "loss": {"latent": 1.0}}]}, r"phases\.0\.pair_batch: 0, but"),
        ({"phases": [{**PHASE, "pair_batch": 1}]}, r"batch norm needs at least 2"),
        (
            {"phases": [{**PHASE, "loss": {"latent": -1.0}}]},
            r"phases\.0\.loss\.latent: -1\.0; must be at least 0",
        ),
        ({"pool_factor": 0}, r"pool_factor: 0; must be at least 1"),
        ({"identity_share": 0.0}, r"identity_share: 0.0; must be above 0 and at most 1"),
        ({"run": {"folder": "r", "log_every": 0}}, r"run\.log_every: 0; must be at least 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        settings(**changes)


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (DataConfig, {"validation_fraction": 1.0}, "validation_fraction: 1.0"),
        (DataConfig, {"validation_images": 0}, "validation_images: 0"),
        (DataConfig, {"shuffle_buffer": 0}, "shuffle_buffer: 0"),
        (DataConfig, {"workers": -1}, "workers: -1"),
        (PairsConfig, {"psi": (1.0, 0.7)}, "psi: "),
        (PairsConfig, {"pool": 17}, r"pool: 17; must be a multiple of block \(16\)"),
        (PairsConfig, {"block": 0}, "block: 0"),
        (PairsConfig, {"refresh": 1.5}, "refresh: 1.5"),
        (OptimConfig, {"betas": (0.9, 1.0)}, "betas: "),
        (OptimConfig, {"weight_decay": -0.1}, "weight_decay: -0.1"),
        (OptimConfig, {"clip": 0.0}, "clip: 0.0"),
        (RunConfig, {"folder": Path("r"), "checkpoint_every": 0}, "checkpoint_every: 0"),
        (PhaseConfig, {"name": "a", "max_steps": 0}, "max_steps: 0"),
        (PhaseConfig, {"name": "a", "max_steps": 1, "max_minutes": 0.0}, "max_minutes: 0.0"),
        (PhaseConfig, {"name": "a", "max_steps": 1, "lr": 0.0}, "lr: 0.0"),
        (PhaseConfig, {"name": "a", "max_steps": 1, "final_lr": 2.0}, "final_lr: 2.0"),
        (PhaseConfig, {"name": "a", "max_steps": 1, "ema": 1.0}, "ema: 1.0"),
        (PhaseConfig, {"name": "a", "max_steps": 1, "accumulate": 0}, "accumulate: 0"),
        (PhaseConfig, {"name": "a", "max_steps": 1, "real_batch": -1}, "real_batch: -1"),
    ],
)
def test_values_out_of_range_are_refused(cls, values, message):
    with pytest.raises(ConfigError, match=message):
        cls(**values)
