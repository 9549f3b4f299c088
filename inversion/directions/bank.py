"""DirectionBank: reads and validates a folder of edit directions."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from inversion.directions.errors import DirectionError
from inversion.directions.linear import EditDirection, apply_direction, check_strength
from inversion.directions.zones import check_zones
from stylegan2.bundle.checkpoint import read_safetensors
from stylegan2.checks import check_finite
from stylegan2.engines.cache import cache_folder
from stylegan2.errors import CheckpointError
from stylegan2.reading.listing import read_listing

MANIFEST = "manifest.yaml"
DIRECTIONS_ROOT = Path(__file__).resolve().parents[2] / "directions"
UNIT_TOLERANCE = 1e-3  # half precision on disk
MEAN = "{}.mean"  # tensor beside the direction of this name, where its rule is absolute
BEND = "{}.bend"  # likewise, where its way is not straight
TARGET = "{}.target"  # likewise, where it leads to a place
RULES = ("offset", "absolute", "mix")  # see `apply_direction`; a manifest that says neither means the first


class DirectionBank(Mapping[str, EditDirection]):
    """The edits of one generator, by name, in the manifest's order; aliases are understood and not listed."""

    def __init__(self, directions: Mapping[str, EditDirection]) -> None:
        self._directions = dict(directions)
        aliases = {alias: edit for edit in self._directions.values() for alias in edit.aliases}
        self._known = {**aliases, **self._directions}

    def __getitem__(self, name: str) -> EditDirection:
        """The direction called `name`.

        Raises:
            DirectionError: There is none.
        """
        if name not in self._known:
            have = ", ".join(sorted(self._directions)) or "none"
            raise DirectionError(f"no direction {name!r}; have: {have}")
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a direction called `name`."""
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        """Names in the manifest's order."""
        return iter(self._directions)

    def __len__(self) -> int:
        """Number of directions."""
        return len(self._directions)

    def joined(self, other: "DirectionBank") -> "DirectionBank":
        """These edits, and after them those of another bank, which come first where names are equal."""
        return DirectionBank({**self._directions, **other}) if len(other) else self

    def on_photos(self, space: str) -> "DirectionBank":
        """The same edits, each as many times as long as it has to be on a photo in this space.

        Those that go to a place, and not so much farther, stay as they are.
        """
        return DirectionBank(
            {
                name: edit if edit.is_place else edit.lengthened(edit.photo_gains.get(space, 1.0))
                for name, edit in self._directions.items()
            }
        )

    def check(self, strengths: Mapping[str, float]) -> dict[str, float]:
        """`strengths` by the directions' own names, every name known and every number in range.

        Raises:
            DirectionError: An unknown name, or a direction that is named twice.
            StrengthError: A strength that is not a number in the direction's range.
        """
        found: dict[str, float] = {}
        for name, value in strengths.items():
            edit = self[name]
            if edit.name in found:
                raise DirectionError(f"direction {edit.name!r}: named twice, once as an alias")
            found[edit.name] = check_strength(edit, value)
        return found

    def apply(self, ws: Tensor, strengths: Mapping[str, float], measured: Tensor | None = None) -> Tensor:
        """Move `ws` [N, num_ws, w_dim] along each named direction by its strength.

        Where one of them is limited to zones, the answer is styles of zones [N, Z, num_ws, w_dim].

        Coordinates of the absolute rule are those of the unedited styles, so that edits commute: of
        `measured`, or of `ws` where that is None.

        Raises:
            DirectionError: An unknown name.
            StrengthError: A strength that is not a number in the direction's range.
        """
        edited = ws
        for name, strength in strengths.items():
            edited = apply_direction(
                edited, self[name], strength, measured=ws if measured is None else measured
            )
        return edited

    def split(self, strengths: Mapping[str, float], num_ws: int) -> tuple[Tensor | None, dict[str, float]]:
        """What the named directions that move w as a whole do to it [1, w_dim], and the other strengths.

        The first is None where no such direction is used.

        Raises:
            DirectionError: An unknown name.
            StrengthError: A strength that is not a number in the direction's range.
        """
        offset, rest = None, {}
        for name, strength in self.check(strengths).items():
            edit = self[name]
            if not edit.moves_w(num_ws):
                rest[name] = strength
            elif strength != 0:
                step = strength * edit.sigma * edit.direction[None]
                offset = step if offset is None else offset + step
        return offset, rest


def load_directions(folder: str | Path, generator_sha256: str, w_dim: int, num_ws: int) -> DirectionBank:
    """Read the manifest in `folder`; it must have been made for the generator with this hash.

    Args:
        folder: Holds `manifest.yaml` and the safetensors file that it names.
        generator_sha256: Hash of the generator's weights file.
        w_dim: Width of its styles.
        num_ws: Number of its styles.

    Raises:
        CheckpointError: Missing or damaged files, or a direction that is not of unit norm and this width.
        DirectionError: The directions belong to another generator.
    """
    file = Path(folder) / MANIFEST
    manifest = _read_manifest(file)
    owner = str(manifest.get("generator_sha256", ""))
    if owner != generator_sha256:
        raise DirectionError(
            f"{file}: made for generator {owner[:12] or 'unknown'}..., not for {generator_sha256[:12]}...; "
            "directions of one generator mean nothing in another"
        )
    weights = file.parent / Path(str(manifest.get("file"))).name
    tensors = read_safetensors(weights)
    check_finite(str(weights), tensors)
    try:
        entries = {
            name: read_direction(name, entry, tensors, num_ws)
            for name, entry in manifest["directions"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{file}: damaged or incomplete: {type(error).__name__}: {error}") from error
    for entry in entries.values():
        check_direction(str(file), entry, w_dim, num_ws)
    return DirectionBank(entries)


def _check_pace(name: str, pace: Sequence[tuple[float, float]]) -> None:
    ascending = all(a < c and b < d for (a, b), (c, d) in pairwise(pace))
    if pace and not (ascending and (0, 0) in pace and len(pace) > 1 and np.isfinite(pace).all()):
        raise ValueError(f"{name}: pace {list(pace)}; must ascend through (0, 0)")


def check_direction(file: str, edit: EditDirection, w_dim: int, num_ws: int) -> None:
    """Raise where an edit's tensors are not of a generator's shape, or its direction not of unit length.

    Args:
        file: Where it was read, for the message.
        edit: As it was read.
        w_dim: Width of the generator's styles.
        num_ws: Number of its styles.

    Raises:
        CheckpointError: As said.
    """
    shape, norm = tuple(edit.direction.shape), longest(edit.direction)
    absolute = edit.mean is not None
    allowed = [(w_dim,)] if absolute else [(w_dim,), (num_ws, w_dim)]
    if shape not in allowed or not abs(norm - 1) <= UNIT_TOLERANCE:
        must = " or ".join(str(list(shape)) for shape in allowed)
        raise CheckpointError(
            f"{file}: {edit.name!r} has shape {list(shape)}, norm {norm:.3f}; must be {must}, 1"
        )
    if edit.is_place and (edit.zones or edit.pace):
        raise CheckpointError(f"{file}: {edit.name!r} has zones or a pace; only an offset may")
    if edit.target is not None and tuple(edit.target.shape) != (num_ws, w_dim):
        raise CheckpointError(
            f"{file}: the target of {edit.name!r} has shape {list(edit.target.shape)}; must be "
            f"{[num_ws, w_dim]}"
        )
    if edit.bend is not None and (edit.is_place or tuple(edit.bend.shape) != (num_ws, w_dim)):
        raise CheckpointError(
            f"{file}: the bend of {edit.name!r} has shape {list(edit.bend.shape)}; must be "
            f"{[num_ws, w_dim]}, and only an offset has one"
        )
    if edit.mean is not None and edit.mean.shape != (w_dim,):
        raise CheckpointError(
            f"{file}: the mean of {edit.name!r} has shape {list(edit.mean.shape)}; must be [{w_dim}]"
        )


def tensors_of(edit: EditDirection) -> dict[str, Tensor]:
    """The tensors that an edit's file holds, by their keys."""
    tensors = {edit.name: edit.direction.contiguous()}
    for key, tensor in ((MEAN, edit.mean), (BEND, edit.bend), (TARGET, edit.target)):
        if tensor is not None:
            tensors[key.format(edit.name)] = tensor.clone()  # safetensors takes no tensor twice
    return tensors


def longest(direction: Tensor) -> float:
    """L2 norm of a direction [w_dim], or of the longest of its rows [num_ws, w_dim]."""
    return float(direction.norm(dim=-1).max())


def imported_root() -> Path:
    """Where `python -m inversion directions` keeps what it reads."""
    return cache_folder() / "directions"


def find_directions(generator_sha256: str, w_dim: int, num_ws: int, *roots: Path) -> DirectionBank:
    """All directions below `roots` that were made for this generator; an empty bank where there are none.

    A name that occurs again, in a later folder, gets that folder's name appended. Folders are read root by
    root, in the order of their names.

    Args:
        generator_sha256: Hash of the generator's weights file.
        w_dim: Width of its styles.
        num_ws: Number of its styles.
        roots: Their folders are looked at; none for `DIRECTIONS_ROOT` and `imported_root()`.

    Raises:
        CheckpointError: A manifest that cannot be read.
    """
    found: dict[str, EditDirection] = {}
    for folder in direction_folders(generator_sha256, *roots):
        for edit in load_directions(folder, generator_sha256, w_dim, num_ws).values():
            fresh = _renamed(edit, folder.name, found)
            found[fresh.name] = fresh
    return DirectionBank(found)


def direction_folders(generator_sha256: str, *roots: Path) -> list[Path]:
    """Folders of directions of this generator, in the order of `find_directions`; raises as it."""
    files = [file for root in roots or (DIRECTIONS_ROOT, imported_root()) for file in _manifests(root)]
    return [file.parent for file in files if owner_of(file) == generator_sha256]


def use_zones(folders: Iterable[Path]) -> bool:
    """Whether any edit in these folders is limited to zones.

    Raises:
        CheckpointError: A manifest that cannot be read.
    """
    listed = [_read_manifest(folder / MANIFEST).get("directions") for folder in folders]
    return any("zones" in entry for edits in listed if isinstance(edits, dict) for entry in edits.values())


def _manifests(root: Path) -> list[Path]:
    return sorted(root.glob(f"*/{MANIFEST}"))


def _renamed(edit: EditDirection, folder: str, taken: Mapping[str, EditDirection]) -> EditDirection:
    if edit.name not in taken:
        return edit
    name = f"{edit.name}-{folder}"
    number = 2
    while name in taken:
        name, number = f"{edit.name}-{folder}-{number}", number + 1
    return replace(edit, name=name, label=f"{edit.label} ({folder})")


def owner_of(file: Path) -> str:
    """Hash of the generator that a manifest is for; empty where it names none.

    Raises:
        CheckpointError: A manifest that cannot be read.
    """
    return str(_read_manifest(file).get("generator_sha256", ""))


def _read_manifest(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file; a folder of directions holds a {MANIFEST}")
    return read_listing(file)


def read_direction(
    name: str, entry: Mapping[str, Any], tensors: Mapping[str, Tensor], num_ws: int
) -> EditDirection:
    """One edit of what a manifest says of it, and its tensors; plain errors where something is amiss."""
    vector = tensors[name].float()
    norm = longest(vector)
    rule = entry.get("rule", RULES[0])
    if rule not in RULES:
        raise ValueError(f"{name}: rule {rule!r}; must be one of {', '.join(RULES)}")
    first, last = entry.get("layers", (0, num_ws))
    low, high = entry["range"]
    bounded = -math.inf < low <= 0 <= high < math.inf
    if not 0 <= first < last <= num_ws or not bounded or not 0 < entry["sigma"] < math.inf:
        raise ValueError(
            f"{name}: layers {[first, last]}, range {[low, high]} or sigma {entry['sigma']} out of bounds"
        )
    gains = {str(space): float(gain) for space, gain in entry.get("photo_gains", {}).items()}
    if not all(0 < gain < math.inf for gain in gains.values()):
        raise ValueError(f"{name}: photo_gains {gains}; must be above 0")
    size = float(entry.get("unit_size", 1.0))
    if not 0 < size < math.inf:
        raise ValueError(f"{name}: unit_size {size}; must be above 0")
    zones = {str(zone): float(share) for zone, share in entry.get("zones", {}).items()}
    check_zones(name, zones)
    pace = tuple((float(strength), float(at)) for strength, at in entry.get("pace", ()))
    _check_pace(name, pace)
    bend = tensors.get(BEND.format(name))
    return EditDirection(
        name=name,
        label=str(entry["label"]),
        group=str(entry["group"]),
        low=str(entry["low"]),
        high=str(entry["high"]),
        direction=vector / norm if abs(norm - 1) <= UNIT_TOLERANCE else vector,
        sigma=float(entry["sigma"]),
        range=(float(low), float(high)),
        layers=(int(first), int(last)),
        effects={str(name): float(change) for name, change in entry.get("effects", {}).items()},
        unit=str(entry.get("unit", "")),
        unit_size=size,
        bend=None if bend is None else bend.float(),
        mean=tensors[MEAN.format(name)].float() if rule == "absolute" else None,
        target=tensors[TARGET.format(name)].float() if rule == "mix" else None,
        pace=pace,
        zones=zones,
        attribute=None if entry.get("attribute") is None else str(entry["attribute"]),
        photo_gains=gains,
        aliases=tuple(str(alias) for alias in entry.get("aliases", ())),
    )
