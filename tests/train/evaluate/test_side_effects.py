import numpy as np
import pytest
import torch

from editor.parts.labels import Part
from inversion.directions.bank import DirectionBank
from inversion.directions.linear import EditDirection
from train.evaluate.side_effects import Watcher, measure_combinations, measure_side_effects

SIDE = 64


class Parser:
    """Sees glasses where the middle of a face is dark."""

    def parts(self, crop):
        found = np.full(crop.shape[:2], int(Part.SKIN), np.uint8)
        if crop[len(crop) // 2, len(crop) // 2, 0] < 60:
            found[:20] = Part.GLASSES
        return found


def bank(*names):
    common = {"label": "x", "group": "x", "low": "x", "high": "x", "sigma": 1.0, "range": (-3.0, 3.0)}
    vector = torch.nn.functional.normalize(torch.ones(4), dim=0)
    edits = {
        name: EditDirection(name=name, direction=vector, layers=(0, 2), effects={own: 1.0}, **common)
        for name, own in names
    }
    return DirectionBank(edits)


def measured(pixels):
    """Red is the smile, green the age, blue the sex."""
    red, green, blue = (float(value) for value in pixels[SIDE // 4, SIDE // 4])
    if red > 250:
        return None
    return {"smile": red, "age": green, "masculine": blue - 100}


def face(base, change, corner=0):
    def edited(strengths):
        pixels = np.empty((SIDE, SIDE, 3), np.uint8)
        strength = sum(strengths.values())
        pixels[:] = np.clip(np.array(base) + strength * np.array(change), 0, 255)
        pixels[:8, :8] = 10 + int(corner * abs(strength))
        return pixels

    return edited


def test_an_edit_is_told_by_what_it_changes():
    faces = [face((100, 40, 90), (20, 2, 0)), face((120, 60, 110), (20, 4, 0))]
    counted = []
    found = measure_side_effects(
        bank(("smile", "smile")), faces, Watcher(measure_face=measured, parser=Parser()), counted.append
    )["smile"]
    assert sum(counted) == 2
    assert found["own"] == "smile"
    assert found["rank"] == pytest.approx(1)
    assert found["uneven"] == pytest.approx(0, abs=1e-6)
    for end, sign in (("-", -1), ("+", 1)):
        told = found[end]
        assert told["found"] == 1
        assert told["years"] == sign * 4.5
        assert told["flips"] == 0
        assert told["change"] == pytest.approx(sign * 3)  # 30 levels, of which 10 are one deviation
        assert set(told["others"]) == {"age", "masculine"}
        assert told["others"]["age"] == pytest.approx(sign * 4.5 / 10)
        assert told["worn"] == {"glasses": 0, "hat": 0}


def test_flips_glasses_and_corners_are_seen():
    faces = [face((100, 40, 80), (0, 0, 20), corner=6), face((70, 40, 130), (-10, 0, -60), corner=6)]
    found = measure_side_effects(
        bank(("gender", "masculine")), faces, Watcher(measure_face=measured, parser=Parser())
    )["gender"]
    assert found["+"]["flips"] == 1
    assert found["-"]["flips"] == 0
    assert found["+"]["worn"]["glasses"] == 0.5
    assert found["+"]["corners"] > 2


def test_a_way_that_bends_is_told():
    def bent(strengths):
        strength = sum(strengths.values())
        pixels = np.full((SIDE, SIDE, 3), 100, np.uint8)
        pixels[..., 0] = 100 + 20 * np.sign(strength) * min(abs(strength), 0.9)
        return pixels

    found = measure_side_effects(
        bank(("smile", "smile")), [bent], Watcher(measure_face=measured, parser=Parser())
    )["smile"]
    assert found["uneven"] == pytest.approx(
        2 / 3, abs=0.02
    )  # of 18 levels to either side, 15 on the inner half


def test_faces_that_are_lost_are_counted():
    found = measure_side_effects(
        bank(("smile", "smile")),
        [face((240, 40, 90), (20, 0, 0)), face((100, 40, 90), (20, 0, 0))],
        Watcher(measure_face=measured, parser=Parser()),
    )["smile"]
    assert found["+"]["found"] == 0.5
    assert found["-"]["found"] == 1


def test_combinations_tell_what_neither_edit_is_about():
    def coloured(strengths):
        colour = np.array([100.0, 90, 120])
        colour[0] += 10 * strengths.get("smile", 0)
        colour[1] += 10 * strengths.get("age", 0)
        colour[2] -= 20 * abs(strengths.get("age", 0))
        return np.broadcast_to(colour.astype(np.uint8), (SIDE, SIDE, 3)).copy()

    edits = bank(("smile", "smile"), ("age", "age"), ("gender", "masculine"))
    found = measure_combinations(
        edits,
        [coloured] * 2 + [face((120, 60, 110), (0, 0, 0))] * 2,
        Watcher(measure_face=measured, parser=Parser()),
    )
    assert set(found) == {"smile+age", "smile+gender", "age+gender"}
    assert set(found["smile+age"]["others"]) == {"masculine"}
    assert found["smile+age"]["others"]["masculine"] < -1
    assert found["smile+gender"]["others"]["age"] == pytest.approx(0, abs=1e-6)
