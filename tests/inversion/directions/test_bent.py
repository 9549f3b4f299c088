"""Edits whose way is not straight, in units of their own."""

from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from inversion.directions.bank import DirectionBank, load_directions
from inversion.directions.linear import EditDirection, apply_direction, paced
from inversion.directions.writing import FILE, save_directions
from stylegan2.errors import CheckpointError

SHA = "ab" * 32


def bent(**changes):
    rng = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(3, 4, generator=rng), dim=1)
    fields = {
        "name": "age", "label": "Age", "group": "Person", "low": "younger", "high": "older",
        "direction": rows, "sigma": 0.2, "range": (-20.0, 15.0), "layers": (0, 3),
        "bend": torch.randn(3, 4, generator=rng) / 50,
        "unit": "years", "unit_size": 10.0, "attribute": "age", "effects": {"age": 0.7},
        "photo_gains": {"f": 1.2}, "aliases": ("years",),
    }  # fmt: skip
    return EditDirection(**{**fields, **changes})


def refuse_entry(folder, key, wrong):
    """Write `wrong` into the manifest of a folder of directions; it must not be read any more."""
    file = folder / "manifest.yaml"
    manifest = yaml.safe_load(file.read_text())
    manifest["directions"]["age"][key] = wrong
    file.write_text(yaml.safe_dump(manifest))
    with pytest.raises(CheckpointError, match="damaged or incomplete"):
        load_directions(folder, SHA, 4, 3)


def test_the_square_of_the_strength_turns_the_way():
    edit, ws = bent(), torch.randn(2, 3, 4)
    for strength in (-15, 0.5, 12):
        should = ws + strength * 0.2 * edit.direction + strength**2 * edit.bend
        torch.testing.assert_close(apply_direction(ws, edit, strength), should)
    assert torch.equal(apply_direction(ws, edit, 0), ws)


def test_only_its_layers_bend():
    moved = apply_direction(torch.zeros(1, 3, 4), bent(layers=(1, 2)), 5)
    assert (moved[0].abs().sum(1) > 0).tolist() == [False, True, False]


def test_twice_as_long_does_at_half_the_strength_what_it_did():
    edit, ws = bent(), torch.randn(1, 3, 4)
    torch.testing.assert_close(
        apply_direction(ws, edit.lengthened(2), 5), apply_direction(ws, edit, 10), atol=1e-5, rtol=1e-5
    )
    on_photos = DirectionBank({"age": edit}).on_photos("f")
    torch.testing.assert_close(
        on_photos.apply(ws, {"age": 5}), apply_direction(ws, edit, 6), atol=1e-5, rtol=1e-5
    )


PACE = ((-10.0, -4.0), (0.0, 0.0), (5.0, 10.0), (10.0, 12.0))


def test_a_pace_leads_farther_or_less_far_along_the_same_way():
    edit, ws = bent(pace=PACE), torch.randn(1, 3, 4)
    for strength, at in ((-10, -4), (-5, -2), (2, 4), (5, 10), (7.5, 11), (-15, -6), (15, 14)):
        assert paced(edit, strength) == pytest.approx(at)
        torch.testing.assert_close(apply_direction(ws, edit, strength), apply_direction(ws, bent(), at))
    assert not replace(edit, direction=torch.ones(4) / 2, bend=None).moves_w(3)


@pytest.mark.parametrize(
    "pace",
    [[[-1, -1], [1, 1]], [[0, 0]], [[0, 0], [1, 1], [2, 1]], [[0, 0], [1, float("inf")]], [[0], [1]]],
)
def test_a_damaged_pace_is_refused(tmp_path, pace):
    save_directions(tmp_path, [bent(pace=PACE)], SHA, made_by="a test")
    assert load_directions(tmp_path, SHA, 4, 3)["age"].pace == PACE
    refuse_entry(tmp_path, "pace", pace)


def test_protocols_count_in_its_unit():
    assert bent().reaching(1.5).range == (-15, 15)
    assert bent(unit="", unit_size=1.0).reaching(1.5).range == (-1.5, 1.5)


def test_a_bent_way_does_not_move_w_as_a_whole():
    straight = bent(direction=torch.eye(4)[0], bend=None)
    assert straight.moves_w(3)
    assert not bent().moves_w(3)
    assert not replace(straight, bend=torch.ones(3, 4)).moves_w(3)


def test_all_of_it_is_written_and_read(tmp_path):
    edit = bent()
    save_directions(tmp_path, [edit], SHA, made_by="a test", about={"licence": "none"})
    found = load_directions(tmp_path, SHA, 4, 3)["years"]
    assert torch.equal(found.bend, edit.bend)
    assert torch.allclose(found.direction, edit.direction)
    tensors = {"direction": None, "bend": None}
    assert replace(found, **tensors) == replace(edit, **tensors)
    assert yaml.safe_load((tmp_path / "manifest.yaml").read_text())["licence"] == "none"


@pytest.mark.parametrize("bend", [torch.zeros(4), torch.zeros(2, 4), torch.full((3, 4), float("nan"))])
def test_a_bend_of_another_shape_is_refused(tmp_path, bend):
    save_directions(tmp_path, [bent()], SHA, made_by="a test")
    save_file({**load_file(tmp_path / FILE), "age.bend": bend}, tmp_path / FILE)
    with pytest.raises(CheckpointError, match=r"bend|not finite|no number"):
        load_directions(tmp_path, SHA, 4, 3)


def test_a_unit_without_size_is_refused(tmp_path):
    save_directions(tmp_path, [bent()], SHA, made_by="a test")
    file = tmp_path / "manifest.yaml"
    file.write_text(file.read_text().replace("unit_size: 10.0", "unit_size: 0"))
    with pytest.raises(CheckpointError, match="unit_size 0"):
        load_directions(tmp_path, SHA, 4, 3)


def test_banks_are_joined_and_the_others_edits_win():
    first = DirectionBank({"age": bent()})
    assert first.joined(DirectionBank({})) is first
    both = first.joined(DirectionBank({"own": bent(name="own", aliases=()), "age": bent(label="Theirs")}))
    assert list(both) == ["age", "own"]
    assert both["age"].label == "Theirs"
