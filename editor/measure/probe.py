"""Probe: draws faces under an edit, measures them, and tells what the edit changes and how far it may go."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from editor.measure.attributes import MEASURED
from editor.photo.colour import Pixels
from inversion.directions.linear import EditDirection, apply_direction
from stylegan2.engines.renderer import Renderer

Array = NDArray[np.float64]
MeasureFace = Callable[[Pixels], Mapping[str, float] | None]
# Pictures [N, R, R, 3], and the zones that they were edited in -> [N].
Tear = Callable[[NDArray[np.uint8], Mapping[str, float]], Array]
END = 1.5  # standard deviations to either side, between which effects are told
FOUND_SHARE = 0.95  # of the edited faces, at the end of a range, must still be found
TRIED = (3.0, 2.5, 2.0, 1.5, 1.2, 1.0, 0.8, 0.5)  # ends of ranges, largest first, in standard deviations
PACED = (0.5, 1.0, 1.5, 2.0)  # standard deviations at which a pace is set, after a look at
LOOKED_AT = (0.4, 0.8, 1.2, 1.7, 2.3)  # these
MOST, LEAST = 1.6, 0.01  # times, at most, does a pace lead as far as the strength says; and it ascends by


@dataclass(frozen=True, kw_only=True)
class End:
    """One end of an edit, on some faces."""

    table: Array  # [N, K], NaN where no face is found
    torn: float  # median distance of the pictures' texture from that of the model's faces, over the usual

    @property
    def found(self) -> float:
        """Share of the faces that are still found."""
        return float(np.mean(~np.isnan(self.table[:, 0])))


class Probe:
    """Measures edits on the same faces each time.

    Args:
        renderer: Draws one latent at a time.
        measure_face: Measures one picture, see `editor.measure.attributes.measure`.
        ws: Of the faces [N, num_ws, w_dim].
        spread: Standard deviations of what is measured [K], in `MEASURED`'s order; None for those of these
            faces.
        tear: How far pictures are from what the model's faces look like, over what is usual [N]; None does
            not look at it.
    """

    def __init__(
        self,
        renderer: Renderer,
        measure_face: MeasureFace,
        ws: Tensor,
        spread: Array | None = None,
        tear: Tear | None = None,
    ) -> None:
        self._renderer, self._measure_face, self._ws, self._tear = renderer, measure_face, ws, tear
        plain = list(draw(renderer, ws))
        self.table, found = measure_faces(plain, measure_face)
        self.spread = np.maximum(self.table[found].std(0), 1e-6) if spread is None else spread

    def checked(self, edit: EditDirection, most: float = TRIED[0]) -> EditDirection:
        """The edit with its effects, and the range that it may honestly have, up to `most` deviations."""
        effects = zip(MEASURED, self.effects(edit), strict=True)
        told = {name: round(float(value), 2) for name, value in effects if np.isfinite(value)}
        return replace(edit, range=self.honest_range(edit, most), effects=told)

    def end(self, edit: EditDirection, strength: float) -> End:
        """The faces at one strength."""
        wide = edit.reaching(abs(strength) / edit.unit_size)
        edited = list(draw(self._renderer, apply_direction(self._ws, wide, strength)))
        table, _ = measure_faces(edited, self._measure_face)
        torn = 0.0 if self._tear is None else float(np.median(self._tear(np.stack(edited), edit.zones)))
        return End(table=table, torn=torn)

    def effects(self, edit: EditDirection) -> Array:
        """Change of every attribute [K] a standard deviation of strength, in its own; NaN without faces."""
        return self.curve(edit)[0]

    def curve(self, edit: EditDirection) -> tuple[Array, Array]:
        """The change of every attribute, in its deviations: by the strength [K], and by its square [K].

        Of the mean over faces from one end to the other, in standard deviations of strength.
        """
        low, high = (self.end(edit, sign * END * edit.unit_size).table - self.table for sign in (-1, 1))
        there = ~np.isnan(low[:, 0] + high[:, 0])
        if not there.any():
            return np.full(len(MEASURED), np.nan), np.full(len(MEASURED), np.nan)
        low, high = (each[there].mean(0) / self.spread for each in (low, high))
        return (high - low) / (2 * END), (high + low) / (2 * END**2)

    def honest_range(self, edit: EditDirection, most: float = TRIED[0]) -> tuple[float, float]:
        """The strengths up to which faces are found, and look like the model's; `most` deviations at most."""
        return self._reach(edit, -1, most), self._reach(edit, 1, most)

    def paced(self, edit: EditDirection) -> EditDirection:
        """The edit with a pace by which equal moves change its own attribute equally, and as the unit says.

        Within limits: by no more than `MOST` times as far as without, or as little; and without a pace where
        the attribute does not change on both sides.
        """
        column = MEASURED.index(edit.attribute or "")
        should = edit.unit_size / float(self.spread[column]) if edit.unit else 1.0
        knots = {0.0: 0.0}
        for sign in (-1, 1):
            reached, at = [0.0], [0.0]
            for size in LOOKED_AT:
                moved = self.end(edit, sign * size * edit.unit_size).table[:, column] - self.table[:, column]
                moved = moved[~np.isnan(moved)]
                change = sign * float(moved.mean()) / self.spread[column] if len(moved) else 0.0
                if change > reached[-1]:
                    reached, at = [*reached, change], [*at, size]
            if len(at) == 1:
                return replace(edit, pace=())
            for size in PACED:
                wanted = float(np.interp(size * should, reached, at))
                wanted = min(max(wanted, size / MOST), size * MOST)
                knots[sign * size] = sign * wanted
        # Two strengths may lead equally far, where all that is there is done; a pace ascends.
        pairs = [(size, knots[size] + LEAST * size) for size in sorted(knots)]
        return replace(edit, pace=tuple((a * edit.unit_size, round(b * edit.unit_size, 4)) for a, b in pairs))

    def _reach(self, edit: EditDirection, sign: int, most: float) -> float:
        for size in (size for size in TRIED if size <= most):
            end = self.end(edit, sign * size * edit.unit_size)
            if end.found >= FOUND_SHARE and end.torn <= 1:
                break
        return sign * size * edit.unit_size


def draw(renderer: Renderer, ws: Tensor) -> Iterable[Pixels]:
    """Pictures [R, R, 3] of styles [N, num_ws, w_dim], one after another."""
    for one in ws.float():
        yield renderer.render(one[None])[0].numpy()


def measure_faces(pictures: Iterable[Pixels], measure_face: MeasureFace) -> tuple[Array, NDArray[np.bool_]]:
    """Measures [N, K] of N pictures, in `MEASURED`'s order, NaN without a face; where one is found [N]."""
    rows = [measure_face(pixels) for pixels in pictures]
    table = np.array([[row[name] if row else np.nan for name in MEASURED] for row in rows])
    return table, ~np.isnan(table[:, 0])
