"""Write pictures that say of themselves that they were edited."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from editor.errors import ImageInputError
from editor.photo.writing.png import write_png
from editor.photo.writing.xmp import SOFTWARE, fresh_packet


def edit_note(strengths: Mapping[str, float], *, edited: str | None = None) -> str:
    """What was done, in one line, to be kept in a file.

    Args:
        strengths: Direction -> strength.
        edited: What was edited with a model, "Photo" or "Video"; None for a picture that the model drew.
    """
    edits = (
        ", ".join(f"{name} {value:+g}" for name, value in strengths.items() if value) or "no attribute edit"
    )
    done = (
        f"{edited} edited with a generative model" if edited else "Drawn by a generative model from a photo"
    )
    return f"{done}: {edits}"


def encode_png(pixels: NDArray[np.uint8], strengths: Mapping[str, float]) -> bytes:
    """PNG bytes of `pixels` [H, W, 3] uint8, marked as edited in its text chunks and XMP."""
    note = edit_note(strengths)
    return write_png(pixels, texts={"Software": SOFTWARE, "Description": note}, xmp=fresh_packet(note))


def save_png(path: str | Path, pixels: NDArray[np.uint8], strengths: Mapping[str, float]) -> None:
    """Write `encode_png` to `path`, which must end in .png.

    Raises:
        ImageInputError: Another ending, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ImageInputError(f"{path}: ends in {path.suffix or 'nothing'!r}; pictures are written as .png")
    try:
        path.write_bytes(encode_png(pixels, strengths))
    except OSError as error:
        raise ImageInputError(f"{path}: cannot be written: {error.strerror}") from error
