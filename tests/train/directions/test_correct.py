import numpy as np
import pytest

from train.directions.choice import STRENGTH, Change
from train.directions.correct import cleanest_step, responses, without_side_effects

READING = np.array([[1.0, 0.3, 0.0, 0.0], [0.2, 1.0, 0.0, 0.1], [0.0, 0.0, 1.0, 0.4]])


def measured(bend=0.0):
    """Attributes that a step of W changes, the second also by the square of the first coordinate."""

    def measure_step(step):
        effects = READING @ step + np.array([0, bend, 0]) * step[0] ** 2
        return Change(effects=effects, found=1.0, identity=1.0)

    return measure_step


@pytest.mark.parametrize("bend", [0.0, 0.15])
def test_what_else_a_step_changes_is_taken_back(bend):
    basis = [np.eye(4)[i] for i in range(3)]
    probe = measured(bend)
    before = probe(STRENGTH * basis[0]).effects
    step = without_side_effects(probe, basis[0], np.array(basis), responses(probe, basis), 0)
    after = probe(STRENGTH * step).effects
    assert abs(before[1]) > 0.35
    assert np.abs(after[1:]).max() < 0.05
    assert after[0] == pytest.approx(before[0], rel=0.05)


def test_a_correction_that_makes_things_worse_is_not_taken():
    basis = [np.eye(4)[i] for i in range(3)]
    answers = responses(measured(), basis)

    def touchy(step):  # whoever mends the second attribute breaks the third
        effects = measured()(step).effects
        effects[2] = 5 * abs(step[1])
        return Change(effects=effects, found=1.0, identity=1.0)

    step = without_side_effects(touchy, basis[0], np.array(basis), answers, 0)
    assert np.array_equal(step, basis[0])


def test_a_step_that_loses_the_faces_stays_as_it_is():
    basis = [np.eye(4)[i] for i in range(3)]
    answers = responses(measured(), basis)

    def lost(step):
        return Change(effects=np.full(3, np.nan), found=0.0, identity=np.nan)

    assert np.array_equal(without_side_effects(lost, basis[1], np.array(basis), answers, 1), basis[1])


def test_the_way_that_drags_least_along_is_taken_at_the_wanted_length():
    ways = {0.0: np.array([1.0, 0, 0, 0]), 1.0: np.array([0.5, -0.1, 0, 0]), 2.0: np.array([0.5, 0.4, 0, 0])}
    number, step = cleanest_step(measured(), ways, 0, 3.0)
    assert number == 1
    assert measured()(STRENGTH * step).effects[0] == pytest.approx(3.0, rel=0.05)


def test_a_way_that_costs_the_person_is_not_taken():
    ways = {0.0: np.array([1.0, 0, 0, 0]), 1.0: np.array([0.5, -0.1, 0, 0])}

    def costly(step):  # whatever moves the second coordinate
        return Change(effects=measured()(step).effects, found=1.0, identity=1 - abs(step[1]))

    assert cleanest_step(costly, ways, 0, 3.0, identity=0.9)[0] == 0
    assert cleanest_step(costly, ways, 0, 3.0, identity=0.3)[0] == 1
    assert cleanest_step(costly, ways, 0, 3.0, identity=1.1) is None


def test_a_way_that_does_not_get_there_is_not_taken():
    def saturating(step):
        effects = measured()(step).effects
        effects[0] = np.tanh(effects[0])
        return Change(effects=effects, found=1.0, identity=1.0)

    assert cleanest_step(saturating, {0.0: np.array([1.0, 0, 0, 0])}, 0, 3.0) is None

    def lost(step):
        return Change(effects=measured()(step).effects, found=0.5, identity=1.0)

    assert cleanest_step(lost, {0.0: np.array([1.0, 0, 0, 0])}, 0, 3.0) is None
