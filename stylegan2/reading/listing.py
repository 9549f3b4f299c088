"""read_listing: a YAML file that came with somebody's weights, read within bounds."""

from pathlib import Path
from typing import Any

import yaml

from stylegan2.errors import CheckpointError

MAX_BYTES = 262_144
MAX_DEPTH = 16  # lists and mappings inside each other
MAX_LENGTH = 4096  # characters of one value
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same answers, a hundred times as fast


def read_listing(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file, with plain values only.

    Aliases are refused: with a few bytes they make a tree that no memory holds. Size, depth and the length of
    a value are bounded, so that reading takes a fraction of a second whatever the file.

    Raises:
        CheckpointError: Missing, not readable, no mapping, or out of bounds.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise CheckpointError(f"{file}: larger than {MAX_BYTES:,} bytes; a listing of files is small")
        text = data.decode("utf-8")
        _check_bounds(file, text)
        found = yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file") from None
    except (OSError, ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(f"{file}: not readable as YAML: {reason}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{file}: expected a mapping, found {type(found).__name__}")
    return found


def _check_bounds(file: Path, text: str) -> None:
    """Walk over the file's events, which builds nothing."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise CheckpointError(f"{file}: an alias (*{str(event.anchor)[:40]}); write the value itself")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_LENGTH:
            raise CheckpointError(f"{file}: a value of {len(event.value)} characters; at most {MAX_LENGTH}")
        if depth > MAX_DEPTH:
            raise CheckpointError(f"{file}: nested deeper than {MAX_DEPTH}")
