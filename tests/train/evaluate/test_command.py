"""Settings and flags of `evaluate`, its progress, and what is left of it when it is stopped."""

import json
import os
import re
import shlex
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import save_file

from inversion.networks.checkpoint import save_encoder
from inversion.networks.config import EncoderConfig
from inversion.networks.w_encoder import WEncoder
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.bundle.opening import DEFAULT_BUNDLE
from stylegan2.errors import ConfigError
from stylegan2.image import to_uint8
from stylegan2.settings import read_settings, settings_from_dict, settings_to_dict
from tests.helpers.pictures import write_shard
from tests.helpers.training import tiny_generator, write_bundle, write_contrastive_pair
from train.__main__ import build_parser, main
from train.core.stop import StopSignal, stopping_at_once
from train.evaluate import contrastive_report
from train.evaluate import evaluate as evaluation
from train.evaluate.command import read_config
from train.evaluate.config import DEFAULT_METRICS, EvaluateConfig
from train.evaluate.progress import show_bar

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "train" / "configs" / "evaluate.yaml"
PARTS = ["spaces", "edits", "retention", "retrieval"]


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A bundle with untrained networks, three of its faces, and little to measure of its contrastive pair."""
    generator = tiny_generator()
    config = EncoderConfig(in_resolution=32, w_dim=16, channels=(8,) * 5, depths=(1,) * 4, hidden=8)
    folder = tmp_path / "model"
    folder.mkdir()
    save_encoder(WEncoder(config).eval(), folder / "encoder.safetensors")
    write_contrastive_pair(folder)
    write_bundle(
        folder, generator=generator, encoder="encoder.safetensors", contrastive="contrastive.safetensors"
    )
    write_shard(folder / "faces.tar", to_uint8(generator(torch.randn(3, 16))).numpy())
    for name, value in {"PAIRS": 8, "CANDIDATES": 4, "STEPS": 1, "FACES": 1}.items():
        monkeypatch.setattr(contrastive_report, name, value)
    return folder


@pytest.fixture
def settings(model):
    return {
        "data": str(model / "faces.tar"),
        "bundle": str(model),
        "metrics_dir": str(model),
        "edit_faces": 2,
        "retention_faces": 2,
        "photo_faces": 0,
        "device": "cpu",
        "engine": "torch",
    }


def written(settings, tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(settings))
    return str(file)


def config_of(*arguments):
    return read_config(build_parser().parse_args(["evaluate", *map(str, arguments)]))


def test_the_shipped_settings_are_the_defaults_and_print_the_tables():
    config = read_settings(RECIPE, EvaluateConfig)
    assert settings_from_dict(settings_to_dict(config), EvaluateConfig) == config
    paths = {"bundle": DEFAULT_BUNDLE, "metrics_dir": DEFAULT_METRICS}
    standard = EvaluateConfig(data="../shared/data/faces256/heldout.tar")
    assert replace(config, **paths) == standard
    meant = {name: path.resolve() for name, path in paths.items()}
    assert {name: (ROOT / getattr(config, name)).resolve() for name in paths} == meant
    shown = (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^python -m train evaluate (.* --grid .*)$", shown, flags=re.M)
    assert replace(config_of(*shlex.split(command)), grid=None, **paths) == standard


def test_without_a_file_flags_are_as_they_were():
    assert config_of("--data", "faces") == EvaluateConfig(data="faces")
    found = config_of(
        *("--data", "faces", "--bundle", "b", "--encoder", "e", "--contrastive", "a", "--refiners", "r"),
        *("--directions", "d", "--edit-faces", 0, "--retention-faces", 3, "--limit", 4, "--metrics-dir", "m"),
        *("--device", "cpu", "--grid", "g.PNG", "--no-retrieval", "--no-colours", "--engine", "torch"),
    )
    assert found == EvaluateConfig(
        data="faces",
        bundle=Path("b"),
        encoder=Path("e"),
        contrastive=Path("a"),
        refiners=Path("r"),
        directions=Path("d"),
        edit_faces=0,
        retention_faces=3,
        limit=4,
        metrics_dir=Path("m"),
        device="cpu",
        grid=Path("g.PNG"),
        retrieval=False,
        colours=False,
        engine="torch",
    )


def test_flags_override_set_and_set_overrides_the_file(tmp_path):
    file = written({"data": "faces", "limit": 5, "retrieval": False, "edit_faces": 1}, tmp_path)
    base = EvaluateConfig(data="faces", limit=5, retrieval=False, edit_faces=1)
    assert config_of("--config", file) == base
    changes = ("--set", "limit=6", "--set", "edit_faces=2", "--set", "retrieval=true")
    assert config_of("--config", file, *changes) == replace(base, limit=6, edit_faces=2, retrieval=True)
    found = config_of("--config", file, *changes, "--limit", 7, "--no-colours")
    assert found == replace(base, limit=7, edit_faces=2, retrieval=True, colours=False)


@pytest.mark.parametrize("name", ["a: b #c.tar", "x-{0..3}.tar", '"quoted"', "é ☺ 🙂.tar", "null", "7"])
def test_a_flag_takes_any_file_name_and_gives_what_the_file_lacks(tmp_path, name):
    assert config_of("--config", written({"limit": 2}, tmp_path), "--data", name).data == name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": 0}, "limit: 0; must be at least 1, or null"),
        ({"edit_faces": -1}, "edit_faces: -1; must be at least 0"),
        ({"retention_faces": -2}, "retention_faces: -2; must be at least 0"),
        ({"data": " "}, "data: ' '; must name shards or a folder"),
        ({"grid": "a.gif"}, r"grid: a\.gif; must end in one of \.jpg, \.jpeg, \.png"),
        ({"colours": 1}, "colours: 1; expected true or false"),
        ({"faces": 3}, "faces: unknown key; known:"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        settings_from_dict({"data": "faces", **changes}, EvaluateConfig)


def refused(capsys, *arguments):
    assert main(["evaluate", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_what_is_wrong_with_the_command_is_said_in_words(settings, tmp_path, capsys):
    assert "--data: missing; name the faces" in refused(capsys)
    assert "--set: limit=2, but there is no --config" in refused(capsys, "--data", "x", "--set", "limit=2")
    file = written({"limit": -3}, tmp_path)
    assert f"error: {file}: data: missing" in refused(capsys, "--config", file)
    assert f"error: {file}: limit: -3; must be at least 1" in refused(capsys, "--config", file, "--data", "x")
    file = written(settings, tmp_path)
    assert "--out: /dev/null; must be a file" in refused(capsys, "--config", file, "--out", "/dev/null")
    nowhere = tmp_path / "none" / "grid.png"
    assert f"grid: {nowhere}; its folder is not there" in refused(capsys, "--config", file, "--grid", nowhere)


def test_settings_are_measured_and_progress_is_on_stderr_alone(settings, tmp_path, capsys):
    file = written(settings, tmp_path)
    assert (
        main(["evaluate", "--config", file, "--json", "--limit", "2", "--grid", str(tmp_path / "g.png")]) == 0
    )
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    result = json.loads(line)
    assert list(result) == ["protocol", *PARTS]
    assert (result["protocol"]["faces"], result["edits"]["protocol"]["faces"]) == (2, 2)
    assert "missing_parts" not in result["protocol"]
    assert f"{settings['data']}: 3 pictures in 1 file; at most 2 are read\n" in captured.err
    for i, part in enumerate(["spaces", "grid", *PARTS[1:]]):
        assert re.search(rf"{part} \({i + 1} of 5\) 100%.* done, .* left", captured.err), captured.err


def test_one_space_is_measured_alone(settings, tmp_path, capsys):
    file = written(settings, tmp_path)
    arguments = ["--no-retrieval", "--retention-faces", "0", "--json"]
    assert main(["evaluate", "--config", file, "--spaces", "w", *arguments]) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["spaces"]) == ["w"]
    assert list(result["edits"]) == ["protocol", "none", "w"]
    assert "spaces: f; without refiners there is w alone" in refused(
        capsys, "--config", file, "--spaces", "f"
    )
    assert "spaces: none; must be some of w, w+, f" in refused(capsys, "--config", file, "--set", "spaces=[]")


def test_a_bar_counts_up_to_its_total_and_stays_where_an_error_came(capsys):
    with show_bar("part", 4) as count:
        count(3)
    assert "part 100%" in capsys.readouterr().err
    with suppress(KeyError), show_bar("part", 4) as count:
        count(3)
        raise KeyError
    assert "part  75%" in capsys.readouterr().err


def test_every_finished_part_is_kept_with_what_is_missing(settings):
    kept = []
    config = settings_from_dict(settings, EvaluateConfig)
    found = evaluation.evaluate(config, keep=lambda result: kept.append(json.loads(json.dumps(result))))
    assert [list(each) for each in kept] == [["protocol", *PARTS[: i + 1]] for i in range(4)]
    assert [each["protocol"].get("missing_parts") for each in kept] == [PARTS[1:], PARTS[2:], PARTS[3:], None]
    assert kept[-1] == json.loads(json.dumps(found))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_evaluation_ends_at_once_and_leaves_its_finished_parts(
    settings, tmp_path, capsys, monkeypatch, number
):
    def stopped(*_, **__):
        os.kill(os.getpid(), number)
        time.sleep(60)
        pytest.fail("went on")

    monkeypatch.setattr(evaluation, "report_retention", stopped)
    before = signal.getsignal(number)
    out = tmp_path / "measured.json"
    assert main(["evaluate", "--config", written(settings, tmp_path), "--out", str(out)]) == 128 + number
    assert signal.getsignal(number) == before
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"stopped by {number.name}; finished were spaces, edits, which are in {out}" in captured.err
    result = json.loads(out.read_text())
    assert list(result) == ["protocol", "spaces", "edits"]
    assert result["protocol"]["missing_parts"] == ["retention", "retrieval"]
    assert [file.name for file in tmp_path.glob("measured*")] == ["measured.json"]


def test_a_stop_before_the_first_part_leaves_an_older_file_alone(settings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluation, "measure", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    out = tmp_path / "measured.json"
    out.write_text("older")
    assert main(["evaluate", "--config", written(settings, tmp_path), "--out", str(out)]) == 143
    assert "no part was finished" in capsys.readouterr().err
    assert out.read_text() == "older"


def test_a_part_that_fails_leaves_those_before_it(settings, tmp_path, capsys, monkeypatch):
    def failed(*_, **__):
        raise ConfigError("retention: broken")

    monkeypatch.setattr(evaluation, "report_retention", failed)
    out = tmp_path / "measured.json"
    assert "retention: broken" in refused(capsys, "--config", written(settings, tmp_path), "--out", out)
    assert json.loads(out.read_text())["protocol"]["missing_parts"] == ["retention", "retrieval"]


def test_a_stop_signal_is_no_exception_that_a_library_would_swallow():
    def swallow():
        with suppress(Exception):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        pytest.fail("went on")

    with stopping_at_once(), pytest.raises(StopSignal, match="SIGTERM") as caught:
        swallow()
    assert caught.value.signal == signal.SIGTERM


def write_directions(folder, generator_sha256):
    entry = {"label": "Smile", "group": "Face", "low": "sad", "high": "glad", "sigma": 1.0, "range": [-3, 3]}
    manifest = {
        "generator_sha256": generator_sha256,
        "file": "d.safetensors",
        "directions": {"odd": {**entry, "effects": {"red": 1.0}}},
    }
    folder.mkdir()
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    save_file({"odd": F.normalize(torch.randn(1, 16))[0]}, folder / "d.safetensors")


def test_directions_are_those_of_the_folder_that_is_named(settings, model, tmp_path, capsys):
    folder = tmp_path / "found"
    write_directions(folder, file_sha256(model / "generator.safetensors"))
    file = written({**settings, "retention_faces": 0, "retrieval": False}, tmp_path)
    for arguments, own in (((), []), (("--directions", str(folder)), ["odd"])):
        assert main(["evaluate", "--config", file, "--json", *arguments]) == 0
        result = json.loads(capsys.readouterr().out.splitlines()[-1])
        edits = result["edits"]["protocol"]["edits"]
        assert [name.rstrip("+") for name in edits if name.endswith("+")][: len(own) + 1] == [
            *own,
            "component0",
        ]
        assert result["protocol"].get("directions") == (str(folder) if own else None)
    write_directions(tmp_path / "foreign", "0" * 64)
    assert "made for generator 000000000000" in refused(
        capsys, "--config", file, "--directions", tmp_path / "foreign"
    )
    assert "manifest.yaml: no such file" in refused(capsys, "--config", file, "--directions", tmp_path)
