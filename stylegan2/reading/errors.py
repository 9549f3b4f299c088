"""Errors of reading weights files; each text says what was found and what is allowed."""

from stylegan2.errors import CheckpointError


class UnreadableFileError(CheckpointError):
    """The file is no weights file, or is damaged or cut short."""


class UnsafeFileError(CheckpointError):
    """Reading the file as it asks would run code or leave the bounds that are set for it."""


def shown(text: str, length: int = 100) -> str:
    """Text of a file as an error may show it: quoted, without control characters, at most `length` of it."""
    return ascii(text if len(text) <= length else text[:length] + "...")[1:-1]
