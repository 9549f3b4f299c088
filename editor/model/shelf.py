"""ModelShelf: models that can be opened by a name: bundled, recent, and found on this disk."""

import contextlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from editor.model.source import BUNDLED, WEIGHTS, bundled_models
from stylegan2.aside import write_whole
from stylegan2.bundle.folder import BUNDLE_FILE
from stylegan2.engines.cache import cache_folder

RECENT_FILE = "recent-models.json"  # in the user's cache folder
MOST_RECENT, MOST_FOUND = 8, 24
_LOOKED_AT = 400  # entries of a folder
_LONGEST = 4096  # characters of a name or path
_LARGEST = 100_000  # bytes of the file of recent models


@dataclass(frozen=True)
class KnownModel:
    """A model that can be opened."""

    name: str  # as its card says, or as its file is called
    source: str  # what `resolve_model` takes
    origin: Literal["bundled", "recent", "found"]


class ModelShelf:
    """Knows models by name.

    What is found is found by names of files and folders alone: nothing is opened, so a file that is no model
    may be among them. Recent models are those that this user of this machine opened, in whatever page.

    Args:
        places: Folders that may hold models; None for the current one and `models` in it.
        folder: Where recent models are kept; None for the user's cache folder.
    """

    def __init__(self, places: Sequence[Path] | None = None, folder: Path | None = None) -> None:
        self._places = [Path.cwd(), Path.cwd() / "models"] if places is None else list(places)
        self._downloads = _downloads() if places is None else []
        self._file = (cache_folder() if folder is None else folder) / RECENT_FILE
        self._lock = threading.Lock()

    def known(self) -> list[KnownModel]:
        """Bundled models, recent ones, the newest first, and those that are found; each once."""
        listed: dict[str, KnownModel] = {}
        for name, path in bundled_models().items():
            listed[str(path)] = KnownModel(name, name, "bundled")
        for name, source in self._recent():
            if not Path(source).is_absolute() or Path(source).exists():
                listed.setdefault(source, KnownModel(name, source, "recent"))
        found = (each for each in self._found() if each.source not in listed)
        return [*listed.values(), *islice(found, MOST_FOUND)]

    def source_of(self, text: str) -> str:
        """What `resolve_model` takes for a name as a card or the list says it; any other text as it is."""
        name = text.strip()
        if Path(os.path.expanduser(name)).exists():
            return name
        return next((model.source for model in self.known() if model.name == name), name)

    def note(self, name: str, source: str) -> None:
        """Remember that a model was opened; where that cannot be written, it is forgotten."""
        path = Path(os.path.expanduser(source.strip()))
        kept = str(path.resolve()) if path.exists() else source.strip()
        bundled = bundled_models()
        if kept in (BUNDLED, *bundled) or Path(kept) in bundled.values():
            return
        with self._lock, contextlib.suppress(OSError):
            others = [each for each in self._recent() if each[1] != kept]
            text = json.dumps([(name, kept), *others][:MOST_RECENT], indent=1)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._file, text.encode())

    def _recent(self) -> list[tuple[str, str]]:
        try:
            with self._file.open("rb") as file:
                entries = json.loads(file.read(_LARGEST))
        except (OSError, ValueError):  # none yet, or not ours
            return []
        if not isinstance(entries, list):
            return []
        return [(entry[0], entry[1]) for entry in entries[:MOST_RECENT] if _is_entry(entry)]

    def _found(self) -> Iterator[KnownModel]:
        for place in self._places:
            for path in _models_in(place):
                yield KnownModel(path.name, str(path), "found")
        for place, prefix, inside in self._downloads:
            yield from _downloaded(place, prefix, inside)


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 2
        and all(isinstance(text, str) and 0 < len(text) <= _LONGEST for text in entry)
    )


def _downloads() -> list[tuple[Path, str, str]]:
    """Folders of downloaded repositories; how theirs begin; and what lies between them and their commits."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return [(cache_folder() / "models", "", ""), (Path(HF_HUB_CACHE), "models--", "snapshots")]


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, by name; nothing where it cannot be read."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in islice(entries, _LOOKED_AT) if entry.name[0] != ".")
    return []


def _models_in(folder: Path) -> Iterator[Path]:
    """Bundles and weights files that lie in a folder, in none below it."""
    for path in _entries(folder):
        if path.is_file() if path.suffix.lower() in WEIGHTS else (path / BUNDLE_FILE).is_file():
            yield path.absolute()


def _downloaded(place: Path, prefix: str, inside: str) -> Iterator[KnownModel]:
    """Repositories on this disk, which open without a network: a bundle, or a single weights file."""
    for folder in _entries(place):
        name = folder.name.removeprefix(prefix).replace("--", "/", 1)
        if not folder.name.startswith(prefix) or "/" not in name:
            continue
        model = _newest(_entries(folder / inside))
        if model is not None:
            yield KnownModel(name, str(model), "found")


def _newest(commits: Iterable[Path]) -> Path | None:
    for commit in sorted(commits, key=_changed, reverse=True):
        if (commit / BUNDLE_FILE).is_file():
            return commit
        models = list(_models_in(commit))
        if len(models) == 1:
            return models[0]
    return None


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone meanwhile
        return 0.0
