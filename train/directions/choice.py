"""Of several ways to the same edit, the one that leaves the person most alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from train.directions.fit import Array

STRENGTH = 2.0  # units to either side, at which ways are compared
CLOSE = 0.05  # share by which an edit may differ from what it shall change
CORRECTIONS = 3  # of a step's length, since attributes do not change in proportion to it
# Share of the edit's change that another attribute may change by, or as much as on the plain way.
LEAK = 1 / 3
CONTROL_LEAK = 1 / 5  # the same for what no edit is about
FOUND_SHARE = 0.95  # of the edited faces, at the ends of a range, must still be found


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a step of W does to some faces, moved by it to either side."""

    effects: Array  # mean change of the attributes [K] from end to end; NaN without faces at both
    found: float  # share of the ends in which a face is found
    identity: float  # median cosine of the ends with the face between them; NaN where it is not measured


MeasureStep = Callable[[Array], Change]  # a step [w_dim]


def gentlest_step(
    measure_step: MeasureStep,
    plain: Array,
    others: Mapping[float, Array],
    attribute: int,
    controls: Sequence[int] = (),
) -> tuple[float, Array]:
    """The step that changes an attribute as much as the plain one, and the person least.

    Every other way is lengthened until, at `STRENGTH`, it changes the attribute as the plain step does; what
    does not get there, loses faces, drags another attribute along (`LEAK`, `CONTROL_LEAK`) or does not keep
    more of the identity is passed over.

    Args:
        measure_step: Measures a step.
        plain: One unit of strength along the plain direction [w_dim].
        others: Other ways, by the weight of identity that they were found with.
        attribute: Column of the edit's own attribute.
        controls: Columns of the attributes that no edit is about.

    Returns:
        The weight of identity, 0 for the plain way, and one unit of strength along it [w_dim].
    """
    if not others:
        return 0.0, plain
    reference = measure_step(STRENGTH * plain)
    wanted, chosen, kept = reference.effects[attribute], (0.0, plain), reference.identity
    limits = np.full(len(reference.effects), LEAK)
    limits[list(controls)] = CONTROL_LEAK
    limits[attribute] = np.inf
    limits = np.maximum(limits, np.abs(reference.effects / wanted))
    for weight, other in others.items():
        step, change = lengthened(measure_step, other, attribute, wanted)
        reached = change.effects[attribute] / wanted
        alike = abs(reached - 1) <= CLOSE and bool(np.all(np.abs(change.effects / wanted) <= limits))
        if alike and change.found >= FOUND_SHARE and change.identity > kept:
            chosen, kept = (weight, step), change.identity
    return chosen


def lengthened(measure_step: MeasureStep, step: Array, attribute: int, wanted: float) -> tuple[Array, Change]:
    """The step, made so long that at `STRENGTH` it changes an attribute as much as is wanted.

    Args:
        measure_step: Measures a step.
        step: In the right direction [w_dim].
        attribute: Column of the attribute.
        wanted: Change from end to end.

    Returns:
        The step [w_dim], and what it changes at `STRENGTH`: as much as is wanted, within `CLOSE`, where few
        corrections get there.
    """
    for turn in range(1 + CORRECTIONS):
        change = measure_step(STRENGTH * step)
        reached = change.effects[attribute] / wanted
        if turn == CORRECTIONS or not reached > 0 or abs(reached - 1) <= CLOSE:
            break
        step = step / reached
    return step, change
