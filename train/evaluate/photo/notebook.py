"""Notebook: what was measured of each face, kept in a file, so that a measurement that was ended goes on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

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
    """A line of JSON a face; the first line says what was measured by.

    Args:
        file: Begun where it is missing; None keeps nothing.
        settings: Plain values on which the numbers depend.

    Raises:
        ConfigError: The file is no notebook, or of other settings.
    """

    def __init__(self, file: Path | None, settings: Mapping[str, Any]) -> None:
        self._file = file
        self._known: dict[tuple[str, int], Measured] = {}
        if file is None:
            return
        wanted = json.dumps(settings, sort_keys=True)
        if not file.exists():
            file.write_text(wanted + "\n", encoding="utf-8")
            return
        text = file.read_text(encoding="utf-8")
        first, *lines = text.splitlines()[: text.count("\n")]  # what was killed within its last line lacks it
        if first != wanted:
            raise ConfigError(f"{file}: begun with other settings, {first}; must be {wanted}")
        try:
            for line in lines:
                told = json.loads(line)
                self._known[told["kind"], told["number"]] = _measured(told["found"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{file}: no notebook of this measurement ({error})") from error
        file.write_text("\n".join([first, *lines, ""]), encoding="utf-8")

    def of(self, kind: str, number: int, measure: Callable[[], Measured]) -> Measured:
        """What the notebook says of a face, or what `measure` finds, which is then written down."""
        known = self._known.get((kind, number))
        if known is None:
            known = measure()
            if self._file is not None:
                line = json.dumps({"kind": kind, "number": number, "found": asdict(known)})
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
        return known


def _measured(told: Mapping[str, Any]) -> Measured:
    columns = {
        part: {
            way: {name: Column(**each) for name, each in edits.items()} for way, edits in told[part].items()
        }
        for part in ("generated", "truth", "real")
    }
    return Measured(**columns, moves=told["moves"], true_moves=told["true_moves"])
