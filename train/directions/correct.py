"""A step of W, corrected by what it is seen to change besides its own attribute."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from train.directions.choice import CLOSE, FOUND_SHARE, STRENGTH, MeasureStep, lengthened
from train.directions.fit import Array

ROUNDS = 3  # of measuring and correcting
SHARE = 0.8  # of a correction that is made: the next is measured anew
RIDGE = 0.1  # of a typical response, below which an answer is taken for noise


def responses(measure_step: MeasureStep, basis: Sequence[Array]) -> Array:
    """What `STRENGTH` times each step of a basis [K, w_dim] changes: effects [K, K]."""
    return np.array([measure_step(STRENGTH * step).effects for step in basis])


def without_side_effects(
    measure_step: MeasureStep, step: Array, basis: Array, answers: Array, attribute: int
) -> Array:
    """The step, less what it changes of other attributes, by the steps that are known to change those.

    A regression says what a small step changes on average of all faces. Far out, and on faces as they are,
    an edit drags along what it did not near the mean; it is measured there, and what it drags along is taken
    back by the other attributes' steps, as Newton's method would. Its own attribute keeps its change.

    Args:
        measure_step: Measures a step.
        step: One unit of strength [w_dim].
        basis: Steps that each change mostly one attribute [K, w_dim].
        answers: What they change, see `responses` [K, K].
        attribute: Column of the step's own attribute.

    Returns:
        The best of all that were measured, by the largest change of another attribute [w_dim].
    """
    wanted, best, least = None, step, np.inf
    ridge = (RIDGE * np.median(np.abs(np.diag(answers)))) ** 2
    solver = answers @ answers.T + ridge * np.eye(len(answers))
    for turn in range(ROUNDS + 1):
        effects = measure_step(STRENGTH * step).effects
        if not np.isfinite(effects).all():
            break
        wanted = effects[attribute] if wanted is None else wanted
        others = np.delete(effects, attribute)
        # Another attribute counts by how much it moves with as much of the own.
        dragged = (
            float(np.abs(others).max() / max(abs(effects[attribute] / wanted), 1e-6)) if len(others) else 0
        )
        if dragged < least:
            best, least = step, dragged
        if turn < ROUNDS:
            missing = -effects
            missing[attribute] += wanted
            step = step + SHARE * np.linalg.solve(solver, answers @ missing) @ basis
    return best


def cleanest_step(
    measure_step: MeasureStep,
    ways: Mapping[float, Array],
    attribute: int,
    wanted: float,
    identity: float = math.nan,
) -> tuple[float, Array] | None:
    """Of several ways to as much change of an attribute, the one that drags the others along least.

    Args:
        measure_step: Measures a step.
        ways: Steps [w_dim], by a number that tells them apart.
        attribute: Column of the attribute that they are for.
        wanted: Its change at `STRENGTH`, from end to end.
        identity: What has to be left of the person there; NaN where that is not measured.

    Returns:
        The way's number, and its step, so long that it changes as much as is wanted; None where none gets
        there without losing faces, or the person.
    """
    chosen, least = None, np.inf
    for number, way in ways.items():
        step, change = lengthened(measure_step, way, attribute, wanted)
        there = abs(change.effects[attribute] / wanted - 1) <= CLOSE and change.found >= FOUND_SHARE
        there = there and not change.identity < identity
        if there and _dragged(change.effects, attribute) < least:
            chosen, least = (number, step), _dragged(change.effects, attribute)
    return chosen


def _dragged(effects: Array, attribute: int) -> float:
    return float(np.abs(np.delete(effects, attribute)).max(initial=0))
