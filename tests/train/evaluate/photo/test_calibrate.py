import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from inversion.directions.bank import DirectionBank
from stylegan2.errors import ConfigError
from tests.helpers.opened import tiny_model
from tests.helpers.refiners import tiny_refiners
from train.errors import DatasetError
from train.evaluate.photo.calibrate import (
    LEAST,
    MOST,
    MOST_AROUND,
    CalibrateConfig,
    corrected,
    find_gains,
    missed,
    read_photos,
    settled,
    write_gains,
)
from train.evaluate.subject import Subject


def redness(pixels):
    return {"red": float(pixels[..., 0].mean())}


def middle(crop):
    side = len(crop)
    return np.array([[0.3, 0.3], [0.7, 0.3], [0.7, 0.8], [0.3, 0.8]], np.float32) * side


def test_what_is_kept_too_little_is_moved_farther():
    assert corrected(1.0, 0.8) == pytest.approx(1.25)
    assert corrected(1.25, 1.25) == pytest.approx(1.0)
    assert corrected(1.0, 0.1) == MOST
    assert corrected(1.0, 0.1, MOST_AROUND) == MOST_AROUND
    assert corrected(1.0, 9.0) == LEAST
    assert corrected(1.3, float("nan")) == corrected(1.3, -0.2) == 1.3


def test_twice_is_missed_by_as_much_as_half():
    assert missed(2.0) == pytest.approx(missed(0.5))
    assert missed(1.0) == 0 < missed(1.1) < missed(0.8)
    assert missed(-1.0) == missed(float("nan")) == float("inf")


def test_gains_bring_the_change_of_photos_to_that_of_invented_faces(
    tiny_generator, tiny_encoder, tiny_directions, tiny_transfer
):
    model = tiny_model(tiny_generator, tiny_encoder, tiny_refiners(tiny_encoder))
    bank = DirectionBank(
        {name: replace(edit, effects={"red": 1.0}) for name, edit in tiny_directions.items()}
    )
    photos = torch.randint(0, 256, (2, 256, 256, 3), dtype=torch.uint8)
    lines = []
    gains = find_gains(
        Subject(model=model, directions=bank),
        tiny_transfer,
        photos,
        redness,
        middle,
        invented=2,
        rounds=2,
        report=lines.append,
    )
    assert set(gains) == {"smile", "age"}
    for by_space in gains.values():
        assert set(by_space) == set(model.spaces)
        assert all(LEAST <= gain <= MOST for gain in by_space.values())
    assert len(lines) == 2 * len(model.spaces)
    assert "round 1: kept smile" in lines[0]


def test_only_photos_that_training_left_out_are_read(tmp_path):
    for number in range(40):
        Image.new("RGB", (256, 256), (6 * number, 0, 0)).save(tmp_path / f"{number:03}.png")
    settings = {"bundle": tmp_path, "photos": str(tmp_path), "networks": tmp_path}
    every = read_photos(CalibrateConfig(**settings))
    some = read_photos(CalibrateConfig(**settings, validation_fraction=0.3))
    assert len(every) == 40
    assert 4 <= len(some) <= 20
    few = read_photos(CalibrateConfig(**settings, validation_fraction=0.3, count=3))
    assert torch.equal(few, some[:3])
    with pytest.raises(DatasetError, match="no pictures kept"):
        read_photos(CalibrateConfig(**settings, validation_fraction=1e-9))


def test_the_manifest_keeps_all_else_and_ranges_end_where_photos_reach_what_faces_may(tmp_path):
    file = tmp_path / "manifest.yaml"
    listing = {"file": "d", "directions": {"smile": {"range": [-2.5, 1.25]}, "age": {"sigma": 1.0}}}
    file.write_text(yaml.safe_dump(listing))
    write_gains(file, {"smile": {"f": 1.25}})
    entry = listing["directions"]["smile"]
    low, high = entry["range"]
    entry.update(photo_gains={"f": 1.25}, range=[low / 1.25, high / 1.25])
    assert yaml.safe_load(file.read_text()) == listing
    write_gains(file, {"smile": {"w": 0.9, "f": 1.0}})  # and back
    entry.update(photo_gains={"w": 0.9, "f": 1.0}, range=[low, high])
    assert yaml.safe_load(file.read_text()) == listing


@pytest.mark.parametrize("wrong", [{"count": 0}, {"invented": 0}, {"rounds": 0}, {"validation_fraction": 0}])
def test_settings_out_of_bounds_are_named(tmp_path, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CalibrateConfig(bundle=tmp_path, photos="x", networks=tmp_path, **wrong)


@pytest.mark.parametrize(
    ("tried", "gain"),
    [
        ([(1.0, 0.5), (2.0, 2.0)], 2**0.5),  # half way, in powers
        ([(1.0, 0.8), (1.25, 1.0)], 1.25),
        ([(1.0, 0.4), (2.2, 0.1)], 1.0),  # going farther is no use
        ([(1.0, 0.4), (2.2, float("nan"))], 1.0),
        ([(1.0, 0.5), (2.0, 3.0), (1.4, 1.1)], 1.0 * 1.4 ** (math.log(2) / math.log(2.2))),
        ([(1.0, float("nan"))], 1.0),
        ([(1.0, 1.2), (0.8, 1.1)], 0.8),
    ],
)
def test_the_gain_that_is_kept_lies_between_too_little_and_too_much(tried, gain):
    assert settled(tried) == pytest.approx(gain)
