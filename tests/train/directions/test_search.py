import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch.nn.functional as F
import yaml
from torch import nn

from editor.direction_sheet import GAP, MARGIN, draw_sheet
from editor.measure.attribute_network import AttributeNetwork, save_attributes
from editor.measure.attributes import MEASURED
from editor.measure.probe import TRIED
from inversion.directions.bank import load_directions
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.settings import read_settings, settings_from_dict, settings_to_dict
from tests.helpers.training import tiny_generator, write_bundle
from train.__main__ import main
from train.directions.config import DirectionsConfig
from train.directions.fit import partial_directions
from train.directions.goals import CONTROLS, EDITS
from train.directions.search import discover, read_pool
from train.errors import DatasetError

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = ROOT / "train" / "configs" / "directions.yaml"


@pytest.fixture
def world():
    """Latents whose attributes are known: a = w @ truth, two of them correlated in the sample."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    spread = np.array([1.0, 1.0] + [0.2] * 14)  # the rest is small, as the noise that is cut off
    w = (rng.normal(size=(4000, 16)) * spread) @ basis.T
    w += np.outer(w @ basis[:, 0], basis[:, 1]) * 0.8  # whoever has more of the first has more of the second
    return w, basis[:, :2].T


def test_directions_move_their_attribute_and_no_other(world):
    w, truth = world
    attributes = w @ truth.T + np.random.default_rng(1).normal(size=(len(w), 2)) * 0.05
    directions = partial_directions(w, attributes)
    effect = directions @ truth.T
    assert effect[0, 0] > 0.9
    assert effect[1, 1] > 0.9
    assert abs(effect[0, 1]) < 0.1
    assert abs(effect[1, 0]) < 0.1


def test_directions_are_unit_and_point_to_more(world):
    w, truth = world
    directions = partial_directions(w, w @ truth.T)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    assert np.allclose(partial_directions(w, -(w @ truth.T)), -directions)


def write_pool(folder, owner="ours"):
    np.save(folder / "w.npy", np.ones((3, 8), np.float32))
    np.save(folder / "pixels.npy", np.zeros((3, 4, 4, 3), np.uint8))
    (folder / "pool.json").write_text(json.dumps({"generator": owner}))


def test_a_folder_without_pairs_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no pool of pairs there"):
        read_pool(tmp_path, 10, "ours")


def test_a_pool_is_read(tmp_path):
    write_pool(tmp_path)
    w, pictures = read_pool(tmp_path, 2, "ours")
    assert w.shape == (2, 8)
    assert [picture.shape for picture in pictures] == [(4, 4, 3)] * 2


def test_the_pool_of_another_generator_is_refused(tmp_path):
    write_pool(tmp_path, "theirs")
    with pytest.raises(CheckpointError, match="pairs of another generator"):
        read_pool(tmp_path, 2, "ours")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A toy bundle whose pictures are measured by their colours, as if they showed faces."""
    monkeypatch.setattr("train.directions.search.measure", colours)
    monkeypatch.setattr("train.directions.search.FaceParser", Parts)
    write_bundle(tmp_path, generator=tiny_generator())
    save_attributes(AttributeNetwork(), tmp_path / "attributes.safetensors")
    common = {"bundle": str(tmp_path), "out": str(tmp_path / "found"), "work": str(tmp_path / "work")}
    few = {
        "count": 60,
        "rounds": 2,
        "check": 2,
        "lessons": 2,
        "steps": 2,
        "batch": 2,
        "faces": 4,
        "edited": 2,
    }
    weights = {"attribute_weights": str(tmp_path / "attributes.safetensors")}
    return {**common, **few, **weights, "edits": ["smile", "age"], "device": "cpu"}


def colours(detector, network, pixels):
    means = pixels.reshape(4, 8, 4, 8, 3).mean((1, 3)).reshape(-1)
    return dict(zip(MEASURED, means, strict=False))


class Parts:
    """Stands in for the face parser: all is skin."""

    def __init__(self):
        self.engine = self

    def prepare(self):
        pass

    def wait(self):
        pass

    def parts(self, pixels):
        return np.ones(pixels.shape[:2], np.uint8)


class ColourEmbedder(nn.Module):
    """Stands in for the identity network: who a face is shows in the colours of its quarters."""

    def forward(self, img):
        return F.normalize(F.adaptive_avg_pool2d(img, 2).flatten(1), dim=1)


def test_what_is_found_can_be_loaded_and_says_how_it_was_made(settings):
    config, lines = settings_from_dict(settings, DirectionsConfig), []
    edits = discover(config, lines.append)
    assert lines[0] == "measured 60 of 60 faces"
    assert [line.split(":")[0] for line in lines if line.startswith("round")] == [
        "round 1, smile", "round 1, age", "round 2, smile", "round 2, age",
    ]  # fmt: skip
    assert "measured 4 of 4 edited faces" in lines
    manifest = yaml.safe_load((config.out / "manifest.yaml").read_text())
    assert manifest["made_by"].endswith(
        "--set count=60 --set pool=null --set psi=0.85 --set rounds=2 --set lessons=2 --set steps=2 "
        "--set batch=2 --set faces=4 --set edited=2 --set check=2 --set seed=0 --set identity_weights=null"
    )
    bank = load_directions(config.out, load_bundle(config.bundle).generator_sha256, 16, 8)
    assert list(bank) == ["smile", "age"]
    assert [edit.name for edit in edits] == list(bank)
    age = bank["age"]
    assert (age.unit, age.unit_size, age.attribute) == ("years", 10, "age")
    assert age.range[0] in [-10 * size for size in TRIED]
    assert age.direction.shape == age.bend.shape == (8, 16)
    assert set(age.effects) == set(MEASURED)


def test_a_search_goes_on_and_adds_to_what_was_found(settings):
    discover(settings_from_dict({**settings, "edits": ["smile"]}, DirectionsConfig), lambda line: None)
    lines = []
    config = settings_from_dict({**settings, "edits": ["age", "smile"]}, DirectionsConfig)
    assert [edit.name for edit in discover(config, lines.append)] == ["smile", "age"]
    assert not any(line.startswith(("measured", "round 1, smile", "round 2, smile")) for line in lines)
    assert any(line.startswith("round 2, age") for line in lines)


def test_who_a_face_is_counts_where_that_can_be_told(settings, monkeypatch):
    monkeypatch.setattr("train.directions.search.load_identity", lambda path, crop: ColourEmbedder())
    lines = []
    changes = {"identity_weights": "mobilefacenet_id.onnx", "edits": ["smile"]}
    discover(settings_from_dict({**settings, **changes}, DirectionsConfig), lines.append)
    assert all("identity" in line for line in lines if line.startswith("round"))
    assert any(line.startswith("round") for line in lines)


def test_a_pool_is_counted_before_it_is_read(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("train.directions.search.measure", lambda *_: None)
    write_pool(tmp_path, load_bundle(tmp_path).generator_sha256)
    config, lines = settings_from_dict({**settings, "pool": str(tmp_path)}, DirectionsConfig), []
    with pytest.raises(DatasetError, match="a face in 0 of 3 pictures"):
        discover(config, lines.append)
    assert lines == [f"{tmp_path}: 3 pictures in 1 file", "measured 0 of 3 faces"]


def test_pictures_without_faces_give_no_directions(settings, monkeypatch):
    monkeypatch.setattr("train.directions.search.measure", lambda *arguments: None)
    with pytest.raises(DatasetError, match="a face in 0 of 60 pictures; must be at least 32"):
        discover(settings_from_dict(settings, DirectionsConfig), lambda line: None)


def test_the_command_names_what_is_missing(settings, tmp_path, capsys):
    file = tmp_path / "directions.yaml"
    file.write_text(yaml.safe_dump(settings))
    assert main(["directions", "--config", str(file), "--set", f"attribute_weights={tmp_path / 'no'}"]) == 2
    assert "no: " in capsys.readouterr().err
    assert main(["directions", "--config", str(file), "--set", "edits=[beauty]"]) == 2
    assert "edits: 'beauty' is none; have: smile, " in capsys.readouterr().err
    assert main(["directions", "--config", str(file), "--set", f"bundle={tmp_path / 'none'}"]) == 2
    assert "no bundle.yaml there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "count: 0; must be at least 1"),
        ({"check": 0}, "check: 0; must be at least 1"),
        ({"batch": 1}, "batch: 1; must be at least 2"),
        ({"batch": 5}, "batch: 5; must be at most faces, 4"),
        ({"psi": 0.0}, r"psi: 0\.0; must be above 0 and at most 1\.5"),
        ({"resume": True}, "resume: unknown key"),
    ],
)
def test_impossible_settings_are_refused(settings, changes, message):
    with pytest.raises(ConfigError, match=message):
        settings_from_dict({**settings, **changes}, DirectionsConfig)


@pytest.mark.weights
def test_the_settings_are_those_of_the_bundled_directions():
    config = read_settings(SETTINGS, DirectionsConfig)
    assert settings_from_dict(settings_to_dict(config), DirectionsConfig) == config
    manifest = yaml.safe_load((ROOT / "directions" / "faces128" / "manifest.yaml").read_text())
    for name in ("count", "psi", "rounds", "lessons", "steps", "batch", "faces", "edited", "check", "seed"):
        assert f"--set {name}={getattr(config, name)}" in manifest["made_by"]


def test_no_other_command_of_training_loads_the_landmark_library():
    code = "import sys, train.__main__; sys.exit('mediapipe' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_no_edit_of_ethnicity_is_offered():
    words = " ".join([*EDITS, *(edit.label for edit in EDITS.values())]).lower()
    assert not any(word in words for word in ("ethnic", "race", "skin", "asian", "black", "white"))
    assert set(CONTROLS) == {"brightness", "redness", "yellowness"}
    assert not any(edit.attribute in CONTROLS for edit in EDITS.values())


def test_the_sheet_shows_every_direction(tiny_editor):
    sheet = draw_sheet(tiny_editor, seeds=[3, 8])
    assert sheet.shape == (2 * 32, MARGIN + 2 * (5 * 32 + GAP), 3)
    columns = [sheet[:32, MARGIN + 32 * k : MARGIN + 32 * (k + 1)] for k in range(5)]
    assert np.array_equal(columns[2], tiny_editor.sample(3).crop)
    assert not np.array_equal(columns[0], columns[4])
