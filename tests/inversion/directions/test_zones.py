"""Edits that are limited to parts of the face."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from editor.face.ffhq import ffhq_square
from inversion.directions.bank import DirectionBank, load_directions, use_zones
from inversion.directions.linear import apply_direction
from inversion.directions.sharing import read_shared_edit, shared_edit
from inversion.directions.writing import save_directions
from inversion.directions.zones import ZONES, in_zones, zone_maps
from stylegan2.bundle.folder import CropConfig
from stylegan2.errors import CheckpointError, ShapeError
from tests.inversion.directions.test_bent import SHA, bent, refuse_entry

MOUTH = {"mouth": 1.0, "lower": 0.5}


def limited(**changes):
    return bent(zones=MOUTH, **changes)


def test_every_zone_moves_by_its_share():
    edit, ws = limited(), torch.randn(2, 3, 4)
    found = apply_direction(ws, edit, 5)
    whole = apply_direction(ws, replace(edit, zones={}), 5) - ws
    assert found.shape == (2, len(ZONES), 3, 4)
    for number, name in enumerate(ZONES):
        torch.testing.assert_close(found[:, number] - ws, MOUTH.get(name, 0.0) * whole, atol=1e-6, rtol=1e-5)
    assert torch.equal(apply_direction(ws, edit, 0), ws)


def test_edits_of_zones_and_of_all_the_face_add_up_in_any_order():
    everywhere = replace(bent(), name="smile", aliases=(), sigma=0.7)
    bank, ws = DirectionBank({"age": limited(), "smile": everywhere}), torch.randn(1, 3, 4)
    found = bank.apply(ws, {"age": 3, "smile": -2})
    torch.testing.assert_close(found, bank.apply(ws, {"smile": -2, "age": 3}))
    alone = apply_direction(ws, everywhere, -2)
    torch.testing.assert_close(found[:, ZONES.index("around")], alone)
    torch.testing.assert_close(found - in_zones(alone), bank.apply(ws, {"age": 3}) - in_zones(ws))


def test_an_edit_of_zones_does_not_move_w_as_a_whole():
    straight = {"direction": torch.nn.functional.normalize(torch.randn(4), dim=0), "bend": None}
    assert bent(**straight).moves_w(3)
    assert not limited(**straight).moves_w(3)


def test_styles_of_zones_are_checked():
    with pytest.raises(ShapeError, match="ws"):
        apply_direction(torch.zeros(1, 2, 2, 3, 4), bent(), 1)
    with pytest.raises(ShapeError, match="ws"):
        apply_direction(torch.zeros(1, 6, 2, 4), bent(), 1)


def test_zones_are_kept_on_disk_and_when_shared(tmp_path):
    save_directions(tmp_path, [limited()], SHA, made_by="a test")
    edit = load_directions(tmp_path, SHA, 4, 3)["age"]
    assert edit.zones == MOUTH
    assert use_zones([tmp_path])
    file = tmp_path / "age.edit.safetensors"
    file.write_bytes(shared_edit(edit, SHA))
    assert read_shared_edit(file, SHA, 4, 3).zones == MOUTH
    save_directions(tmp_path, [bent()], SHA, made_by="a test")
    assert not use_zones([tmp_path])


@pytest.mark.parametrize(
    "zones",
    [{"ear": 1.0}, {"mouth": 1.5}, {"mouth": -0.1}, {"mouth": float("nan")}, {"mouth": "x"}, ["mouth"]],
)
def test_damaged_zones_are_refused(tmp_path, zones):
    save_directions(tmp_path, [limited()], SHA, made_by="a test")
    refuse_entry(tmp_path, "zones", zones)


def test_an_edit_by_coordinates_has_no_zones(tmp_path):
    wrong = limited(direction=torch.eye(4)[0], bend=None, mean=torch.zeros(4))
    save_directions(tmp_path, [wrong], SHA, made_by="a test")
    with pytest.raises(CheckpointError, match="zones or a pace"):
        load_directions(tmp_path, SHA, 4, 3)


@pytest.mark.parametrize("crop_config", [CropConfig(), CropConfig(scale=0.66, center=0.48)])
def test_zones_share_the_face(crop_config):
    maps = zone_maps(crop_config)
    assert len(maps) == len(ZONES)
    assert maps.min() >= 0
    torch.testing.assert_close(maps.sum(0), torch.ones(maps.shape[1:]))


@pytest.mark.parametrize("crop_config", [CropConfig(), CropConfig(scale=0.66, center=0.48)])
def test_zones_lie_where_the_rule_of_ffhq_puts_the_face(crop_config):
    points = {"eyes": (-0.5, 0.0), "mouth": (0.0, 1.0), "lower": (0.5, 1.0), "face": (0.0, -0.6)}
    right, left, mouth = (np.array(point) for point in ((-0.5, 0.0), (0.5, 0.0), (0.0, 1.0)))
    square, maps = ffhq_square(right, left, mouth, crop_config), zone_maps(crop_config)
    for zone, point in points.items():
        unit = ((np.array(point) - square.middle) / square.x[0] + 1) / 2
        x, y = (int(each * maps.shape[-1]) for each in unit)
        assert ZONES[int(maps[:, y, x].argmax())] == zone
    assert maps[-1, 2, 2] == 1  # a corner is none of the face
