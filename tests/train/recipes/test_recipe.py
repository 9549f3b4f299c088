"""The recipe at toy size, from one end to the other, as a person runs it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from inversion.networks.checkpoint import load_contrastive_pair, load_encoder, load_refiners
from stylegan2.image import to_uint8
from stylegan2.settings import read_settings
from tests.helpers.pictures import write_shard
from tests.helpers.training import TINY_REFINERS, tiny_generator, write_bundle
from train.__main__ import build_parser
from train.contrastive.config import ContrastiveConfig
from train.directions.config import DirectionsConfig
from train.encoder.config import InversionConfig
from train.evaluate.command import read_config
from train.refiners.config import RefinementConfig

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "train" / "recipes" / "faces128.sh"
CLASSES = {
    "contrastive": ContrastiveConfig,
    "inversion": InversionConfig,
    "refiners": RefinementConfig,
    "second_look": RefinementConfig,
    "directions": DirectionsConfig,
}
NETWORK = {"in_resolution": 32, "w_dim": 16, "channels": [8, 8, 8, 16, 16], "depths": [1, 1, 1, 1]}
COMMON = {"bundle": "set by the recipe", "run": {"folder": "set by the recipe"}}
SETTINGS = {
    "contrastive": {
        "contrastive": {**NETWORK, "latent_hidden": 16, "latent_blocks": 1, "embedding_dim": 8},
        "validation_pairs": 4,
        "phases": [{"name": "alignment", "max_steps": 1000, "pair_batch": 4}],
    },
    "inversion": {
        "encoder": {**NETWORK, "hidden": 32},
        "data": {"validation_fraction": 0.2},
        "phases": [
            {"name": "latents", "max_steps": 1000, "pair_batch": 4, "loss": {"latent": 1.0}},
            {"name": "pixels", "max_steps": 10000, "real_batch": 4, "loss": {"l2": 1.0}},
        ],
    },
    "refiners": {
        "data": {"validation_fraction": 0.2},
        "refiners": TINY_REFINERS,
        "phases": [
            {
                "name": "refine",
                "max_steps": 1000,
                "real_batch": 2,
                "pair_batch": 2,
                "loss": {"ws": {"l2": 1.0}, "f": {"l2": 1.0}, "edit": {"l2": 1.0}},
            }
        ],
    },
    "second_look": {
        "data": {"validation_fraction": 0.2},
        "refiners": {**TINY_REFINERS, "second_look": True},
        "phases": [
            {
                "name": "look",
                "max_steps": 1000,
                "real_batch": 2,
                "loss": {"ws": {"l2": 1.0}, "f": {}, "edit": {}},
            },
            {
                "name": "feature",
                "max_steps": 1000,
                "real_batch": 2,
                "loss": {"ws": {}, "f": {"l2": 1.0}, "edit": {}},
            },
            {
                "name": "finish",
                "max_steps": 1000,
                "real_batch": 2,
                "loss": {"ws": {}, "f": {"l2": 2.0}, "edit": {}},
            },
        ],
    },
}


@pytest.fixture
def environment(tmp_path):
    """A toy model, settings, and faces that the model drew; an hour of the schedule is five seconds."""
    bundle, configs = tmp_path / "bundle", tmp_path / "configs"
    bundle.mkdir()
    configs.mkdir()
    generator = tiny_generator()
    write_bundle(bundle, generator=generator)
    pixels = to_uint8(generator(torch.randn(38, 16))).numpy()
    write_shard(tmp_path / "train.tar", pixels[:36])
    write_shard(tmp_path / "heldout.tar", pixels[36:])
    for stage, settings in SETTINGS.items():
        (configs / f"{stage}.yaml").write_text(yaml.safe_dump({**COMMON, **settings}))
    values = {
        "PYTHON": sys.executable,
        "BUNDLE": bundle,
        "CONFIGS": configs,
        "DATA": tmp_path / "train.tar",
        "HELDOUT": tmp_path / "heldout.tar",
        "METRICS": tmp_path / "none",
        "SCALE": "0.0015",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "CXX": "no-compiler",  # compiling for toys takes longer than all the rest
    }
    return {**os.environ, **{name: str(value) for name, value in values.items()}}


@contextmanager
def started(runs, environment, log):
    """The recipe as a process, its words in `log`; it does not outlive the test."""
    command = ["bash", str(RECIPE), str(runs)]
    with log.open("w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def wait_for_a_file(folder, process):
    while not (folder.is_dir() and any(folder.iterdir())):
        assert process.poll() is None, "the recipe ended too early"
        time.sleep(0.05)


@pytest.mark.slow
def test_the_recipe_stops_on_request_goes_on_and_skips_what_is_finished(environment, tmp_path):
    runs = tmp_path / "runs"
    log = tmp_path / "first.log"
    with started(runs, environment, log) as process:
        wait_for_a_file(runs / "inversion" / "grids", process)  # the first of its two phases has ended
        process.send_signal(signal.SIGTERM)
        status = process.wait()
    first = log.read_text()
    assert status == 128 + signal.SIGTERM, first
    assert "The cpu schedule" in first
    assert "total" in first
    assert "stopped by SIGTERM" in first
    assert "the same command goes on from here" in first
    assert (runs / "contrastive" / "finished").is_file()
    assert not (runs / "inversion" / "finished").exists()
    assert not (runs / "refiners").exists()

    log = tmp_path / "second.log"
    with started(runs, environment, log) as process:
        status = process.wait()
    second = log.read_text()
    assert status == 0, second
    assert "contrastive: finished before, skipped" in second
    assert "inversion: starts" in second
    assert "directions: skipped, since" in second
    assert len((runs / "contrastive" / "sittings.jsonl").read_text().splitlines()) == 1
    sittings = [json.loads(line) for line in (runs / "inversion" / "sittings.jsonl").read_text().splitlines()]
    assert [sitting["from_step"] > 0 for sitting in sittings] == [False, True]
    load_contrastive_pair(runs / "contrastive" / "contrastive.safetensors")
    load_encoder(runs / "inversion" / "encoder.safetensors")
    assert load_refiners(runs / "refiners" / "refiners.safetensors").look is None
    assert load_refiners(runs / "second_look" / "refiners.safetensors").look is not None
    result = json.loads((runs / "evaluation.json").read_text())
    assert set(result["spaces"]) == {"w", "w+", "f"}
    assert result["protocol"]["encoder"] == str(runs / "inversion" / "encoder.safetensors")
    assert result["protocol"]["refiners"] == str(runs / "second_look" / "refiners.safetensors")
    assert result["retrieval"]["pairs"] > 0
    assert not {"directions", "edits_drawn_in"} & set(result["protocol"])  # none were found; not compiled
    assert "spaces:" in second


@pytest.mark.slow
def test_later_trainings_take_a_step_of_their_own_beside_the_first(environment, tmp_path):
    runs, log = tmp_path / "runs", tmp_path / "log"
    with started(runs, {**environment, "AHEAD": "yes"}, log) as process:
        wait_for_a_file(runs / "second_look", process)
        process.send_signal(signal.SIGTERM)
        status = process.wait()
    assert status == 128 + signal.SIGTERM, log.read_text()
    assert "compiling ahead has failed" not in log.read_text()
    told = (runs / "ahead.log").read_text()
    assert re.findall(r"finished: (\d+) steps", told) == ["1", "2", "1", "3"], told  # phases
    load_encoder(runs / "ahead" / "inversion" / "encoder.safetensors")
    load_refiners(runs / "ahead" / "second_look" / "refiners.safetensors")


def refused(environment, tmp_path, **changes):
    done = subprocess.run(
        ["bash", str(RECIPE), str(tmp_path / "runs")],
        env={**environment, **changes},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert not (tmp_path / "runs").exists()
    return done.stderr


def test_what_the_recipe_lacks_is_said_in_one_line(environment, tmp_path):
    assert refused(environment, tmp_path, PYTHON="no-such-python").startswith(
        "error: no-such-python: no such"
    )
    error = refused(environment, tmp_path, HELDOUT="no/faces.tar")
    assert error == "error: no/faces.tar: no such file or folder\n"


STAND_IN = """#!{python}
import json, pathlib, sys
arguments = sys.argv[1:]
if arguments[1] == "train.recipes":
    print("{device} {compile_}")
    sys.exit()
with open("{calls}", "a") as file:
    print(json.dumps(arguments[2:]), file=file)
for name, path in (argument.split("=", 1) for argument in arguments if "=" in argument):
    if name in ("run.folder", "out"):
        pathlib.Path(path).mkdir(parents=True)
if arguments[2] == "evaluate":
    pathlib.Path(arguments[-1]).touch()
"""


@pytest.fixture
def rehearsed(tmp_path):
    """Function device, compile, without -> what the recipe prints, and the settings of all its commands.

    `without` is a measuring network that is not there. Commands that only compile ahead are named "ahead",
    with the name of their stage.
    """

    def rehearse(device, compile_="true", without=None):
        folder = tmp_path / device
        folder.mkdir()
        calls, python = folder / "calls", folder / "python"
        python.write_text(
            STAND_IN.format(python=sys.executable, device=device, compile_=compile_, calls=calls)
        )
        python.chmod(0o755)
        for name in ("mobilefacenet_id", "age-v1", "gender-v1"):
            if name != without:
                (folder / f"{name}.onnx").touch()
        done = subprocess.run(
            ["bash", str(RECIPE), str(folder / "runs"), "--set", "seed=3"],
            env={"PATH": os.environ["PATH"], "PYTHON": str(python), "METRICS": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        commands = {}
        for line in calls.read_text().splitlines():
            command, *arguments = json.loads(line)
            options = build_parser().parse_args([command, *arguments])
            stage = options.config.stem if command in CLASSES else command
            cls = CLASSES.get(stage)
            config = (
                read_config(options)
                if cls is None
                else read_settings(ROOT / options.config, cls, options.set)
            )
            ahead = "/ahead/" in line
            commands[f"ahead {stage}" if ahead else stage] = config
        return done.stdout, commands

    return rehearse


@pytest.mark.parametrize(("device", "longest"), [("cuda", 25), ("cpu", 320)])
def test_every_setting_of_the_schedule_exists_and_the_plan_adds_up(rehearsed, tmp_path, device, longest):
    told, commands = rehearsed(device)
    assert [name for name in commands if "ahead" not in name] == [
        "contrastive",
        "inversion",
        "refiners",
        "second_look",
        "directions",
        "evaluate",
    ]
    minutes = {
        name: float(value) for name, value in re.findall(r"^  (\w.*?) +([\d.]+) min$", told, flags=re.M)
    }
    assert minutes.pop("total") == pytest.approx(sum(minutes.values()))
    assert sum(minutes.values()) <= longest
    for stage in ("contrastive", "inversion", "refiners", "second_look"):
        config = commands[stage]
        assert sum(phase.max_minutes for phase in config.phases) == pytest.approx(minutes[stage])
        assert config.seed == 3
        assert config.hardware.compile
        assert config.pairs == commands["inversion"].pairs  # one pool for all
    folder = tmp_path / device
    runs = folder / "runs"
    for user in ("inversion", "evaluate"):
        assert commands[user].contrastive == runs / "contrastive" / "contrastive.safetensors"
    for user in ("refiners", "second_look", "evaluate"):
        assert commands[user].encoder == runs / "inversion" / "encoder.safetensors"
    assert commands["second_look"].start_from == runs / "refiners" / "refiners.safetensors"
    assert commands["evaluate"].refiners == runs / "second_look" / "refiners.safetensors"
    assert commands["inversion"].identity_weights == folder / "mobilefacenet_id.onnx"
    directions = commands["directions"]
    assert (directions.pool, directions.out) == (commands["inversion"].pairs.cache, runs / "directions")
    assert (directions.count, directions.work) == (8000, runs / "search")
    assert directions.identity_weights == folder / "mobilefacenet_id.onnx"
    assert commands["evaluate"].directions == directions.out
    assert device == "cuda" or minutes["evaluation"] == 30  # the README's 25 are without the contrastive pair


def test_the_evaluation_has_new_directions_only_where_the_recipe_finds_some(rehearsed):
    _, commands = rehearsed("cpu", compile_="false", without="age-v1")
    assert "directions" not in commands
    assert commands["evaluate"].directions is None
    assert not commands["inversion"].hardware.compile


def test_new_directions_are_evaluated_anew(rehearsed, tmp_path):
    rehearsed("cpu")
    runs, calls = tmp_path / "cpu" / "runs", tmp_path / "cpu" / "calls"
    (runs / "directions" / "finished").unlink()
    (runs / "directions").rmdir()
    before = len(calls.read_text().splitlines())
    command = ["bash", str(RECIPE), str(runs)]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHON": str(runs.parent / "python"),
        "METRICS": str(runs.parent),
    }
    subprocess.run(command, env=environment, check=True, capture_output=True)
    again = [json.loads(line)[0] for line in calls.read_text().splitlines()[before:]]
    assert again == ["directions", "evaluate"]


def test_a_gpu_gets_larger_batches(rehearsed):
    (_, cuda), (_, cpu) = rehearsed("cuda"), rehearsed("cpu")
    for stage in ("contrastive", "inversion", "refiners", "second_look"):
        for large, small in zip(cuda[stage].phases, cpu[stage].phases, strict=True):
            assert large.images > small.images


def test_what_is_compiled_ahead_is_what_a_gpu_trains(rehearsed, tmp_path):
    (_, cuda), (_, cpu) = rehearsed("cuda"), rehearsed("cpu")
    assert not [name for name in cpu if "ahead" in name]
    assert (
        cuda["ahead inversion"].contrastive
        == tmp_path / "cuda/runs/ahead/contrastive/contrastive.safetensors"
    )
    assert cuda["ahead refiners"].encoder == tmp_path / "cuda/runs/ahead/inversion/encoder.safetensors"
    for stage in ("inversion", "refiners", "second_look"):
        short, long = cuda[f"ahead {stage}"], cuda[stage]
        assert [phase.max_steps for phase in short.phases] == [1] * len(long.phases)
        assert short.pairs.cache is None  # the pool of the trainings is the first one's to fill
        same = {"phases": long.phases, "pairs": long.pairs, "run": long.run}
        names = {
            "inversion": ["contrastive"],
            "refiners": ["encoder"],
            "second_look": ["encoder", "start_from", "contrastive"],
        }
        files = {name: getattr(long, name) for name in names[stage]}
        assert replace(short, **same, **files) == long
        steps = [replace(p, max_steps=q.max_steps) for p, q in zip(short.phases, long.phases, strict=True)]
        assert steps == list(long.phases)
