"""Write a folder of edit directions: manifest and tensors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save_file

from inversion.directions.bank import MANIFEST, tensors_of
from inversion.directions.linear import EditDirection
from stylegan2.aside import written_aside
from stylegan2.errors import CheckpointError

FILE = "directions.safetensors"


def save_directions(
    folder: Path,
    edits: Sequence[EditDirection],
    generator_sha256: str,
    *,
    made_by: str,
    force: bool = False,
    about: Mapping[str, str] | None = None,
) -> None:
    """Write `edits` so that `load_directions` reads them; the manifest is whole or not there.

    Args:
        folder: Made where missing; a folder of directions in it is replaced.
        edits: Of one generator, their names all different.
        generator_sha256: Hash of its weights file.
        made_by: Where the edits came from, for people.
        force: Write beside files that are no directions.
        about: What else the manifest says of all of them, by its key: "licence", or what "unit" and
            "effects" mean.

    Raises:
        CheckpointError: `folder` holds something else, or cannot be written.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file() and not force:
            raise CheckpointError(f"{folder}: not empty, and no folder of directions; --force writes into it")
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {key: each for edit in edits for key, each in tensors_of(edit).items()}
        (folder / MANIFEST).unlink(missing_ok=True)
        save_file(tensors, folder / FILE)
        (folder / FILE).chmod(0o644)  # safetensors leaves files that only their owner can read
        manifest = {
            "generator_sha256": generator_sha256,
            "file": FILE,
            "unit": "standard deviations of w along the direction",
            "made_by": made_by,
            **(about or {}),
            "directions": {edit.name: dict(entry_of(edit)) for edit in edits},
        }
        with written_aside(folder / MANIFEST) as partial:
            partial.write_text(yaml.safe_dump(manifest, sort_keys=False, width=120), encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error})") from error


def entry_of(edit: EditDirection) -> Mapping[str, Any]:
    """What a manifest says of an edit."""
    entry: dict[str, Any] = {
        **({"aliases": list(edit.aliases)} if edit.aliases else {}),
        "label": edit.label,
        "group": edit.group,
        "low": edit.low,
        "high": edit.high,
        "sigma": edit.sigma,
        "range": list(edit.range),
        "layers": list(edit.layers),
        "rule": edit.rule,
    }
    if edit.unit:
        entry["unit"] = edit.unit
    if edit.unit_size != 1:
        entry["unit_size"] = edit.unit_size
    if edit.pace:
        entry["pace"] = [list(knot) for knot in edit.pace]
    if edit.zones:
        entry["zones"] = dict(edit.zones)
    if edit.attribute is not None:
        entry["attribute"] = edit.attribute
    if edit.effects:
        entry["effects"] = dict(edit.effects)
    if edit.photo_gains:
        entry["photo_gains"] = dict(edit.photo_gains)
    return entry
