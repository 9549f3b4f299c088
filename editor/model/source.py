"""Where a model comes from: the bundled one, a path, or a repository of Hugging Face."""

import os
import re
from pathlib import Path

from editor.errors import ModelSourceError
from editor.model.hub import Report, Repository
from stylegan2.bundle.folder import BUNDLE_FILE
from stylegan2.bundle.opening import DEFAULT_BUNDLE

BUNDLED = "bundled"
WEIGHTS = (".safetensors", ".pt", ".pth", ".pkl", ".ckpt")  # endings that weights files have there
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:/[\w./-]+)?")
_LISTED = 8  # file names in a message


def bundled_models() -> dict[str, Path]:
    """The bundles that come with the project, by the names that their cards say; the usual one first."""
    folders = sorted(path.parent for path in DEFAULT_BUNDLE.parent.glob(f"*/{BUNDLE_FILE}"))
    return {path.name: path for path in sorted(folders, key=lambda path: path != DEFAULT_BUNDLE)}


def resolve_model(
    text: str | Path,
    report: Report | None = None,
    *,
    endpoint: str | None = None,
    folder: Path | None = None,
) -> Path:
    """The folder or file of a model on this disk; downloads it where `text` names a repository.

    What exists on this disk under the name `text` goes before a repository of that name.

    Args:
        text: "bundled", the name of a bundled model, a path, or a repository "owner/name", also with a file:
            "owner/name/folder/file.pt".
        report: Told how the download goes.
        endpoint: Of Hugging Face, or of a mirror; None for the usual one.
        folder: Where downloads are kept; None for the user's cache folder.

    Raises:
        ModelSourceError: There is nothing under this name, or it cannot be reached, in one sentence.
    """
    name = str(text).strip()
    if not name or name == BUNDLED:
        return DEFAULT_BUNDLE
    path = Path(os.path.expanduser(name))  # leaves ~ where the user has no home
    if path.exists():
        return path
    if name in bundled_models():
        return bundled_models()[name]
    looks_local = path.is_absolute() or name.startswith((".", "~")) or "\\" in name
    if looks_local or not _REPOSITORY.fullmatch(name) or ".." in name:
        raise ModelSourceError(
            f"{name}: no such file or folder; name one, or a Hugging Face repository as owner/name"
        )
    owner, repository, *inside = name.split("/")
    found = Repository(f"{owner}/{repository}", report or _silent, endpoint=endpoint, folder=folder)
    if inside:
        return found.fetch("/".join(inside))
    if BUNDLE_FILE in found.files:
        parts = [file for file in found.files if file.endswith(".safetensors") and "/" not in file]
        return found.fetch_all([*parts, BUNDLE_FILE])
    weights = [file for file in found.files if file.lower().endswith(WEIGHTS)]
    if len(weights) != 1:
        shown = ", ".join(weights[:_LISTED]) or f"none that ends in {', '.join(WEIGHTS)}"
        raise ModelSourceError(
            f"{found.repo_id}: has {len(weights)} weights files ({shown}); name one as {found.repo_id}/FILE"
        )
    return found.fetch(weights[0])


def _silent(_: str) -> None:
    pass
