from dataclasses import replace

import numpy as np
import pytest
import torch

from editor.measure.attributes import MEASURED
from editor.measure.probe import MOST, Probe, measure_faces
from inversion.directions.linear import EditDirection, paced


class Wall:
    """Draws styles as walls with a grain: the first number is the colour, the second the grain."""

    def render(self, ws):
        colour, grain = ws[0, 0, :2].tolist()
        pixels = np.full((32, 32, 3), 100 + 10 * colour)
        pixels[::2] += max(10 + grain, 0)
        return torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))[None]


def colour_of(pixels):
    colour = float(pixels[1].mean()) - 100
    return None if colour > 45 else dict.fromkeys(MEASURED, 0.0) | {"smile": colour / 10, "age": colour}


def grain_of(pictures, zones):
    """How far the grain of walls is from the usual."""
    return np.abs(pictures[:, 0, 0, 0].astype(float) - pictures[:, 1, 0, 0] - 10) / 4


def walls(spread=2.0):
    ws = torch.zeros(21, 2, 4)
    ws[:, :, 0] = torch.linspace(-1, 1, 21)[:, None]
    return Probe(Wall(), colour_of, ws, np.full(len(MEASURED), spread), grain_of)


def along(vector, name="smile", **more):
    common = {"label": "x", "group": "x", "low": "x", "high": "x", "range": (-3.0, 3.0), "layers": (0, 2)}
    direction = torch.tensor([vector, vector]).float()
    return EditDirection(name=name, direction=direction, sigma=1.0, attribute=name, **common, **more)


def test_effects_count_in_standard_deviations():
    effects = walls().effects(along([1.0, 0, 0, 0]))
    assert effects[MEASURED.index("smile")] == pytest.approx(0.5)
    assert effects[MEASURED.index("age")] == pytest.approx(5)
    assert effects[MEASURED.index("beard")] == 0


def test_a_pace_makes_the_unit_true_on_both_sides():
    probe = walls(spread=1.5)
    assert [paced(probe.paced(along([1.0, 0, 0, 0])), s) for s in (-1.5, 0, 0.25, 1)] == pytest.approx(
        [-2.25, 0, 0.375, 1.5], abs=0.06
    )
    years = along([1.0, 0, 0, 0], "age", unit="years", unit_size=10.0)
    assert paced(probe.paced(replace(years, sigma=0.08)), 10.0) == pytest.approx(12.5, rel=0.03)
    assert paced(probe.paced(replace(years, sigma=0.01)), 10.0) == pytest.approx(10 * MOST, rel=0.03)
    assert probe.paced(along([0, 1.0, 0, 0])).pace == ()  # changes nothing of its own


def test_a_pace_makes_equal_moves_change_equally():
    """The way's own change is the strength and an eighth of its square: more to one side."""
    probe, bent = walls(spread=1.0), along([1.0, 0, 0, 0], bend=torch.tensor([[0.12, 0, 0, 0]]).expand(2, -1))
    column = MEASURED.index("smile")

    def moved(edit):
        return [probe.end(edit, s).table[:, column].mean() for s in (-1.5, -1, -0.5, 0.5, 1, 1.5)]

    assert max(abs(a - b) for a, b in zip(moved(bent), (-1.5, -1, -0.5, 0.5, 1, 1.5), strict=True)) > 0.2
    assert moved(probe.paced(bent)) == pytest.approx((-1.5, -1, -0.5, 0.5, 1, 1.5), abs=0.11)


def test_ranges_end_where_faces_are_lost_or_torn():
    probe = walls()
    assert probe.honest_range(along([1.0, 0, 0, 0])) == (-3, 3)
    assert probe.honest_range(along([1.8, 0, 0, 0])) == (-3, 2)
    assert probe.honest_range(along([1.8, 0, 0, 0]), most=1.7) == (-1.5, 1.5)
    assert probe.honest_range(along([0, 2.0, 0, 0])) == (-2, 2)
    assert probe.honest_range(along([0, 100.0, 0, 0])) == (-0.5, 0.5)  # not even there, but somewhere it ends
    assert probe.honest_range(along([1.8, 0, 0, 0], unit="years", unit_size=1.0)) == (-3, 2)


def test_a_checked_edit_tells_its_range_and_what_it_changes():
    edit = walls().checked(along([1.8, 0, 0, 0]))
    assert edit.range == (-3, 2)
    assert edit.effects["age"] == pytest.approx(9, abs=0.3)
    assert edit.effects["beard"] == 0


def test_spread_is_that_of_the_faces_where_nobody_says():
    probe = Probe(Wall(), colour_of, walls()._ws)
    assert probe.spread[MEASURED.index("age")] == pytest.approx(probe.table[:, MEASURED.index("age")].std())


def test_faces_that_are_not_found_are_left_out():
    def measure_face(pixels):
        return None if pixels[0] < 0 else dict.fromkeys(MEASURED, float(pixels[0]))

    table, found = measure_faces(np.array([[1.0], [-1.0], [2.0]]), measure_face)
    assert found.tolist() == [True, False, True]
    assert table[found][:, 0].tolist() == [1.0, 2.0]
