"""What a file is, by its content; its suffix is never asked."""

import re

from stylegan2.reading.document import Container
from stylegan2.reading.errors import UnreadableFileError, shown

HEAD_BYTES = 512
MAX_SAFETENSORS_HEADER = 16 << 20

_LEGACY_MAGIC = b"\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little")  # LONG1 of it
_ALLOWED = "expected safetensors, a PyTorch .pt, a pickle, .npy or .npz"
_OTHERS = {
    b"\x1f\x8b": "gzip data",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\xfd7zXZ\x00": "xz data",
    b"BZh": "bzip2 data",
    b"\x28\xb5\x2f\xfd": "zstandard data",
    b"Rar!": "a RAR archive",
    b"\x89HDF": "an HDF5 file",
}


def sniff(data: memoryview) -> Container:
    """Container of a whole file's bytes; a zip counts as "torch-zip" until its names are read.

    Raises:
        UnreadableFileError: Nothing that is read here, named where it is known.
    """
    head = bytes(data[:HEAD_BYTES])
    if is_safetensors(head):
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "torch-zip"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if _LEGACY_MAGIC in head[:32]:
        return "torch-legacy"
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return "pickle"
    _refuse_known(head, len(data))
    if head[:1] in (b"(", b"]", b"}", b"c", b")") and bytes(data[-1:]) == b".":
        return "pickle"  # protocols 0 and 1 have no mark of their own
    raise UnreadableFileError(f"not a known weights file (begins with {head[:16].hex(' ')}); {_ALLOWED}")


def is_safetensors(head: bytes) -> bool:
    """Whether a header length and the start of a JSON object are there."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MAX_SAFETENSORS_HEADER


def _refuse_known(head: bytes, size: int) -> None:
    """Raise the error of whatever comes in place of weights more often than not."""
    if not head:
        raise UnreadableFileError(f"an empty file, 0 bytes; {_ALLOWED}")
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise UnreadableFileError(
            f"a web page of {size} bytes, not weights (probably Google Drive's on its quota or virus scan); "
            "open the link in a browser and download the file itself"
        )
    if head.startswith(b"version https://git-lfs"):
        match = re.search(rb"^size (\d{1,20})\s*$", head, re.MULTILINE)
        promised = f" to a file of {int(match[1])} bytes" if match else ""
        raise UnreadableFileError(f"a Git LFS pointer{promised}, not weights; fetch it with `git lfs pull`")
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise UnreadableFileError(f"not a known weights file: {what}; unpack it first; {_ALLOWED}")
    if head[257:262] == b"ustar":
        name = shown(head[:100].split(b"\0")[0].decode("latin-1"))
        raise UnreadableFileError(f"not a known weights file: a tar archive of {name!r}; unpack it first")
