"""read_document: one weights file of any origin, as inert data."""

import mmap
import struct
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from stylegan2.reading.document import Container, Document, Tree
from stylegan2.reading.errors import UnreadableFileError, UnsafeFileError, shown
from stylegan2.reading.numpy_files import read_npy, read_npz
from stylegan2.reading.pickle.budget import Budget
from stylegan2.reading.pickle.finish import finish
from stylegan2.reading.pickle.inert import Reading
from stylegan2.reading.pickle.machine import run_pickle
from stylegan2.reading.sniff import sniff
from stylegan2.reading.tensors import DTYPES
from stylegan2.reading.torch_files import is_torch_zip, torch_legacy, torch_zip
from stylegan2.reading.zip_members import zip_members

LIMIT_BYTES = 8 << 30  # the largest public file, an encoder with its optimiser, is about 4 GB

# Whatever a damaged file makes the libraries below us raise; what we find ourselves has its own text.
_DAMAGED = (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, struct.error, AssertionError)


def read_document(path: str | Path, *, limit_bytes: int = LIMIT_BYTES) -> Document:
    """Read a weights file of any known container without running, importing or calling anything it names.

    The container is told by content, never by suffix. Tensors are contiguous, on the CPU, and views of a
    private mapping of the file where their bytes are aligned: writing to them does not reach the file, and
    the file must not be shortened while they are in use.

    An object of an unknown class becomes a `Node` as long as it is only made and given a state, which is
    inert here; an unknown function that the file would call is refused by name. There is no unsafe mode.

    Args:
        path: safetensors, a PyTorch zip or legacy stream, a pickle, .npy or .npz.
        limit_bytes: Largest file, and most bytes of all values, that are read.

    Raises:
        UnsafeFileError: It would run code, or passes a bound on size, depth or number of values.
        UnreadableFileError: Missing, no weights (web page, Git LFS pointer, archive), damaged or truncated.
    """
    path = Path(path)
    try:
        data = memoryview(_mapped(path, limit_bytes))
        container, tree, metadata = _read(path, data, Budget(len(data), limit_bytes))
    except (UnsafeFileError, UnreadableFileError) as error:
        raise type(error)(f"{path}: {error}") from error
    except (MemoryError, RecursionError) as error:
        raise UnsafeFileError(f"{path}: takes more memory than there is; refused") from error
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror})") from error
    except _DAMAGED as error:
        raise UnreadableFileError(f"{path}: a damaged file ({shown(str(error))}); fetch it again") from error
    return Document(path=path, container=container, tree=tree, metadata=metadata)


def _mapped(path: Path, limit_bytes: int) -> mmap.mmap | bytes:
    """The file's bytes. Copy on write, since torch knows no read-only memory."""
    if path.is_dir():
        raise UnreadableFileError("a folder; expected a file of weights")
    if not path.is_file():
        raise UnreadableFileError("no such file; expected a file of weights")
    with path.open("rb") as file:
        size = path.stat().st_size
        if size > limit_bytes:
            raise UnsafeFileError(f"a file of {size} bytes; at most {limit_bytes} are read")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if size else b""


def _read(path: Path, data: memoryview, budget: Budget) -> tuple[Container, Tree, dict[str, str]]:
    container, reading = sniff(data), Reading(budget, _nested)
    if container == "safetensors":
        return container, *_safetensors(path)
    if container == "npy":
        return container, read_npy(data, reading), {}
    if container == "torch-zip":
        members = zip_members(data, budget)
        if not is_torch_zip(members):
            if not members or not all(name.endswith(".npy") for name in members):
                names = ", ".join(shown(name, 40) for name in list(members)[:3]) or "nothing"
                raise UnreadableFileError(f"not a known weights file: a zip of {names}; unpack it first")
            return "npz", read_npz(members, reading), {}
        return container, finish(torch_zip(members, reading), budget), {}
    if container == "torch-legacy":
        return container, finish(torch_legacy(data, reading), budget), {}
    value, end = run_pickle(data, reading)
    if end != len(data):
        raise UnreadableFileError(f"{len(data) - end} bytes after the end of the pickle; the file is damaged")
    return container, finish(value, budget), {}


def _nested(data: memoryview, reading: Reading) -> object:
    """A file within a file: what `torch.save` wrote for one storage of a pickle."""
    container = sniff(data)
    if container == "torch-legacy":
        return torch_legacy(data, reading)
    if container == "torch-zip":
        return torch_zip(zip_members(data, reading.budget), reading)
    raise UnreadableFileError(f"{container} within a pickle; only PyTorch's own containers are read there")


def _safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    tree: dict[str, Any] = {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            for name in file.keys():  # noqa: SIM118  # not a mapping
                tree[name] = file.get_tensor(name)
                if tree[name].dtype not in DTYPES:
                    raise UnsafeFileError(f"{shown(name)!r} is {tree[name].dtype}; numbers and bool are read")
    except SafetensorError as error:
        raise UnreadableFileError(
            f"not a whole safetensors file ({shown(str(error))}); truncated or damaged, fetch it again"
        ) from error
    return tree, metadata
