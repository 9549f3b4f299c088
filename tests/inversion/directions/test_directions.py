import math

import pytest
import torch
import yaml
from safetensors.torch import save_file

from inversion.directions.bank import DIRECTIONS_ROOT, find_directions, load_directions
from inversion.directions.errors import DirectionError, StrengthError
from inversion.directions.linear import apply_direction
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import CheckpointError, ShapeError

SHA = "ab" * 32


def write_folder(folder, vector=None, **changes):
    entry = {"label": "Smile", "group": "Face", "low": "sad", "high": "glad"}
    entry |= {"sigma": 2.0, "range": [-3.0, 3.0]}
    entry |= changes.pop("entry", {})
    manifest = {"generator_sha256": SHA, "file": "d.safetensors", "directions": {"smile": entry}} | changes
    folder.mkdir(exist_ok=True)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    unit = torch.nn.functional.normalize(torch.randn(1, 32))[0]
    save_file({"smile": unit if vector is None else vector}, folder / "d.safetensors")


def test_strength_counts_standard_deviations(tiny_directions):
    ws = torch.randn(2, 8, 32)
    moved = apply_direction(ws, tiny_directions["smile"], 1.5)
    along = (moved - ws) @ tiny_directions["smile"].direction
    torch.testing.assert_close(along, torch.full((2, 8), 1.5 * 2.0))


def test_zero_changes_no_bit(tiny_directions):
    ws = torch.randn(2, 8, 32)
    assert torch.equal(tiny_directions.apply(ws, {"smile": 0, "age": 0.0}), ws)


def test_there_and_back_again(tiny_directions):
    ws = torch.randn(1, 8, 32)
    there = tiny_directions.apply(ws, {"smile": 2.0})
    torch.testing.assert_close(tiny_directions.apply(there, {"smile": -2.0}), ws, atol=1e-5, rtol=0)


def test_edits_commute_and_leave_the_input_alone(tiny_directions):
    ws = torch.randn(1, 8, 32)
    before = ws.clone()
    one = tiny_directions.apply(ws, {"smile": 1, "age": -2})
    other = tiny_directions.apply(ws, {"age": -2, "smile": 1})
    torch.testing.assert_close(one, other)
    assert torch.equal(ws, before)


def test_only_the_named_layers_move(tiny_directions):
    ws = torch.randn(1, 8, 32)
    moved = (apply_direction(ws, tiny_directions["age"], 1) - ws).abs().sum(2)[0]
    assert (moved[:2] > 0).all()
    assert (moved[2:] == 0).all()


@pytest.mark.parametrize("strength", [2.01, -3.5, 1e9, 10**400])
def test_strengths_out_of_range_are_named(tiny_directions, strength):
    with pytest.raises(StrengthError, match=r"strength of 'smile': .* is outside \[-3, 2\]"):
        tiny_directions.apply(torch.zeros(1, 8, 32), {"smile": strength})


@pytest.mark.parametrize("strength", [math.nan, math.inf, -math.inf, "1", None, True])
def test_strengths_that_are_no_numbers_are_named(tiny_directions, strength):
    with pytest.raises(StrengthError, match=r"strength of 'smile': .* is not a number; must be in \[-3, 2\]"):
        tiny_directions.check({"smile": strength})


def test_unknown_directions_are_named(tiny_directions):
    with pytest.raises(DirectionError, match="no direction 'smlie'; have: age, smile"):
        tiny_directions.check({"smlie": 1})


def test_styles_of_another_width_are_refused(tiny_directions):
    with pytest.raises(ShapeError, match=r"ws: expected \[N, num_ws, 32\]"):
        tiny_directions.apply(torch.zeros(1, 8, 31), {"smile": 1})


def test_a_folder_is_read(tmp_path):
    write_folder(tmp_path)
    bank = load_directions(tmp_path, SHA, 32, 8)
    assert list(bank) == ["smile"]
    assert (bank["smile"].range, bank["smile"].layers, bank["smile"].sigma) == ((-3.0, 3.0), (0, 8), 2.0)
    assert abs(bank["smile"].direction.norm().item() - 1) < 1e-6


def test_what_an_edit_is_about_is_read(tmp_path):
    write_folder(tmp_path, entry={"attribute": "red"})
    assert load_directions(tmp_path, SHA, 32, 8)["smile"].attribute == "red"
    write_folder(tmp_path)
    assert load_directions(tmp_path, SHA, 32, 8)["smile"].attribute is None


def test_effects_are_read_where_they_are_known(tmp_path):
    write_folder(tmp_path / "with", entry={"effects": {"smile": 3.8, "age": -1}})
    write_folder(tmp_path / "without")
    assert load_directions(tmp_path / "with", SHA, 32, 8)["smile"].effects == {"smile": 3.8, "age": -1.0}
    assert load_directions(tmp_path / "without", SHA, 32, 8)["smile"].effects == {}


def test_a_photo_is_moved_farther_where_its_space_holds_edits_back(tmp_path):
    write_folder(tmp_path, entry={"photo_gains": {"f": 1.5, "w": 0.8}})
    bank = load_directions(tmp_path, SHA, 32, 8)
    ws = torch.randn(1, 8, 32)
    step = bank.apply(ws, {"smile": 1.0}) - ws
    for space, gain in (("f", 1.5), ("w", 0.8), ("w+", 1.0)):
        farther = bank.on_photos(space).apply(ws, {"smile": 1.0}) - ws
        torch.testing.assert_close(farther, gain * step, atol=1e-5, rtol=1e-5)
    with pytest.raises(StrengthError):  # the slider's range is that of its own numbers
        bank.on_photos("f").apply(ws, {"smile": 3.1})


def test_the_absolute_rule_goes_to_the_same_place_on_photos(tmp_path):
    write_folder(tmp_path, entry={"photo_gains": {"f": 1.5}, "rule": "absolute"})
    unit = torch.nn.functional.normalize(torch.randn(1, 32))[0]
    save_file({"smile": unit, "smile.mean": torch.zeros(32)}, tmp_path / "d.safetensors")
    bank = load_directions(tmp_path, SHA, 32, 8)
    ws = torch.randn(1, 8, 32)
    assert torch.equal(bank.on_photos("f").apply(ws, {"smile": 1.0}), bank.apply(ws, {"smile": 1.0}))


def test_directions_of_another_generator_are_refused(tmp_path):
    write_folder(tmp_path)
    with pytest.raises(DirectionError, match=r"made for generator abababababab\.\.\., not for cdcdcdcdcdcd"):
        load_directions(tmp_path, "cd" * 32, 32, 8)


@pytest.mark.parametrize(
    "vector", [torch.ones(32), torch.nn.functional.normalize(torch.ones(1, 31))[0], torch.zeros(32)]
)
def test_vectors_that_are_not_unit_are_refused(tmp_path, vector):
    write_folder(tmp_path, vector=vector)
    with pytest.raises(CheckpointError, match="'smile' has shape"):
        load_directions(tmp_path, SHA, 32, 8)


@pytest.mark.parametrize(
    "entry",
    [
        {"range": [1, 3]},
        {"range": [3]},
        {"sigma": 0},
        {"sigma": "wide"},
        {"layers": [0, 9]},
        {"effects": {"age": "old"}},
        {"photo_gains": {"f": 0}},
        {"photo_gains": {"f": "far"}},
    ],
)
def test_entries_out_of_bounds_are_refused(tmp_path, entry):
    write_folder(tmp_path, entry=entry)
    with pytest.raises(CheckpointError, match=r"manifest\.yaml: damaged or incomplete"):
        load_directions(tmp_path, SHA, 32, 8)


@pytest.mark.parametrize("text", ["{", "- a", "", "\x00"])
def test_damaged_manifests_are_refused(tmp_path, text):
    (tmp_path / "manifest.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"manifest\.yaml: (not readable|expected a mapping)"):
        load_directions(tmp_path, SHA, 32, 8)


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"manifest\.yaml: no such file"):
        load_directions(tmp_path, SHA, 32, 8)


def test_directions_are_found_by_the_generator(tmp_path):
    write_folder(tmp_path / "one", generator_sha256="cd" * 32)
    write_folder(tmp_path / "two")
    assert list(find_directions(SHA, 32, 8, tmp_path)) == ["smile"]
    assert not len(find_directions("ef" * 32, 32, 8, tmp_path))


@pytest.mark.weights
def test_the_bundled_directions_belong_to_the_bundled_generator():
    bank = find_directions(load_bundle().generator_sha256, 512, 12, DIRECTIONS_ROOT)
    assert {"smile", "mouth", "eyes", "age", "gender", "turn", "light"} <= set(bank)
    assert not any("ethnic" in name or "race" in name or "skin" in name for name in bank)


@pytest.mark.parametrize("what", ["direction", "sigma"])
def test_directions_that_are_no_numbers_are_refused(tmp_path, what):
    vector = torch.nn.functional.normalize(torch.randn(1, 32))[0]
    if what == "direction":
        vector[3] = float("nan")
    entry = {"sigma": float("nan")} if what == "sigma" else {}
    write_folder(tmp_path / "d", vector, entry=entry)
    with pytest.raises(
        CheckpointError, match="smile of 1 tensors hold NaN" if what == "direction" else "sigma nan"
    ):
        load_directions(tmp_path / "d", SHA, 32, 8)


@pytest.mark.weights
def test_edits_are_known_by_the_names_that_they_had():
    bank = find_directions(load_bundle().generator_sha256, 512, 12, DIRECTIONS_ROOT)
    found = bank.check({"mouth_open": 1.0, "yaw": -1.0, "lighting": 0.5})
    assert found == {"mouth": 1.0, "turn": -1.0, "light": 0.5}
    assert "yaw" in bank
    assert "yaw" not in list(bank)
    with pytest.raises(DirectionError, match="'turn': named twice"):
        bank.check({"yaw": 1.0, "turn": 1.0})
