"""run_batch: edit many photos, one after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from editor.batch.journal import Journal
from editor.batch.latents import FACES, LatentShards
from editor.batch.sources import Item
from editor.errors import BatchError
from editor.model.opening import model_of_results
from editor.photo.writing.saving import Kind
from editor.photo_editing import edited_session, encode
from editor.photo_session import PhotoSession
from editor.pipeline import Editor
from inversion.directions.bank import DirectionBank
from stylegan2.aside import write_whole
from stylegan2.errors import StyleGANError

Report = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class BatchWork:
    """What is done to every photo."""

    strengths: Mapping[str, float]  # direction -> strength, in its unit
    every_face: bool = False  # of each photo; False: the largest that can be edited
    space: str | None = None  # "w", "w+" or "f"; None for the most faithful
    steps: int = 0  # of optimisation, in each space
    out: Path | None = None  # folder of edited photos
    latents: Path | None = None  # folder of latents
    own: DirectionBank = field(default_factory=lambda: DirectionBank({}))  # further edits, as a visitor has

    def settings(self, editor: Editor) -> dict[str, Any]:
        """What a folder of results is of, as plain values."""
        told = {
            "strengths": dict(self.strengths),
            "every_face": self.every_face,
            "space": self.space,
            "steps": self.steps,
        }
        return {
            "model": model_of_results(editor.sha256, editor.generator),
            **told,
            "latents": self.latents is not None,
        }


@dataclass(frozen=True)
class Done:
    """How a batch went."""

    edited: int  # photos of this run
    failed: int
    before: int  # photos that an earlier run had done


def run_batch(
    editor: Editor,
    items: Sequence[Item],
    work: BatchWork,
    *,
    part: tuple[int, int] = (0, 1),
    again: bool = False,
    report: Report = lambda line: None,
) -> Done:
    """Edit photos; a photo that cannot be edited is noted, and does not end the run.

    Every result is on the disk before the journal says so. So a run that is killed has done what its journal
    says, and the same call goes on with the rest.

    Args:
        editor: Does the work.
        items: The photos.
        work: What is done to each.
        part: (i, n): do the i-th of n parts, from 0, as one of n processes.
        again: Try again what failed before.
        report: Told a line for every photo.

    Raises:
        BatchError: A folder cannot be written, or holds results of other settings.
        DirectionError: An edit or a space that there is none of.
        StrengthError: A strength beyond its range.
    """
    editor.directions.check(work.strengths)
    number, of = part
    home = work.out or work.latents
    if home is None:
        raise BatchError("out and latents: both are missing; name a folder for one of them")
    journal = Journal(home, work.settings(editor), number)
    mine, done = items[number::of], journal.done(failed=not again)
    left = [item for item in mine if item.name not in done]
    shards = None
    if work.latents is not None:
        known = {entry["latents"] for entry in journal.entries if "latents" in entry}
        shards = LatentShards(work.latents, number, {"generator": editor.sha256}, known)
    waiting: list[dict[str, Any]] = []  # done, but for the shard that their latents are to be in
    edited = failed = 0
    for count, item in enumerate(left, 1):
        entry: dict[str, Any] = {"name": item.name}
        try:
            entry |= _edited(editor, item, work, shards)
            edited += 1
        except (StyleGANError, OSError) as error:
            entry["error"] = " ".join(str(error).split())
            failed += 1
        waiting.append(entry)
        report(f"{count}/{len(left)} {item.name}: {entry.get('error') or 'done'}")
        if shards is None or len(shards) >= FACES:
            _note(journal, waiting, shards)
    _note(journal, waiting, shards)
    return Done(edited, failed, before=len(mine) - len(left))


def _note(journal: Journal, waiting: list[dict[str, Any]], shards: LatentShards | None) -> None:
    file = None if shards is None else shards.write()
    for entry in waiting:
        journal.note(entry if file is None or "error" in entry else {**entry, "latents": file})
    waiting.clear()


def edited_photo(editor: Editor, item: Item, work: BatchWork) -> PhotoSession:
    """One photo with its edits; raises as `Editor.open_photo` and `edited_session`."""
    photo = editor.open_photo(item.read())
    usable = [face.number for face in photo.faces if face.cropped is not None]
    numbers = usable if work.every_face else [photo.first]
    sessions = {
        number: edited_session(
            editor,
            replace(editor.invert(photo, number), own=work.own),
            work.strengths,
            space=work.space,
            steps=work.steps,
        )
        for number in numbers
    }
    return PhotoSession(photo=photo, sessions=sessions, chosen=numbers[0])


def result_name(name: str, kind: Kind) -> PurePosixPath:
    """What the edited photo of this name is called, as a file of this kind."""
    path, suffix = PurePosixPath(name), {"jpeg": ".jpg"}.get(kind, f".{kind}")
    # The old ending stays in the name where two photos would share one otherwise.
    return path if path.suffix.lower() in (suffix, f".{kind}") else PurePosixPath(f"{path}{suffix}")


def _edited(editor: Editor, item: Item, work: BatchWork, shards: LatentShards | None) -> dict[str, Any]:
    """Edit one photo and write it; what the journal says of it."""
    opened = edited_photo(editor, item, work)
    entry: dict[str, Any] = {"faces": list(opened.sessions)}
    if work.out is not None:
        data, kind = encode(editor, opened)
        name = result_name(item.name, kind)
        file = work.out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, data)
        entry["out"] = str(name)
    if shards is not None:
        shards.add(item.name, list(opened.sessions.values()))
    return entry
