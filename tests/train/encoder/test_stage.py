import dataclasses
import json
import signal
from functools import partial

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from inversion.networks.checkpoint import load_encoder
from inversion.networks.config import EncoderConfig
from inversion.networks.w_encoder import WEncoder
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.settings import settings_from_dict
from tests.helpers.pictures import write_shard
from tests.helpers.training import (
    assert_equal,
    interrupting,
    run_stage,
    tiny_generator,
    write_bundle,
    write_contrastive_pair,
)
from train.__main__ import main
from train.assemble import build_inversion, deepen, frame_network
from train.core.checkpoint import load_checkpoint, save_checkpoint, training_facts
from train.core.config import OptimConfig
from train.core.hardware import choose_precision, has_native_bfloat16
from train.core.loop import Position, phase_fraction
from train.core.optim import Optimiser, learning_rate
from train.encoder.config import InversionConfig, LossWeights, PhaseConfig

ENCODER = {
    "in_resolution": 32,
    "w_dim": 16,
    "channels": [8, 8, 8, 16, 16],
    "depths": [1, 1, 1, 1],
    "hidden": 32,
}
PIXELS = {"l2": 2.0, "pooled_l2": 2.0, "latent": 0.1, "prior": 0.005}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder, generator=tiny_generator())
    return folder


@pytest.fixture(scope="module")
def shard(tmp_path_factory, bundle):
    """Pictures that the generator can make, so that there is something to learn."""
    path = tmp_path_factory.mktemp("data") / "faces.tar"
    generator = tiny_generator()
    pixels = ((generator(torch.randn(40, 16)).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    write_shard(path, pixels.numpy())
    return path


@pytest.fixture
def settings(bundle, shard, tmp_path):
    """Both kinds of phase, a pool that is refreshed, and a checkpoint in the middle of things."""
    latents = {"name": "latents", "max_steps": 6, "pair_batch": 8, "lr": 3e-3, "warmup_steps": 0}
    pixels = {"name": "pixels", "max_steps": 6, "real_batch": 6, "pair_batch": 4, "lr": 2e-3, "accumulate": 2}
    return {
        "bundle": str(bundle),
        "run": {
            "folder": str(tmp_path / "run"),
            "log_every": 2,
            "validate_every": 5,
            "checkpoint_every": 100,
        },
        "encoder": ENCODER,
        "data": {"images": str(shard), "validation_fraction": 0.2, "shuffle_buffer": 7},
        "pairs": {"pool": 32, "block": 8, "refresh": 0.5, "cache": str(tmp_path / "pool")},
        "phases": [{**latents, "loss": {"latent": 1.0}}, {**pixels, "loss": PIXELS}],
        "hardware": {"device": "cpu"},
    }


def configured(settings, **changes):
    return settings_from_dict({**settings, **changes}, InversionConfig)


run = partial(run_stage, build_inversion)


def test_the_real_faces_are_counted_at_the_start_if_there_are_any(settings, shard):
    lines = []
    build_inversion(configured(settings), report=lines.append)
    assert lines == [f"{shard}: 40 pictures in 1 file"]
    data, phases = {**settings["data"], "images": None}, settings["phases"][:1]
    build_inversion(configured(settings, data=data, phases=phases), report=lines.append)
    assert len(lines) == 1


def in_folder(settings, name, tmp_path):
    run_settings = {**settings["run"], "folder": str(tmp_path / name)}
    pairs = {**settings["pairs"], "cache": str(tmp_path / f"{name}-pool")}
    return configured(settings, run=run_settings, pairs=pairs)


def test_the_alignment_with_the_input_is_one_of_the_terms(settings, tmp_path):
    phase = {**settings["phases"][1], "loss": {**PIXELS, "align": 0.1}}
    contrastive = str(write_contrastive_pair(tmp_path))
    found = {}
    for against in ("input", "reconstruction"):
        config = configured(settings, phases=[phase], contrastive=contrastive, align_against=against)
        stage = build_inversion(config)
        stage.enter_phase(0)
        stage.prepare(lambda done, total: None)
        terms = stage.step(0, 0.0)
        found[against] = terms["align"].item()
        rest = sum(PIXELS[name] * terms[name] for name in PIXELS)
        torch.testing.assert_close(terms["total"], rest + 0.1 * terms["align"])
    assert found["input"] != found["reconstruction"]


def test_a_few_steps_on_pairs_lower_the_loss(settings):
    phase = {"name": "a", "max_steps": 40, "pair_batch": 16, "lr": 5e-3, "warmup_steps": 0}
    pairs = {"pool": 8, "block": 8, "refresh": 0.0}
    stage = build_inversion(configured(settings, phases=[{**phase, "loss": {"latent": 1.0}}], pairs=pairs))
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    losses = [stage.step(step, step / 40)["latent"].item() for step in range(40)]
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:3])


def test_a_few_steps_on_real_faces_lower_the_loss(settings):
    phase = {**settings["phases"][1], "max_steps": 40, "accumulate": 1, "lr": 5e-3, "real_batch": 16}
    stage = build_inversion(configured(settings, phases=[phase]))
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    terms = [stage.step(step, step / 40) for step in range(40)]
    assert set(terms[0]) == {"l2", "pooled_l2", "latent", "prior", "total", "gradient_norm"}
    totals = [t["total"].item() for t in terms]
    assert np.mean(totals[-5:]) < 0.9 * np.mean(totals[:3])
    assert all(np.isfinite(totals))


@pytest.mark.parametrize(
    ("at", "number"), [(3, signal.SIGTERM), (6, signal.SIGTERM), (9, signal.SIGTERM), (8, signal.SIGINT)]
)
def test_a_stopped_and_resumed_run_equals_an_unbroken_one_bit_for_bit(settings, tmp_path, at, number):
    whole, result = run(in_folder(settings, "whole", tmp_path))
    assert (result.stopped_by, result.position.total) == (None, 12)
    config = in_folder(settings, "broken", tmp_path)
    _, stopped = run(config, interrupting(build_inversion(config), at, number))
    assert (stopped.stopped_by, stopped.position.total) == (number, at)
    resumed, finished = run(config, resume=True)
    assert (finished.stopped_by, finished.position.total) == (None, 12)
    assert_equal(resumed.state_dict(), whole.state_dict())
    files = [tmp_path / name / "encoder.safetensors" for name in ("whole", "broken")]
    assert_equal(load_encoder(files[0]).state_dict(), load_encoder(files[1]).state_dict())


def test_handlers_are_put_back_after_a_run(settings):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run(configured(settings, phases=settings["phases"][:1]))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_the_run_folder_tells_what_was_run(settings, tmp_path):
    config = configured(settings)
    run(config)
    folder = tmp_path / "run"
    assert (
        settings_from_dict(yaml.safe_load((folder / "settings.yaml").read_text()), InversionConfig) == config
    )
    sitting = json.loads((folder / "sittings.jsonl").read_text())
    assert sitting["from_step"] == 0
    assert sitting["commit"]
    assert sorted(p.name for p in (folder / "grids").iterdir()) == [
        "0000005.png",
        "0000006.png",
        "0000010.png",
        "0000012.png",
    ]
    with Image.open(folder / "grids" / "0000005.png") as grid:
        assert grid.size[1] == 64
    assert list(folder.glob("events.out.tfevents.*"))
    facts = training_facts(folder / "encoder.safetensors")
    assert facts["losses"] == ["l2", "latent", "pooled_l2", "prior"]
    assert facts["steps"] == 12
    assert facts["generator_sha256"] == load_bundle(config.bundle).generator_sha256


def test_a_grid_shows_pictures_above_reconstructions(settings):
    stage = build_inversion(configured(settings))
    grid = stage.grid()
    side = stage.validation
    columns = min(8, len(side))
    assert grid.shape == (64, 32 * columns, 3)
    assert torch.equal(grid[:32, :32], side[0])
    assert torch.equal(grid[:32, 32:64], side[1])


def test_validation_and_grids_change_nothing(settings):
    stage = build_inversion(configured(settings))
    stage.enter_phase(0)
    before = {k: v.clone() for k, v in stage.state_dict()["optimiser"]["module"].items()}
    measures = stage.validate()
    stage.grid()
    assert set(measures) == {"psnr_median", "psnr_mean", "l2_median"}
    assert_equal(stage.state_dict()["optimiser"]["module"], before)


def test_a_weighted_term_changes_the_gradient(settings):
    phase = {"name": "a", "max_steps": 1, "real_batch": 4}
    norms = []
    for loss in ({"l2": 1.0}, {"l2": 1.0, "perceptual": 1.0}):
        stage = build_inversion(configured(settings, phases=[{**phase, "loss": loss}]))
        stage.enter_phase(0)
        terms = stage.step(0, 0.0)
        assert set(terms) == {*loss, "total", "gradient_norm"}
        norms.append(terms["gradient_norm"].item())
    assert norms[0] != norms[1]


def test_training_without_real_faces_validates_on_unseen_pairs(settings):
    config = configured(settings, data={"images": None}, phases=settings["phases"][:1])
    stage, _ = run(config)
    assert stage.validation.shape == (16, 32, 32, 3)


def test_a_smaller_encoder_sees_shrunk_faces(settings, bundle):
    stage = build_inversion(configured(settings))
    assert stage._shrunk(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 32, 32)


def test_a_run_goes_on_from_given_weights(settings, tmp_path):
    first, _ = run(configured(settings, phases=settings["phases"][:1]))
    start = tmp_path / "run" / "encoder.safetensors"
    stage = build_inversion(configured(settings, start_from=str(start)))
    expected = first.optimiser.average.out.weight.half().float()
    assert torch.equal(stage.networks.encoder.out.weight, expected)
    assert all(p.requires_grad for p in stage.networks.encoder.parameters())
    with pytest.raises(ConfigError, match=r"encoder: .* all but depths must be the same"):
        build_inversion(configured(settings, start_from=str(start), encoder={**ENCODER, "hidden": 64}))


@pytest.mark.parametrize(("share", "seen"), [(1.0, 8), (0.25, 2), (0.01, 1)])
def test_the_identity_network_looks_at_its_share_of_the_faces(settings, share, seen):
    counts = []

    def embed(img):
        counts.append(len(img))
        return torch.nn.functional.normalize(img.flatten(1), dim=1)

    stage = build_inversion(configured(settings, identity_share=share))
    stage.networks = dataclasses.replace(stage.networks, identity=embed)
    img = torch.randn(8, 3, 32, 32)
    terms = stage._picture_terms(img, img, LossWeights(identity=1.0))
    assert counts == [seen, seen]
    assert terms["identity"].item() == pytest.approx(0, abs=1e-5)


def test_added_blocks_start_as_the_identity(settings, tmp_path):
    run(configured(settings, phases=settings["phases"][:1]))
    start = tmp_path / "run" / "encoder.safetensors"
    deeper = {**ENCODER, "depths": [2, 1, 3, 1]}
    config = configured(settings, start_from=str(start), encoder=deeper)
    encoder = build_inversion(config).networks.encoder
    assert len(encoder.backbone.stages[2]) == 3
    img = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(encoder.eval()(img), load_encoder(start)(img))
    with pytest.raises(ConfigError, match="no depth may be smaller"):
        deepen(encoder, config.encoder.__class__(**{**vars(config.encoder), "depths": (1, 1, 3, 1)}), start)


def test_an_encoder_of_another_width_is_refused(settings):
    with pytest.raises(ConfigError, match=r"encoder\.w_dim: 8; the generator has 16"):
        build_inversion(configured(settings, encoder={**ENCODER, "w_dim": 8}))


def test_the_frame_is_the_mean_its_picture_and_the_spread():
    generator = tiny_generator()
    encoder = WEncoder(
        EncoderConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in ENCODER.items()})
    )
    frame_network(encoder, generator, (1.0, 1.0), 0)
    w = generator.mapping(torch.randn(4000, 16))
    assert torch.equal(encoder.w_avg, generator.w_avg)
    assert encoder.w_std.item() == pytest.approx(
        (w - generator.w_avg).square().mean().sqrt().item(), rel=0.03
    )
    mean = generator.synthesis(generator.broadcast(generator.w_avg[None]))
    assert torch.allclose(encoder.img_avg, mean[0], atol=1e-5)


def test_a_finished_folder_is_not_overwritten(settings):
    config = configured(settings, phases=settings["phases"][:1])
    run(config)
    with pytest.raises(ConfigError, match="holds a run; use --resume"):
        run(config)
    _, result = run(config, resume=True)
    assert result.position.total == 6


def test_resuming_nothing_starts(settings):
    _, result = run(configured(settings, phases=settings["phases"][:1]), resume=True)
    assert result.position.total == 6


def test_checkpoints_that_do_not_fit_are_refused(settings, tmp_path):
    config = configured(settings, phases=settings["phases"][:1])
    run(config)
    with pytest.raises(CheckpointError, match="does not fit these settings"):
        run(configured(settings, encoder={**ENCODER, "hidden": 64}), resume=True)
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="not a readable training state"):
        run(config, resume=True)


def test_training_states_are_versioned_and_whole(tmp_path):
    file = tmp_path / "checkpoint.pt"
    save_checkpoint(file, {"a": torch.ones(2)})
    assert torch.equal(load_checkpoint(file)["a"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
    torch.save({"version": 99}, file)
    with pytest.raises(CheckpointError, match="version 99; this program reads 2"):
        load_checkpoint(file)
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(tmp_path / "none.pt")


def test_the_learning_rate_rises_then_falls_to_its_floor():
    values = {"name": "a", "max_steps": 100, "pair_batch": 2, "lr": 2.0, "final_lr": 0.1, "warmup_steps": 9}
    phase = PhaseConfig(**values, loss=LossWeights(latent=1.0))
    assert learning_rate(phase, 0, 0.0) == pytest.approx(0.2)
    assert learning_rate(phase, 9, 0.0) == pytest.approx(2.0)
    assert learning_rate(phase, 50, 0.5) == pytest.approx(1.1)
    assert learning_rate(phase, 100, 1.0) == pytest.approx(0.2)


def test_a_phase_ends_at_whichever_limit_comes_first(settings):
    phase = dataclasses.replace(configured(settings).phases[0], max_steps=100, max_minutes=2.0)
    assert phase_fraction(phase, Position(step=30, seconds=12.0)) == pytest.approx(0.3)
    assert phase_fraction(phase, Position(step=30, seconds=90.0)) == pytest.approx(0.75)
    assert phase_fraction(dataclasses.replace(phase, max_minutes=None), Position(step=30, seconds=9e9)) == 0.3


def test_a_time_limit_ends_the_run(settings):
    phase = {**settings["phases"][0], "max_steps": 100_000, "max_minutes": 0.005}
    _, result = run(configured(settings, phases=[phase]))
    assert 0 < result.position.total < 1000


def test_the_average_follows_the_weights():
    module = torch.nn.Linear(1, 1, bias=False)
    optimiser = Optimiser(module, OptimConfig(weight_decay=0.0))
    start = module.weight.item()
    module.weight.grad = torch.ones(1, 1)
    norm = optimiser.update(0.1, 0.5)
    decay = 1 / 11
    assert norm.item() == 1
    assert optimiser.average.weight.item() == pytest.approx(
        decay * start + (1 - decay) * module.weight.item()
    )


def test_bfloat16_is_used_only_where_it_is_native(monkeypatch):
    cpu = torch.device("cpu")
    for native in (False, True):
        monkeypatch.setattr("train.core.hardware.has_native_bfloat16", lambda device, native=native: native)
        assert choose_precision(cpu, "auto") == (torch.bfloat16 if native else torch.float32)
        assert choose_precision(cpu, "float32") == torch.float32
    monkeypatch.setattr("train.core.hardware.has_native_bfloat16", lambda device: False)
    with pytest.raises(ConfigError, match="bfloat16 is not native on cpu"):
        choose_precision(cpu, "bfloat16")
    assert isinstance(has_native_bfloat16(cpu), bool)


def test_the_command_line_trains_and_reports_errors_in_words(settings, tmp_path, capsys):
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(settings))
    assert (
        main(
            [
                "inversion",
                "--config",
                str(file),
                "--set",
                "phases.0.max_steps=2",
                "--set",
                "phases.1.max_steps=1",
            ]
        )
        == 0
    )
    assert "finished: 3 steps" in capsys.readouterr().out
    assert main(["inversion", "--config", str(file)]) == 2
    assert "holds a run; use --resume" in capsys.readouterr().err
    assert main(["inversion", "--config", str(tmp_path / "none.yaml")]) == 2
