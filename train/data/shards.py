"""Tar shards of pictures: local files, or addresses that are read as streams and never stored.

Of the whole project only training reads pictures from an address, and only from one that its settings or its
command line name.
"""

import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from itertools import groupby
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import webdataset as wds

from editor.photo.reading import SUFFIXES
from train.errors import DatasetError

SCHEMES = ("http://", "https://")
TIMEOUT = 60.0  # seconds without a byte
Sample = tuple[str, bytes]  # key, encoded picture


def is_address(file: str) -> bool:
    """Whether `file` is an address rather than a local path."""
    return file.lower().startswith(SCHEMES)


def is_shard(file: str) -> bool:
    """Whether a path, or an address without its query, ends in .tar.

    Raises:
        DatasetError: An address is malformed.
    """
    return shard_name(file).endswith(".tar")


def shard_name(file: str) -> str:
    """Name of a shard's file: the same for a local copy and for the address that it came from.

    Raises:
        DatasetError: An address is malformed.
    """
    return posixpath.basename(unquote(_address_path(file))) if is_address(file) else Path(file).name


def is_hidden(path: str) -> bool:
    """Whether a path with slashes, below the folder or inside the tar that was named, is none of a data set.

    Names that start with a dot are, and all in `__MACOSX`: systems keep notes of their own there.
    """
    parts = path.split("/")
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in parts)


@dataclass
class Census:
    """What a shard, a folder or several hold."""

    pictures: int = 0
    left_out: int = 0  # files that could be taken for pictures, but are none
    example: str = ""  # name of the first of them

    def leave_out(self, name: str) -> None:
        """Count one file that is left out."""
        self.left_out += 1
        self.example = self.example or name

    def __str__(self) -> str:
        """The files that are left out, in words; empty where there are none."""
        files = "file" if self.left_out == 1 else "files"
        return f"{self.left_out:,} {files} left out, as {self.example}" if self.left_out else ""


def count_shard(file: str, census: Census) -> None:
    """Add the pictures of a local shard to `census`, by its headers alone.

    Raises:
        DatasetError: The shard is missing or damaged, or a key has two pictures.
    """
    try:
        with tarfile.open(file) as tar:
            names = [each.name for each in tar if each.isreg() and _is_picture(each.name, census)]
        for key, group in groupby(names, key=lambda name: name.rpartition(".")[0]):
            _check_one_picture(file, key, [name.rpartition(".")[2] for name in group])
        census.pictures += len(names)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise DatasetError(f"{file}: damaged or unreadable shard ({_reason(error)})") from error


def read_shard(file: str) -> Iterator[Sample]:
    """Pictures of one shard in their stored order, their keys `shard's file name/key.suffix`.

    As everywhere in WebDataset, a key ends at the first dot of a file's name. Only `KEY.<suffix>` is a
    picture: `KEY.mask.png` is something else about the same face and left out, as are hidden files.

    Args:
        file: A local path, or an http or https address; redirections are followed.

    Raises:
        DatasetError: The shard is missing, damaged, its transfer broke off, it holds nothing but pictures
            with a further dot in their names, or a key has two pictures.
    """
    shard, told = shard_name(file), without_query(file)
    try:
        stream = _open(file)
    except (OSError, ValueError, HTTPException) as error:
        raise DatasetError(f"{told}: cannot be opened ({error})") from error
    census = Census()
    with stream:
        # Not through webdataset's own opening of files: it runs commands, `curl` for an address among them.
        files = wds.tariterators.tar_file_expander(
            [{"url": file, "stream": stream}], select_files=lambda name: _is_picture(name, census)
        )
        try:
            for sample in wds.tariterators.group_by_keys(files):
                fields = list(filter(_is_picture_field, sample))
                _check_one_picture(told, sample["__key__"], fields)
                for field in fields:
                    census.pictures += 1
                    yield f"{shard}/{sample['__key__']}.{field}", sample[field]
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise DatasetError(f"{told}: damaged or unreadable shard ({_reason(error)})") from error
    if not census.pictures and census.left_out:
        raise DatasetError(
            f"{told}: no pictures; {census}; the name of a picture must have one dot only, before its suffix"
        )


def _check_one_picture(shard: str, key: str, suffixes: list[str]) -> None:
    """Refuse a face with two pictures: one of them is as likely a mask, and nothing says which."""
    if len(suffixes) > 1:
        found = " and ".join(f".{suffix}" for suffix in suffixes)
        raise DatasetError(
            f"{shard}: {key} has the pictures {found}; must be one, others need a further dot in their "
            "names, as KEY.mask.png"
        )


class _Download:
    """The body of an answer, as a stream that tells a broken transfer from the end of a file.

    http.client takes a connection that closes early for the end, and a tar that ends between two pictures
    looks whole. Where an answer does not say how long it is, the tar has to hold its end mark, after which
    nothing is read.
    """

    def __init__(self, response: HTTPResponse) -> None:
        self._response, self._received = response, 0
        self._length = response.length  # bytes; None where the answer does not say

    def read(self, size: int, /) -> bytes:
        try:
            data = self._response.read(size)
        except HTTPException as error:
            raise ConnectionError(f"the transfer broke off after {self._received} bytes ({error})") from error
        self._received += len(data)
        if not data and self._received != self._length and not self._response.chunked:
            expected = "an unknown number of" if self._length is None else self._length
            raise ConnectionError(f"the transfer broke off after {self._received} of {expected} bytes")
        return data

    def __enter__(self) -> "_Download":
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()


def _open(file: str) -> BinaryIO | _Download:
    if not is_address(file):
        return Path(file).open("rb")
    return _Download(urlopen(file, timeout=TIMEOUT))  # noqa: S310  (the scheme was checked)


def _address_path(address: str) -> str:
    try:
        return urlsplit(address).path
    except ValueError as error:
        raise DatasetError(f"{without_query(address)}: not an address ({error})") from error


def without_query(file: str) -> str:
    """What to call a shard in a message: queries may hold keys to a store."""
    return file.partition("?")[0] if is_address(file) else file


def _reason(error: Exception) -> str:
    """What an error says, without the stream and the address that webdataset adds to it."""
    said = getattr(error, "strerror", None) or (error.args or (error,))[0]
    return str(said).partition(" @ ")[0]


def _is_picture(name: str, census: Census) -> bool:
    """Whether a tar's file is a picture; one that looks like one but is none is counted in `census`."""
    if is_hidden(name) or not name.lower().endswith(SUFFIXES):
        return False
    if posixpath.basename(name).count(".") > 1:
        census.leave_out(name)
        return False
    return True


def _is_picture_field(name: str) -> bool:
    return f".{name}" in SUFFIXES
