import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import nn

from editor.direction_sheet import MARGIN, draw_sheet
from editor.measure.attribute_network import AttributeNetwork, save_attributes
from inversion.directions.bank import load_directions
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.settings import read_settings, settings_from_dict, settings_to_dict
from tests.helpers.training import tiny_generator, write_bundle
from train.__main__ import main
from train.directions.choice import Change
from train.directions.config import DirectionsConfig
from train.directions.fit import partial_directions
from train.directions.probe import effect_table, measure_faces
from train.directions.search import (
    CONTROLS,
    EDITS,
    IDENTITY_WEIGHTS,
    TOLD,
    discover,
    find_range,
    read_pool,
    tell_of,
)
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


def test_faces_that_are_not_found_are_left_out():
    def measure_face(pixels):
        return None if pixels[0] < 0 else {"a": float(pixels[0]), "b": 1.0}

    table, found = measure_faces(np.array([[1.0], [-1.0], [2.0]]), measure_face, ["a", "b"])
    assert found.tolist() == [True, False, True]
    assert table[found].tolist() == [[1.0, 1.0], [2.0, 1.0]]


def test_effects_count_in_standard_deviations():
    low, high = np.full((4, 1), -3.0), np.full((4, 1), 3.0)
    change, share = effect_table(low, high, lambda p: {"a": p[0]}, ["a"], np.array([2.0]))
    assert change.tolist() == [3.0]
    assert share == 1.0


def test_ranges_end_where_faces_are_lost():
    def measure_step(step):
        return Change(effects=step, found=1.0 if step[0] <= 2 else 0.5, identity=1.0)

    reach, change = find_range(measure_step, np.ones(1))
    assert (reach, change.effects.tolist()) == (2.0, [2.0])


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
def settings(tmp_path):
    """A toy bundle whose pictures are measured by their colours, as if they showed faces."""
    write_bundle(tmp_path, generator=tiny_generator())
    common = {"bundle": str(tmp_path), "networks": str(tmp_path), "out": str(tmp_path / "found")}
    return {**common, "count": 60, "check": 2, "device": "cpu"}


def colours(detector, networks, pixels):
    means = pixels.reshape(4, 8, 4, 8, 3).mean((1, 3)).reshape(-1)
    names = [*(edit.attribute for edit in EDITS.values()), *CONTROLS]
    return dict(zip(names, means, strict=False))


class ColourEmbedder(nn.Module):
    """Stands in for the identity network: who a face is shows in the colours of its quarters."""

    def __init__(self):
        super().__init__()
        self.register_buffer("to_crop", torch.zeros(1))

    def forward(self, img):
        return F.normalize(F.adaptive_avg_pool2d(img, 2).flatten(1), dim=1)


def test_what_is_found_can_be_loaded_and_says_how_it_was_made(settings, monkeypatch):
    monkeypatch.setattr("train.directions.search.load_networks", lambda folder: None)
    monkeypatch.setattr("train.directions.search.measure", colours)
    config, lines = settings_from_dict(settings, DirectionsConfig), []
    manifest = discover(config, lines.append)
    assert lines[0] == "measured 60 of 60 faces"
    assert lines[1] == f"measured what {len(EDITS) + len(CONTROLS)} steps change"
    assert len(lines) == 2 + len(EDITS)
    assert manifest["made_by"].endswith(
        "--set count=60 --set check=2 --set psi=0.8 --set seed=0 --set pool=null --set identity_weights=null"
    )
    assert yaml.safe_load((config.out / "manifest.yaml").read_text()) == manifest
    bank = load_directions(config.out, load_bundle(config.bundle).generator_sha256, 16, 8)
    assert list(bank) == list(EDITS)
    assert bank["smile"].range == (-3.0, 3.0)
    assert all(0 < direction.sigma < 10 for direction in bank.values())


def test_what_the_attribute_network_tells_is_held(settings, tmp_path, monkeypatch):
    save_attributes(AttributeNetwork(), tmp_path / "attributes.safetensors")
    monkeypatch.setattr("train.directions.search.load_networks", lambda folder: None)
    monkeypatch.setattr("train.directions.search.measure", colours)
    changes = {"attribute_weights": str(tmp_path / "attributes.safetensors"), "count": 40}
    config = settings_from_dict({**settings, **changes}, DirectionsConfig)
    manifest = discover(config, lambda line: None)
    assert "--set attribute_weights=ATTRIBUTES" in manifest["made_by"]
    for entry in manifest["directions"].values():
        assert list(entry["effects"])[-len(TOLD) :] == list(TOLD)
    pixels = np.full((32, 32, 3), 90, np.uint8)
    assert set(tell_of(AttributeNetwork().eval(), pixels)) == {"age", "masculine", *TOLD}


def test_a_pool_is_counted_before_it_is_read(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("train.directions.search.load_networks", lambda folder: None)
    monkeypatch.setattr("train.directions.search.measure", lambda *_: None)
    write_pool(tmp_path, load_bundle(tmp_path).generator_sha256)
    config, lines = settings_from_dict({**settings, "pool": str(tmp_path)}, DirectionsConfig), []
    with pytest.raises(DatasetError, match="a face in 0 of 3 pictures"):
        discover(config, lines.append)
    assert lines == [f"{tmp_path}: 3 pictures in 1 file", "measured 0 of 3 faces"]


def test_ways_that_spare_identity_are_found_and_named(settings, monkeypatch):
    # The toy's W has too few dimensions to hold more attributes than these and still have a choice, and two
    # faces are too few to correct by.
    monkeypatch.setattr("train.directions.search.CONTROLS", ("brightness",))
    monkeypatch.setattr("train.directions.correct.ROUNDS", 0)
    monkeypatch.setattr("train.directions.search.load_networks", lambda folder: None)
    monkeypatch.setattr("train.directions.search.measure", colours)
    monkeypatch.setattr("train.directions.search.load_identity", lambda path, alignment: ColourEmbedder())
    changes = {"identity_weights": "mobilefacenet_id.onnx", "gradients": 40}
    config, lines = settings_from_dict({**settings, **changes}, DirectionsConfig), []
    manifest = discover(config, lines.append)
    assert lines[1] == "found 40 gradients of identity"
    assert manifest["made_by"].endswith("--set pool=null --set gradients=40")
    weights = [entry["identity_weight"] for entry in manifest["directions"].values()]
    assert any(weights)
    assert set(weights) <= {0, *IDENTITY_WEIGHTS}
    assert list(load_directions(config.out, manifest["generator_sha256"], 16, 8)) == list(EDITS)


def test_pictures_without_faces_give_no_directions(settings, monkeypatch):
    monkeypatch.setattr("train.directions.search.load_networks", lambda folder: None)
    monkeypatch.setattr("train.directions.search.measure", lambda *arguments: None)
    with pytest.raises(DatasetError, match="a face in 0 of 60 pictures; must be at least 32"):
        discover(settings_from_dict(settings, DirectionsConfig), lambda line: None)


def test_the_command_names_the_network_that_is_missing(settings, tmp_path, capsys):
    file = tmp_path / "directions.yaml"
    file.write_text(yaml.safe_dump(settings))
    assert main(["directions", "--config", str(file)]) == 2
    error = capsys.readouterr().err
    assert "age-v1.onnx: no such file; discovery measures age and gender with this network" in error
    assert main(["directions", "--config", str(file), "--set", f"bundle={tmp_path / 'none'}"]) == 2
    assert "no bundle.yaml there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "count: 0; must be at least 1"),
        ({"check": 0}, "check: 0; must be at least 1"),
        ({"gradients": 0}, "gradients: 0; must be at least 1"),
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
    values = {name: getattr(config, name) for name in ("count", "check", "psi", "seed", "gradients")}
    for name, value in values.items():
        assert f"--set {name}={value}" in manifest["made_by"]


def test_no_other_command_of_training_loads_the_landmark_library():
    code = "import sys, train.__main__; sys.exit('mediapipe' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_no_edit_of_ethnicity_is_offered():
    words = " ".join([*EDITS, *(edit.label for edit in EDITS.values())]).lower()
    assert not any(word in words for word in ("ethnic", "race", "skin", "asian", "black", "white"))
    assert set(CONTROLS) == {"brightness", "redness", "yellowness"}
    assert not any(edit.attribute in CONTROLS for edit in EDITS.values())


def test_the_sheet_shows_every_direction(tiny_editor):
    sheet = draw_sheet(tiny_editor, seed=3)
    assert sheet.shape == (2 * 32, MARGIN + 5 * 32, 3)
    columns = [sheet[:32, MARGIN + 32 * k : MARGIN + 32 * (k + 1)] for k in range(5)]
    assert np.array_equal(columns[2], tiny_editor.sample(3).crop)
    assert not np.array_equal(columns[0], columns[4])
