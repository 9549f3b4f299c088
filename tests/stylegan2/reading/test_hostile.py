import collections
import io
import os
import pickle
import struct
import time
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from stylegan2.errors import CheckpointError
from stylegan2.reading import read_document
from stylegan2.reading.errors import UnreadableFileError, UnsafeFileError

SECONDS, MEBIBYTES = 1.0, 200
STATUS = Path("/proc/self/status")


def memory(key):
    """A figure of this process in MiB; 0 where the system does not tell."""
    return int(STATUS.read_text().split(f"{key}:")[1].split()[0]) // 1024 if STATUS.exists() else 0


def refused(path, data, text, error=UnsafeFileError):
    """Reading `data` is refused by name, at once, and without memory of note."""
    path = path / "hostile.pt"
    path.write_bytes(data)
    del data
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before, seconds = memory("VmRSS"), []
    while min(seconds, default=SECONDS) >= SECONDS:
        assert len(seconds) < 3, seconds  # a busy machine slows one try down, hardly three
        start = time.process_time()
        with pytest.raises(error, match=text) as caught:
            read_document(path)
        seconds.append(time.process_time() - start)
    assert memory("VmHWM") - before < MEBIBYTES
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 1000


def text(value):
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value):
    raw = value.to_bytes(16, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def binary(value):
    return b"B" + struct.pack("<I", len(value)) + value


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def program(body):
    return b"\x80\x04" + body + b"."


def zipped(body, storages=None, extra=None, compression=zipfile.ZIP_STORED):
    """A PyTorch zip around a pickle that is written by hand."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program(body))
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
        for key, data in (extra or {}).items():
            archive.writestr(key, data)
    return stream.getvalue()


def legacy(body, keys=(), storages=b"", little=True):
    """A legacy stream around a pickle that is written by hand."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": little}]
    parts = [
        *(pickle.dumps(part, protocol=2) for part in head),
        program(body),
        pickle.dumps(list(keys), protocol=2),
    ]
    return b"".join(parts) + storages


def storage(numel, kind="FloatStorage", key="0"):
    return b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + integer(numel) + b"tQ"


def tensor(numel, offset, size, stride):
    sizes = b"(" + b"".join(map(integer, size)) + b"t" + b"(" + b"".join(map(integer, stride)) + b"t"
    arguments = b"(" + storage(numel) + integer(offset) + sizes + b"\x89Nt"
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def nested(data):
    return name("torch.storage", "_load_from_bytes") + binary(data) + b"\x85R"


class Touch:
    """Would leave a file if it were run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def npy_of(value):
    stream = io.BytesIO()
    np.save(stream, np.array([value], dtype=object), allow_pickle=True)
    return stream.getvalue()


def npy_bytes(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(kind, shape):
    raw = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw


def archive(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for key, value in members.items():
            file.writestr(key, value)
    return stream.getvalue()


def doubled():
    data = archive({"archive/data.pkl": program(b"N"), "archive/data.pkk": program(b"N")})
    return data.replace(b"data.pkk", b"data.pkl")


def flagged(data, offset, value):
    """The directory's first entry with one byte changed."""
    at = data.index(b"PK\x01\x02") + offset
    return data[:at] + bytes([value]) + data[at + 1 :]


def overlapping():
    """Two entries of the directory that point to one member."""
    data = archive({"a.npy": b"x" * 50, "b.npy": b"x" * 50})
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    sizes = struct.pack("<2I", 200, 200)
    first = data.index(b"PK\x01\x02")
    return data[: first + 20] + sizes + data[first + 28 : second] + data[second:]


def understated():
    """A deflated member that unpacks to more than it says."""
    data = archive({"a.npy": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    at = data.index(b"PK\x01\x02") + 24
    return data[:at] + struct.pack("<I", 100) + data[at + 4 :]


@pytest.mark.parametrize(
    "level", ["pickle", "zip", "legacy", "nested", "nested twice", "npy", "storage list"]
)
def test_code_is_refused_by_name_at_every_level(tmp_path, level):
    canary = tmp_path / "canary"
    body = pickle.dumps(Touch(canary), protocol=2)[2:-1]
    data = {
        "pickle": lambda: program(body),
        "zip": lambda: zipped(body),
        "legacy": lambda: legacy(body),
        "nested": lambda: program(b"}" + text("a") + nested(legacy(body)) + b"s"),
        "nested twice": lambda: program(nested(legacy(nested(zipped(body))))),
        "npy": lambda: npy_of(Touch(canary)),
        "storage list": lambda: legacy(b"N")[: -len(pickle.dumps([], protocol=2))] + program(body),
    }[level]()
    refused(tmp_path, data, "would call posix.mkdir; refused")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("numpy", "load"),
        ("functools", "partial"),
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("some.unknown", "Enum"),
    ],
)
def test_every_name_that_is_not_on_the_list_is_refused(tmp_path, module, attribute):
    called = f"would call {module}.{attribute}; refused"
    refused(tmp_path, program(name(module, attribute) + text("x") + b"\x85R"), called)
    refused(tmp_path, program(name(module, attribute) + b")R"), called)
    refused(tmp_path, program(b"(" + name(module, attribute) + text("x") + b"o"), called)
    refused(tmp_path, program(b"(" + text("x") + b"i" + name(module, attribute)[1:]), called)
    refused(tmp_path, program(text(module) + text(attribute) + b"\x93" + text("x") + b"\x85R"), called)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"}(K\x01u", "weights"),
        (name("os", "system") + text("x") + b"\x85\x81" + b"K\x01a", "append to a Instance"),
        (name("os", "system") + b")\x81" + text("a") + b"K\x01s", "set items of os.system"),
        (name("os", "system") + b")\x81)R", "call an object"),
        (name("os", "system") + b"}b", "set the state of a Name"),
        (b"\x82\x01", "EXT1|weights"),
        (b"\x97", "NEXT_BUFFER"),
        (b"Pabc\n", "outside of its pickle"),
        (b"K\x01Q", "outside of its pickle"),
        (b"}" + b"K\x01\x85K\x01s", "dict key of type tuple"),
        (name("collections", "OrderedDict") + b"](K\x01e\x85R", "odd arguments"),
        (name("torch.storage", "_load_from_bytes") + text("x") + b"\x85R", "odd arguments"),
        (name("torch._utils", "_rebuild_tensor_v2") + b")R", "odd arguments"),
        (
            name("torch._tensor", "_rebuild_from_type_v2") + b"(" + name("os", "system") + b"N)tR",
            "odd arguments of torch._tensor._rebuild_from_type_v2",
        ),
        (name("torch._utils", "_rebuild_tensor_v2") + b"]R", "odd arguments"),
        (name("x" * 300, "y"), "longer than 128"),
        (name("x" * 3000, "y"), "longer than 1024"),
    ],
)
def test_odd_programs_are_refused(tmp_path, body, what):
    refused(tmp_path, program(body), what, CheckpointError)


@pytest.mark.parametrize(
    ("body", "what", "error"),
    [
        (b"\x8e" + struct.pack("<Q", 1 << 60), "truncated", UnreadableFileError),
        (b"\x96" + struct.pack("<Q", 1 << 60), "truncated", UnreadableFileError),
        (b"\x8d" + struct.pack("<Q", 1 << 60), "truncated", UnreadableFileError),
        (b"B" + struct.pack("<I", 0xFFFFFFFF), "truncated", UnreadableFileError),
        (b"\x8e" + struct.pack("<Q", (1 << 64) - 1), "weights|truncated", UnreadableFileError),
        (b"Nr" + struct.pack("<I", 1 << 31), "memo index of 2147483648", UnsafeFileError),
        (
            b"\x8b" + struct.pack("<i", 1 << 22) + b"\x7f" * (1 << 22),
            "integer of 4194304 bytes",
            UnsafeFileError,
        ),
        (b"\x8b" + struct.pack("<i", -5), "weights", UnreadableFileError),
        (b"\x8a\xff" + b"\x7f" * 255, "integer of 2039 bits", UnsafeFileError),
        (b"I" + b"9" * 1_000_000 + b"\n", "longer than", UnsafeFileError),
        (b"L" + b"9" * 1_000_000 + b"L\n", "longer than", UnsafeFileError),
        (b"F" + b"9" * 1_000_000 + b"\n", "longer than", UnsafeFileError),
        (b"X" + struct.pack("<I", 40 << 20) + b"a" * (40 << 20), "text of 41943040 bytes", UnsafeFileError),
        (text("a")[:-1] + b"\xff", "text that is none", UnreadableFileError),
        (b"X\x03\x00\x00\x00\xed\xa0\x80", "text that is none", UnreadableFileError),
        (b"Sno quotes\n", "weights", UnreadableFileError),
        (b"h\x07", "weights", UnreadableFileError),
        (b"0", "weights", UnreadableFileError),
        (b"\x86", "weights", UnreadableFileError),
        (b"N" * 5, "more or less than one", UnreadableFileError),
        (b"(" * 5 + b"N", "more or less than one", UnreadableFileError),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_declared_sizes_and_malformed_arguments_are_refused(tmp_path, body, what, error):
    refused(tmp_path, program(body), what, error)


MANY = 1_000_000


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"]" * MANY + b"a" * (MANY - 1), "steps"),
        (b"N" + b"\x85" * MANY, "steps"),
        (b"N" + b"\x85" * 200_000, "deeper than 128"),
        (b"]" * 100_000 + b"a" * 99_999, "deeper than 128"),
        (name("a", "b") + b"N\x85\x81" + b"\x85" * 1000, "deeper than 128"),
        (b"(" * MANY, "steps"),
        (b"N" + b"\x94" * MANY, "steps|memo index"),
        (b"N" + b"2" * MANY + b"0" * MANY, "steps"),
        (b"]\x940h\x00h\x00a", "holds itself"),
        (b"}\x94" + text("a") + b"h\x00s", "holds itself"),
        (b"]\x94h\x00\x85a", "holds itself"),
        (b"]\x94]h\x00aa", "holds itself"),
        (name("a", "b") + b")\x81\x94h\x00b", "holds itself"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_depth_cycles_and_length_are_bounded(tmp_path, body, what):
    refused(tmp_path, program(body), what)


def test_billions_of_references_are_refused(tmp_path):
    laughs = b"]\x94" + b"".join(b"](h" + bytes([level]) + b"2" * 9 + b"e\x94" for level in range(60))
    refused(tmp_path, program(b"(" + laughs + b"l"), "counted twice")


def test_shared_text_counts_once_per_reference(tmp_path):
    body = b"](" + text("a" * 30_000_000) + b"2" * 100_000 + b"e"
    refused(tmp_path, program(body), "bytes of values|MB|values in all")


@pytest.mark.parametrize(
    "call",
    [
        name("builtins", "list") + b"h\x00\x85R",
        name("collections", "OrderedDict") + b"h\x00\x85R",
        name("torch", "Size") + b"h\x00\x85R",
        name("builtins", "dict") + b"h\x01R",
        name("_codecs", "encode") + b"h\x02\x85R",
        name("pathlib", "Path") + b"h\x01R",
        name("argparse", "Namespace") + b")\x81h\x03b",
        name("argparse", "Namespace") + b")h\x03\x92",
    ],
    ids=lambda value: repr(value)[:30],
)
def test_copies_of_shared_values_are_bounded(tmp_path, call):
    pairs = b"(" + (b"K\x01K\x02\x86" * 20_000) + b"l\x94"  # memo 0
    fixed = b"(" + b"K\x01" * 60_000 + b"t\x94"  # memo 1
    long_text = text("a" * 10_000_000) + b"\x94"  # memo 2
    mapping = (
        b"}\x94(" + b"".join(b"M" + struct.pack("<H", key) + b"N" for key in range(20_000)) + b"u"
    )  # memo 3
    data = program(b"(" + pairs + fixed + long_text + mapping + call * 5000 + b"t")
    refused(tmp_path, data, "steps|asks for|odd arguments", CheckpointError)


def test_files_nested_too_deep_are_refused(tmp_path):
    data = legacy(b"N")
    for _ in range(5):
        data = legacy(nested(data))
    refused(tmp_path, data, "nested deeper than 4")


@pytest.mark.parametrize(
    ("numel", "offset", "size", "stride", "what", "error"),
    [
        (8, 0, (9,), (1,), "element 8 of a storage of 8", UnsafeFileError),
        (8, 0, (2, 2), (7, 1), "element 8", UnsafeFileError),
        (8, 8, (1,), (1,), "element 8", UnsafeFileError),
        (8, -1, (1,), (1,), "offset of -1", UnsafeFileError),
        (8, 7, (2,), (-1,), "stride of -1", UnsafeFileError),
        (8, 0, (-1,), (1,), "size of -1", UnsafeFileError),
        (8, 0, (2,), (1, 1), "1 sizes and 2 strides", UnsafeFileError),
        (8, 0, (1,) * 9, (1,) * 9, "9 dimensions", UnsafeFileError),
        (8, 0, (4, 4), (1, 1), "overlapping strides", UnsafeFileError),
        (8, 0, (3, 3), (2, 1), "overlapping strides", UnsafeFileError),
        (8, 0, (10**12,), (0,), "asks for 4000000000000 bytes", UnsafeFileError),
        (8, 0, (10**6, 10**6), (0, 0), "asks for", UnsafeFileError),
        (8, 0, (2**60,), (0,), "size of", UnsafeFileError),
        (8, 0, (0, 2**40, 2**40), (1, 1, 1), "elements are read", UnsafeFileError),
        (16, 0, (1,), (1,), "says 16 x 4 bytes, has 32", UnreadableFileError),
        (4, 0, (1,), (1,), "says 4 x 4 bytes, has 32", UnreadableFileError),
        (-1, 0, (1,), (1,), "storage of -1 elements", UnsafeFileError),
        (2**70, 0, (1,), (1,), "storage of", UnsafeFileError),
    ],
)
def test_views_are_checked_before_they_are_made(tmp_path, numel, offset, size, stride, what, error):
    refused(tmp_path, zipped(tensor(numel, offset, size, stride), {"0": bytes(32)}), what, error)


def test_expansions_are_bounded_in_sum(tmp_path):
    body = b"(" + tensor(8, 0, (1 << 20,), (0,)) * 100 + b"l"
    refused(tmp_path, zipped(body, {"0": bytes(32)}), "asks for 4194304 bytes")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (lambda: legacy(storage(8), ["0"], struct.pack("<q", 8) + bytes(31)), "truncated"),
        (
            lambda: legacy(storage(8), ["0"], struct.pack("<q", 1 << 60) + bytes(32)),
            "says 1152921504606846976",
        ),
        (lambda: legacy(storage(1 << 40), ["0"], struct.pack("<q", 1 << 40) + bytes(32)), "truncated"),
        (lambda: legacy(storage(8), ["0"], b"\x08"), "truncated"),
        (lambda: legacy(storage(8), ["1"], bytes(40)), "not those it lists"),
        (lambda: legacy(storage(8), ["0", "0"], bytes(40)), "not those it lists"),
        (lambda: legacy(storage(8), ["0"], struct.pack("<q", 8) + bytes(40)), "8 bytes after"),
        (lambda: legacy(b"N", little=False), "big-endian"),
        (lambda: legacy(b"(" + storage(8) + storage(9) + b"l", ["0"], bytes(40)), "of two kinds"),
        (lambda: legacy(storage(8, "ComplexFloatStorage"), ["0"], bytes(40)), "torch.ComplexFloatStorage"),
        (lambda: zipped(storage(8, key="../0"), {"0": bytes(32)}), "not in the zip"),
        (lambda: zipped(storage(8), {"0": bytes(32)}, {"archive/byteorder": "big"}), "byteorder 'big'"),
        (lambda: zipped(b"N", None, {"archive/code/a.py": "x"}), "TorchScript"),
        (lambda: zipped(b"N", None, {"../evil": "x"}), "'../evil' that leaves"),
        (lambda: zipped(b"N", None, {"/etc/evil": "x"}), "leaves its folder"),
        (lambda: zipped(b"N", None, {"a\\..\\b": "x"}), "leaves its folder"),
        (lambda: zipped(b"N", None, {"other/data.pkl": "x"}), "2 data.pkl"),
        (lambda: zipped(b"N", {"0": bytes(10**7)}, None, zipfile.ZIP_DEFLATED), "compressed zip member"),
        (lambda: archive({"readme.txt": b"x"}), "a zip of readme.txt"),
        (lambda: archive({str(k): b"" for k in range(20_001)}), "20001 members"),
        (doubled, "two members"),
        (lambda: flagged(zipped(b"N"), 8, 1), "encrypted"),
        (overlapping, "overlapping|not where"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_odd_torch_files_are_refused(tmp_path, data, what):
    refused(tmp_path, data(), what, CheckpointError)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (lambda: archive({"a.npy": bytes(300 << 20)}, zipfile.ZIP_DEFLATED), "unpacks to 314572800 bytes"),
        (
            lambda: archive(
                {f"{k}.npy": npy_bytes(np.zeros(1 << 21)) for k in range(6)}, zipfile.ZIP_DEFLATED
            ),
            "unpacks",
        ),
        (understated, "does not unpack to its 100 bytes"),
        (lambda: archive({"a.npy": b"no"}), "holds .npy"),
        (lambda: flagged(archive({"a.npy": npy_bytes(np.ones(3))}), 16, 0xAA), "checksum"),
        (lambda: archive({"a.npy": b"x" * 99}, zipfile.ZIP_BZIP2), "method 12"),
        (lambda: npy_bytes(np.zeros(2, dtype="c8")), "'c8'"),
        (lambda: npy_bytes(np.zeros(2, dtype="i4,f4")), "plain numbers"),
        (lambda: npy_bytes(np.zeros(2, dtype="M8[s]")), "plain numbers|dtype"),
        (lambda: header("'<f4'", "(1000000000000,)"), "truncated"),
        (lambda: header("'<f4'", "(" + "9" * 200 + ",)"), "plain numbers"),
        (lambda: header("'<f4'", "(" + "[" * 3000), "plain numbers"),
        (lambda: header("'<U0'", "(100000000,)"), "'U0'"),
        (lambda: header("__import__('os')", "()"), "plain numbers"),
        (lambda: b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "header of 4294967295 bytes"),
        (lambda: b"\x93NUMPY\x09\x00\x10\x00", "version 09"),
        (lambda: struct.pack("<Q", 1 << 20) + b"{" + bytes(100), "truncated"),
        (lambda: struct.pack("<Q", 10**6) + b'{"a":' * 200_000, "truncated"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_odd_numpy_files_are_refused(tmp_path, data, what):
    refused(tmp_path, data(), what, CheckpointError)


def test_numpy_objects_in_a_pickle_are_bounded(tmp_path):
    for array, what in ((np.zeros(2, "c8"), "'c8'"), (np.zeros(2, "i4,f4"), "numpy dtype")):
        refused(tmp_path, pickle.dumps(array), what)
    raw = pickle.dumps(np.arange(3, dtype="f4"), protocol=2)
    assert raw.count(b"K\x03\x85") == 1
    refused(
        tmp_path, raw.replace(b"K\x03\x85", b"K\x04\x85"), "takes 16 bytes and has 12", UnreadableFileError
    )
    refused(tmp_path, pickle.dumps(np.array([], dtype=object)), "array of 0 objects")


def samples():
    """A small valid file of each container."""
    state = collections.OrderedDict(a=torch.arange(6.0).reshape(2, 3).t(), b=torch.ones(2).half())
    tree = {"state": state, "opts": types.SimpleNamespace(a=1), "n": np.arange(3), "s": np.float32(2)}
    files = [save({"a": torch.ones(3)}), npy_bytes(np.ones((2, 3))), npy_of({"a": np.ones(2)})]
    files += [pickle.dumps(tree, protocol=protocol) for protocol in (0, 2, 4)]
    for new in (True, False):
        stream = io.BytesIO()
        torch.save(tree, stream, _use_new_zipfile_serialization=new)
        files.append(stream.getvalue())
    for writer in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        writer(stream, a=np.ones(3), b=np.arange(2))
        files.append(stream.getvalue())
    return files


SAMPLES = samples()
CANARY = Path(f"/tmp/canary-{os.getpid()}")
CALL = pickle.dumps(Touch(CANARY), protocol=2)[2:-1]
EDIT = st.tuples(
    st.sampled_from(["flip", "insert", "delete", "cut", "splice", "call"]),
    st.integers(0, 1 << 16),
    st.binary(max_size=8),
)


def edited(data, edit, other):
    kind, at, piece = edit
    at %= len(data) + 1
    return {
        "flip": lambda: data[:at] + piece + data[at + len(piece) :],
        "insert": lambda: data[:at] + piece + data[at:],
        "delete": lambda: data[:at] + data[at + 1 + len(piece) :],
        "cut": lambda: data[:at],
        "splice": lambda: data[:at] + other[at % (len(other) + 1) :],
        "call": lambda: data[:at] + CALL + data[at:],
    }[kind]()


@settings(derandomize=True, deadline=None, max_examples=1000, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SAMPLES), st.sampled_from(SAMPLES), st.lists(EDIT, min_size=1, max_size=4))
def test_no_mutation_of_a_file_runs_code_or_raises_anything_else(tmp_path_factory, data, other, edits):
    for edit in edits:
        data = edited(data, edit, other)
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(data)
    try:
        read_document(path)
    except CheckpointError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
    assert not CANARY.exists()
