"""OneEuro: steady where little moves, without lag where much does."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

_SPEED_CUTOFF = 1.0  # Hz, of the speed itself


class OneEuro:
    """The 1 EUR filter (Casiez, Roussel and Vogel, CHI 2012, doi:10.1145/2207676.2208639) of a vector.

    A first-order low-pass whose cutoff grows with the speed of what it follows:

        fc = least + slope |dx|,   a = 1 / (1 + 1 / (2 pi fc dt)),   x_hat = a x + (1 - a) x_hat

    with dx the speed, smoothed likewise at 1 Hz. One cutoff serves all components, so that a point moves on
    a straight line between two of its places.

    Args:
        least: Cutoff of what stands still, Hz.
        slope: Hz of cutoff for each unit a second.
    """

    def __init__(self, least: float, slope: float) -> None:
        self._least, self._slope = least, slope
        self._x: Values | None = None
        self._speed: Values | None = None
        self._seconds = 0.0

    def __call__(self, x: Values, seconds: float, unit: float = 1.0) -> Values:
        """The steadied value; where no time has passed, the last one.

        Args:
            x: [K], at this time.
            seconds: From any start.
            unit: How much of `x` is a unit of speed.
        """
        x = np.asarray(x, np.float64)
        if self._x is None or self._speed is None:
            self._x, self._speed, self._seconds = x, np.zeros_like(x), seconds
            return x
        step = max(seconds - self._seconds, 0.0)
        if step > 0:
            speed = (x - self._x) / step
            self._speed = self._speed + _share(_SPEED_CUTOFF, step) * (speed - self._speed)
        cutoff = self._least + self._slope * float(np.linalg.norm(self._speed)) / unit
        self._x = self._x + _share(cutoff, step) * (x - self._x)
        self._seconds = seconds
        return self._x

    def forget(self) -> None:
        """Begin anew with the next value."""
        self._x = self._speed = None

    def remember(self) -> dict[str, Any]:
        """Its state as plain values, for `recall`."""
        if self._x is None or self._speed is None:
            return {}
        return {"x": self._x.tolist(), "speed": self._speed.tolist(), "seconds": self._seconds}

    def recall(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `remember` told."""
        self.forget()
        if state:
            self._x, self._speed = np.array(state["x"]), np.array(state["speed"])
            self._seconds = float(state["seconds"])


def _share(cutoff: float, step: float) -> float:
    """Of a new value, `step` seconds after the last one, under a cutoff in Hz."""
    if step <= 0:
        return 0.0
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))
