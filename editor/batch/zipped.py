"""Photos that somebody sends, loose or in zips, and the zip of what came of them."""

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path, PurePosixPath

from editor.batch.run import BatchWork, Done, Report, edited_photo, result_name
from editor.batch.sources import Item
from editor.errors import BatchError, ImageInputError
from editor.photo.reading import SUFFIXES
from editor.photo_editing import encode
from editor.pipeline import Editor
from stylegan2.errors import StyleGANError

MOST_PHOTOS = 200
MOST_BYTES = 300_000_000  # of all photos together, as zips unpack to them
MOST_PHOTO = 30_000_000  # of one
MOST_RESULT = 1_000_000_000  # of the results together
ERRORS = "errors.txt"
_DIRECTORY = 1_000_000  # bytes of a zip's list of its files
_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"|?*\\/]')  # in names of files, somewhere
_END = struct.Struct("<4s4H2LH")


def sent_items(files: Sequence[Path]) -> list[Item]:
    """The photos among files that were sent, in order; of zips those of their files that end like photos.

    Nothing is unpacked here, and of names in zips only the last part counts.

    Args:
        files: Loose photos, and zips.

    Raises:
        BatchError: There is no photo, there are too many or too large ones, or a zip is damaged.
    """
    found: list[tuple[Item, int]] = []
    for file in files:
        if file.suffix.lower() == ".zip":
            found += _of_zip(file)
        else:
            found.append((Item(file.name, file.read_bytes), file.stat().st_size))
    if not 1 <= len(found) <= MOST_PHOTOS:
        raise BatchError(f"photos: got {len(found)}; 1 to {MOST_PHOTOS} are taken at once")
    if sum(size for _, size in found) > MOST_BYTES:
        total = sum(size for _, size in found) / 1e6
        raise BatchError(f"photos: {total:,.0f} MB together; at most {MOST_BYTES // 10**6} MB are taken")
    large = [item.name for item, size in found if size > MOST_PHOTO]
    if large:
        raise BatchError(f"photos: {large[0]} is larger than {MOST_PHOTO // 10**6} MB")
    return [item for item, _ in found]


def run_zipped(
    editor: Editor,
    items: Iterable[Item],
    work: BatchWork,
    out: Path,
    *,
    turn: Callable[[], AbstractContextManager[None]],
    stopped: Callable[[], bool] = lambda: False,
    report: Report = lambda line: None,
) -> Done:
    """Edit photos into a zip, under their own names; one that cannot be edited is told of in `ERRORS`.

    Args:
        editor: Does the work.
        items: The photos.
        work: What is done to each; its folders are not looked at.
        out: The zip to be written.
        turn: Held while a photo is edited.
        stopped: Asked before every photo.
        report: Told a line for every photo.

    Raises:
        DirectionError: An edit or a space that there is none of.
        StrengthError: A strength beyond its range.
    """
    editor.directions.joined(work.own).check(work.strengths)
    waiting, names, errors = list(items), set[str](), list[str]()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as results:
        for count, item in enumerate(waiting, 1):
            if stopped():
                break
            try:
                if out.stat().st_size > MOST_RESULT:
                    raise BatchError("the zip is full already; edit fewer photos at once")
                with turn():
                    data, kind = encode(editor, edited_photo(editor, item, work))
                name = _unused(_FORBIDDEN.sub("_", result_name(item.name, kind).name), names)
                results.writestr(name, data)
                report(f"{count} of {len(waiting)}: {item.name} done")
            except (StyleGANError, OSError) as error:
                # The system's own words would name folders of this machine.
                words = str(error) if isinstance(error, StyleGANError) else "cannot be read or written"
                errors.append(f"{item.name}: {' '.join(words.split())}")
                report(f"{count} of {len(waiting)}: {errors[-1]}")
        if errors:
            results.writestr(ERRORS, "\n".join(errors) + "\n")
    return Done(edited=len(names), failed=len(errors), before=0)


def _unused(name: str, names: set[str]) -> str:
    """The name, or a numbered one where it is taken or would hide the errors; it is taken from now on."""
    path, chosen, number = PurePosixPath(name), name, 1
    while chosen.lower() in names or chosen.lower() == ERRORS:
        number += 1
        chosen = f"{path.stem} ({number}){path.suffix}"
    names.add(chosen.lower())
    return chosen


def _of_zip(file: Path) -> list[tuple[Item, int]]:
    """Photos of a zip, and their unpacked sizes, as its directory says them; no more is ever unpacked."""
    _check_directory(file)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, struct.error) as error:
        raise BatchError(f"{file.name}: no zip that can be read ({error})") from error
    found = []
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not member.is_dir():
            found.append((Item(path.name, partial(_unpacked, file, member)), member.file_size))
    return found


def _check_directory(file: Path) -> None:
    """Refuse a zip whose list of files is so long that reading that alone would take much memory."""
    with file.open("rb") as archive:
        archive.seek(max(0, file.stat().st_size - 2**16 - _END.size - 20))
        tail = archive.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + _END.size:
        raise BatchError(f"{file.name}: no zip that can be read (it has no end)")
    size = _END.unpack_from(tail, place)[5]
    if size > _DIRECTORY or tail[max(0, place - 20) : place].startswith(b"PK\x06\x07"):
        raise BatchError(f"{file.name}: a zip of too many files; at most {MOST_PHOTOS} photos are taken")


def _unpacked(file: Path, member: zipfile.ZipInfo) -> bytes:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.read(member)
    except (
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,
        EOFError,
    ) as error:  # damaged, or locked by a password
        raise ImageInputError(f"photo: cannot be unpacked ({error})") from error
