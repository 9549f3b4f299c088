"""Notebook: what was measured of each face, kept, so that a measurement that was ended goes on."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from editor.batch.journal import Journal
from stylegan2.errors import ConfigError


@dataclass
class Column:
    """One edit in one way, over faces."""

    low: list[float] = field(default_factory=list)  # own attribute at the low end, NaN without a face
    high: list[float] = field(default_factory=list)
    identity: list[float] = field(default_factory=list)
    detail: list[float] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)
    contours: list[float] = field(default_factory=list)
    seam: list[float] = field(default_factory=list)

    def change(self) -> float:
        """Mean way of the own attribute from the low end to the high one."""
        return float(np.nanmean(np.array(self.high) - np.array(self.low)))

    def add(self, other: "Column") -> None:
        """Put another's values behind these."""
        for each in fields(self):
            getattr(self, each.name).extend(getattr(other, each.name))


Columns = dict[str, dict[str, Column]]  # way -> edit
Moves = dict[str, list[float]]  # edit -> PSNR in dB of a slider's smallest steps


@dataclass
class Measured:
    """What was measured of some faces."""

    generated: Columns = field(default_factory=dict)  # of invented ones, truly edited
    truth: Columns = field(default_factory=dict)  # of invented ones, against their true edits
    real: Columns = field(default_factory=dict)  # of photos
    moves: Moves = field(default_factory=dict)
    true_moves: Moves = field(default_factory=dict)

    def add(self, other: "Measured") -> None:
        """Put another's values behind these."""
        for ours, theirs in (
            (self.generated, other.generated),
            (self.truth, other.truth),
            (self.real, other.real),
        ):
            for way, edits in theirs.items():
                for name, column in edits.items():
                    ours.setdefault(way, {}).setdefault(name, Column()).add(column)
        for own, others in ((self.moves, other.moves), (self.true_moves, other.true_moves)):
            for name, values in others.items():
                own.setdefault(name, []).extend(values)


class Notebook:
    """The faces of a measurement in a journal.

    Args:
        folder: The journal's; None keeps nothing.
        settings: Plain values of JSON on which the numbers depend.
        part: Which of several processes this is, from 0; each measures faces of its own.
        parts: How many there are.

    Raises:
        BatchError: The folder cannot be written, or is of other settings.
        ConfigError: It holds something else than faces.
    """

    def __init__(
        self, folder: Path | None, settings: Mapping[str, Any], *, part: int = 0, parts: int = 1
    ) -> None:
        self._part, self._parts = part, parts
        self._journal: Journal | None = None
        self._known: dict[str, Measured] = {}
        if folder is None:
            return
        self._journal = Journal(folder, settings, part, work="faces")
        try:
            for entry in self._journal.entries:
                self._known[entry["name"]] = _measured(entry["found"])
        except (KeyError, TypeError) as error:
            raise ConfigError(f"{folder}: no notebook of this measurement ({error!r})") from error

    def of(self, kind: str, number: int, measure: Callable[[], Measured]) -> Measured:
        """What the notebook says of a face, or what `measure` finds, which is then written down.

        Of a face that is another process's, and not yet known, nothing.
        """
        name = f"{kind} {number}"
        known = self._known.get(name)
        if known is None:
            if number % self._parts != self._part:
                return Measured()
            known = measure()
            if self._journal is not None:
                self._journal.note({"name": name, "found": asdict(known)})
        return known


def _measured(told: Mapping[str, Any]) -> Measured:
    columns = {
        part: {
            way: {name: Column(**each) for name, each in edits.items()} for way, edits in told[part].items()
        }
        for part in ("generated", "truth", "real")
    }
    return Measured(**columns, moves=told["moves"], true_moves=told["true_moves"])
