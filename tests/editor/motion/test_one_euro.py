import json
import math

import numpy as np
import pytest

from editor.motion.one_euro import OneEuro

FPS = 25


def run(steady, values, fps=FPS, **options):
    return np.array([steady(np.atleast_1d(v), i / fps, **options) for i, v in enumerate(values)])


def slow_twin(values, least, slope, fps):
    """The paper's algorithm for one number, written out."""

    def alpha(cutoff):
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau * fps)

    x, dx, out = None, 0.0, []
    for value in values:
        if x is None:
            x = value
        else:
            a = alpha(1.0)
            dx = a * (value - x) * fps + (1 - a) * dx
            a = alpha(least + slope * abs(dx))
            x = a * value + (1 - a) * x
        out.append(x)
    return np.array(out)


def test_it_computes_what_the_paper_says():
    values = np.sin(np.arange(60) / 7) + 0.1 * np.random.default_rng(0).normal(size=60)
    found = run(OneEuro(1.0, 0.5), values)[:, 0]
    np.testing.assert_allclose(found, slow_twin(values, 1.0, 0.5, FPS), rtol=1e-12)


def test_what_stands_still_trembles_less():
    noise = 0.01 * np.random.default_rng(0).normal(size=(200, 4))
    found = run(OneEuro(1.0, 1.0), noise)
    assert found[50:].std() < 0.5 * noise[50:].std()


def test_what_moves_fast_is_followed_closer_than_by_a_filter_without_slope():
    way = np.clip(np.arange(40) - 20, 0, 15) / 5.0  # 5 units a second
    lag = [np.abs(run(OneEuro(1.0, slope), way)[:, 0] - way).max() for slope in (0.0, 8.0)]
    assert lag[1] < 0.15 * lag[0]


def test_points_move_on_straight_lines_between_their_places():
    rng = np.random.default_rng(0)
    steady = OneEuro(1.0, 1.0)
    before = steady(rng.normal(size=3), 0.0)
    for step in range(1, 6):
        target = rng.normal(size=3)
        after = steady(target, step / FPS)
        moved, wanted = after - before, target - before
        assert moved @ wanted == pytest.approx(np.linalg.norm(moved) * np.linalg.norm(wanted))
        before = after


def test_a_unit_twice_as_large_is_a_speed_half_as_large():
    values = np.cumsum(np.random.default_rng(1).normal(size=30))
    np.testing.assert_allclose(
        run(OneEuro(1.0, 2.0), values, unit=2.0), run(OneEuro(1.0, 1.0), values), rtol=1e-12
    )


def test_the_same_moment_again_moves_nothing():
    steady = OneEuro(1.0, 1.0)
    steady(np.zeros(2), 0.0)
    before = steady(np.ones(2), 0.04)
    np.testing.assert_array_equal(steady(np.full(2, 9.0), 0.04), before)


def test_a_remembered_state_goes_on_bit_for_bit():
    values = np.random.default_rng(2).normal(size=(20, 3))
    whole = run(OneEuro(1.0, 1.0), values)
    first, second = OneEuro(1.0, 1.0), OneEuro(1.0, 1.0)
    run(first, values[:12])
    second.recall(json.loads(json.dumps(first.remember())))
    rest = [second(value, i / FPS) for i, value in enumerate(values[12:], 12)]
    np.testing.assert_array_equal(rest, whole[12:])


def test_forgetting_begins_anew():
    steady = OneEuro(1.0, 0.0)
    run(steady, np.zeros(10))
    steady.forget()
    assert steady(np.array([5.0]), 1.0) == 5.0
    assert OneEuro(1.0, 0.0).remember() == {}
