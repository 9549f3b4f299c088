"""Edits of one's own from the shell: `python -m train directions --own KIND ...`."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image

from editor.own.maker import OwnEdits, Tell
from editor.pipeline import Editor, open_editor
from inversion.directions.errors import DirectionError
from inversion.directions.linear import EditDirection
from inversion.directions.sharing import SUFFIX, shared_edit
from stylegan2.errors import ConfigError

# Kind -> what follows it.
KINDS = {
    "faces": "FOLDER: writes 20 invented faces to be rated, and a ratings.csv to be filled in",
    "list": "FILE.csv, with the columns file and rating",
    "folders": "MORE LESS, two folders of pictures",
    "factor": "NUMBER, of SeFa",
    "component": "NUMBER, of GANSpace",
    "channel": "X Y [RANK], a place of the crop, 0 to 1",
}
LIST = "ratings.csv"
T = TypeVar("T")


def make_own(
    model: str | Path, words: Sequence[str], name: str, out: Path | None, report: Callable[[str], None]
) -> None:
    """Make an edit and write it as one file, or write the faces that one is made from.

    Args:
        model: A bundle's folder or weights file.
        words: Kind, and what follows it.
        name: What to call the edit; empty for its own name.
        out: File to write; None for one of the edit's name, here.
        report: Receives a line per event.

    Raises:
        ConfigError: An unknown kind, or something else follows it.
        StyleGANError: As `OwnEdits`.
    """
    kind, *rest = words
    if kind not in KINDS:
        raise ConfigError(f"--own: {kind!r}; must be one of {', '.join(KINDS)}")
    editor = open_editor(model)
    editor.prepare()
    try:
        own = OwnEdits(editor)
        if kind == "faces":
            report(_written(own, Path(*_fitting(kind, rest, 1))))
            return
        edit = own.named(_made(own, kind, rest, name, lambda line: None), name, editor.directions)
        file = out or Path(edit.name.removeprefix("own-") + SUFFIX)
        file.write_bytes(shared_edit(edit, editor.sha256))
        report(f"{file}: {edit.label}, {edit.range[0]:g} to {edit.range[1]:g}; {_effects(editor, edit)}")
    finally:
        editor.detector.close()


def _made(own: OwnEdits, kind: str, rest: Sequence[str], name: str, tell: Tell) -> EditDirection:
    if kind == "list":
        return own.of_list(name, Path(*_fitting(kind, rest, 1)), tell)
    if kind == "folders":
        more, less = _fitting(kind, rest, 2)
        return own.of_folders(name, Path(more), Path(less), tell)
    try:
        numbers = [float(word) for word in rest]
    except ValueError:
        raise ConfigError(f"--own {kind}: {' '.join(rest)!r}; must be followed by {KINDS[kind]}") from None
    if kind == "channel":
        x, y, *rank = _fitting(kind, numbers, 2, 3)
        return own.channel(x, y, int(rank[0]) if rank else 1, tell)
    (number,) = _fitting(kind, numbers, 1)
    return own.component(int(number), tell) if kind == "component" else own.factor(int(number), tell)


def _written(own: OwnEdits, folder: Path) -> str:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DirectionError(f"{folder}: there already; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    faces = own.faces(0)
    with (folder / LIST).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "rating"])
        for number, face in enumerate(faces, 1):
            Image.fromarray(face.pixels).save(folder / f"{number:02}.png")
            rows.writerow([f"{number:02}.png", ""])
    made = f"python -m train directions --own list {folder / LIST}"
    return f"{folder}: {len(faces)} faces; fill in {LIST}, then {made}"


def _effects(editor: Editor, edit: EditDirection) -> str:
    known = sorted(edit.effects.items(), key=lambda item: -abs(item[1]))[:5]
    return ", ".join(f"{name} {change:+.2f}" for name, change in known) or f"{editor.card.name}: not measured"


def _fitting(kind: str, rest: Sequence[T], *counts: int) -> Sequence[T]:
    if len(rest) not in counts:
        raise ConfigError(f"--own {kind}: {len(rest)} words; must be followed by {KINDS[kind]}")
    return rest
