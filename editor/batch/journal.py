"""Journal: what of a batch is done, so that a run that was broken off goes on with the rest."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from editor.errors import BatchError
from stylegan2.aside import write_whole


class Journal:
    """One line of JSON for every photo, or other part of a work, that is done or that failed.

    A line is written when all that belongs to it is on the disk. Half a line, of a run that was killed, is
    not counted, and its photo is done again.

    Args:
        folder: Of the results; made where missing.
        settings: What is done to every photo: a folder takes one kind of work.
        part: Which of several processes this is, from 0; each has a file of its own.
        work: What its files are called.
        advice: What to do where the folder is of other work.

    Raises:
        BatchError: The folder cannot be written, or holds the results of other settings.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        part: int = 0,
        *,
        work: str = "batch",
        advice: str = "name another folder",
    ) -> None:
        file = folder / f"{work}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not file.is_file():
                write_whole(file, (json.dumps(dict(settings), indent=2) + "\n").encode())
            before = json.loads(file.read_text(encoding="utf-8"))
            self._file = folder / f"{work}-{part}.jsonl"
            self._mend()
            self.entries = [entry for path in sorted(folder.glob(f"{work}-*.jsonl")) for entry in _read(path)]
        except (OSError, ValueError) as error:
            raise BatchError(f"{folder}: cannot keep a journal there ({error})") from error
        if before != dict(settings):
            changed = sorted(key for key in {*before, *settings} if before.get(key) != settings.get(key))
            raise BatchError(f"{folder}: holds results of other settings ({', '.join(changed)}); {advice}")

    def done(self, *, failed: bool = True) -> set[str]:
        """Names of the photos that need not be looked at again.

        Args:
            failed: Whether those that failed are among them.
        """
        last = {entry["name"]: entry for entry in self.entries}
        return {name for name, entry in last.items() if failed or "error" not in entry}

    def note(self, entry: Mapping[str, Any]) -> None:
        """Write that a photo is done; on the disk when this returns."""
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(dict(entry)) + "\n")
            out.flush()
            os.fsync(out.fileno())
        self.entries.append(dict(entry))

    def _mend(self) -> None:
        """End the half line of a run that was killed, so that the next line is one of its own."""
        if self._file.is_file():
            text = self._file.read_bytes()
            if text and not text.endswith(b"\n"):
                self._file.write_bytes(text[: text.rfind(b"\n") + 1])


def _read(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:  # half a line, of another process that is at work
            continue
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            found.append(entry)
    return found
