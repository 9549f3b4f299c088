import argparse
import collections
import io
import pathlib
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stylegan2.errors import CheckpointError
from stylegan2.reading import Node, read_document
from stylegan2.reading.errors import UnreadableFileError, UnsafeFileError


def tensors():
    shared = torch.arange(12.0)
    return collections.OrderedDict(
        plain=torch.randn(3, 4),
        turned=torch.randn(80, 1, 8).permute(2, 1, 0),
        number=torch.tensor(2.5),
        expanded=torch.ones(1).expand(5),
        empty=torch.empty(0, 3),
        tail=shared[3:],
        head=shared[:5],
        parameter=torch.nn.Parameter(torch.randn(2)),
        **{
            str(dtype): torch.arange(4).to(dtype)
            for dtype in (
                torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32,
                torch.int16, torch.int8, torch.uint8, torch.bool,
            )
        },
    )  # fmt: skip


def assert_same(found, expected):
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert found.is_contiguous()
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert type(found) is dict
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    else:
        assert type(found) is type(expected)
        assert found == expected


def written(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_read_as_torch_reads_it(tmp_path, zipped):
    path = tmp_path / "any.name"
    tree = {"state_dict": tensors(), "iter": 3, "names": ["a", "b"], "pair": (1, None, 2.5)}
    torch.save(tree, path, _use_new_zipfile_serialization=zipped)
    document = read_document(path)
    assert document.container == ("torch-zip" if zipped else "torch-legacy")
    assert document.path == path
    assert_same(document.tree, torch.load(path, weights_only=True))


def test_options_become_plain_values(tmp_path):
    opts = argparse.Namespace(
        size=256, folder=pathlib.PurePosixPath("/a/b"), inner=types.SimpleNamespace(a=1)
    )
    tree = {
        "opts": opts,
        "rate": np.float64(0.5),
        "device": torch.device("cuda:1"),
        "size": torch.Size([1, 2]),
        "dtype": torch.float32,
        "counts": collections.defaultdict(list, a=[1]),
    }
    torch.save(tree, tmp_path / "psp.pt")
    assert read_document(tmp_path / "psp.pt").tree == {
        "opts": {"size": 256, "folder": "/a/b", "inner": {"a": 1}},
        "rate": 0.5,
        "device": "cuda:1",
        "size": (1, 2),
        "dtype": Node(name="torch.float32"),
        "counts": {"a": [1]},
    }


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_are_read(tmp_path, protocol):
    plain = {"f": 1.5, "big": 2**100, "t": (1, (2, 3), [4]), "b": b"abc", "i": -70000, "u": "é\n", 7: True}
    arrays = {
        "C": np.arange(6.0).reshape(2, 3),
        "F": np.arange(6).reshape(2, 3).T,
        "big": np.arange(3, dtype=">f4"),
    }
    tree = {"plain": plain, "set": {1}, "array": bytearray(b"xyz"), "arrays": arrays, "scalar": np.int16(-3)}
    path = written(tmp_path / "p", pickle.dumps(tree, protocol=protocol))
    found = read_document(path).tree
    assert_same(found["plain"], plain)
    assert (found["set"], found["array"], found["scalar"]) == ([1], b"xyz", -3)
    assert_same(
        found["arrays"],
        {name: torch.from_numpy(a.astype(a.dtype.newbyteorder("="))) for name, a in arrays.items()},
    )


def test_text_arrays_become_lists(tmp_path):
    path = written(tmp_path / "p", pickle.dumps([np.array([["ab", "c"]]), np.array([b"x"]), np.str_("é")]))
    assert read_document(path).tree == [[["ab", "c"]], [b"x"], "é"]


def test_tensors_within_a_plain_pickle_are_read(tmp_path):
    state = tensors()
    path = written(tmp_path / "p.pkl", pickle.dumps({"G_ema": state}))
    assert read_document(path).container == "pickle"
    assert_same(read_document(path).tree["G_ema"], {name: value.detach() for name, value in state.items()})


@pytest.fixture
def persistence():
    """A stand-in for the module that NVIDIA's pickles name: it keeps a class's source beside its state."""
    module, package = types.ModuleType("torch_utils.persistence"), types.ModuleType("torch_utils")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("run")

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    sys.modules.update({"torch_utils": package, "torch_utils.persistence": module})
    yield _reconstruct_persistent_obj
    del sys.modules["torch_utils"], sys.modules["torch_utils.persistence"]


class Persistent:
    def __init__(self, function, state):
        self.function, self.state = function, state

    def __reduce__(self):
        meta = {"type": "class", "version": 6, "module_src": "raise SystemExit", "class_name": "Generator"}
        return self.function, (meta | {"state": self.state},)


@pytest.mark.parametrize("container", ["pickle", "torch-zip"])
def test_persistent_classes_become_nodes_without_their_source(tmp_path, persistence, container):
    weight = torch.randn(3, 2)
    state = {
        "_init_args": (1,),
        "_init_kwargs": {"z_dim": 8},
        "_parameters": {"weight": torch.nn.Parameter(weight)},
    }
    tree = {"G_ema": Persistent(persistence, state)}
    if container == "pickle":
        (tmp_path / "g").write_bytes(pickle.dumps(tree))
    else:
        torch.save(tree, tmp_path / "g")
    document = read_document(tmp_path / "g")
    node = document.tree["G_ema"]
    assert document.container == container
    assert (node.name, node.args, node.kwargs) == ("Generator", (1,), {"z_dim": 8})
    assert_same(node.state["_parameters"]["weight"], weight)
    assert "SystemExit" not in repr(document.tree)


def test_a_network_of_the_tensorflow_days_becomes_a_node(tmp_path):
    class Network:
        def __init__(self):
            self.version, self.variables = 4, [("w", np.ones((2, 3), np.float32))]

    Network.__module__, Network.__qualname__ = "dnnlib.tflib.network", "Network"
    module = types.ModuleType("dnnlib.tflib.network")
    module.Network = Network
    names = ("dnnlib", "dnnlib.tflib")
    sys.modules.update({**{name: types.ModuleType(name) for name in names}, module.__name__: module})
    try:
        path = written(tmp_path / "tf.pkl", pickle.dumps((None, Network(), Network())))
    finally:
        for name in (*names, module.__name__):
            del sys.modules[name]
    _, _, node = read_document(path).tree
    assert (node.name, node.state["version"]) == ("dnnlib.tflib.network.Network", 4)
    assert_same(node.state["variables"][0][1], torch.ones(2, 3))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_a_whole_module_becomes_nodes(tmp_path, zipped):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    torch.save(module, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    node = read_document(tmp_path / "m.pt").tree
    assert node.name == "torch.nn.modules.container.Sequential"
    linear = node.state["_modules"]["0"]
    assert linear.name == "torch.nn.modules.linear.Linear"
    assert_same(linear.state["_parameters"]["weight"], module[0].weight.detach())


def test_safetensors_and_its_metadata_are_read(tmp_path):
    state = {"a": torch.randn(2, 3), "n": torch.tensor(1.0), "h": torch.ones(3).half()}
    save_file(state, tmp_path / "x", metadata={"made": "here"})
    document = read_document(tmp_path / "x")
    assert (document.container, document.metadata) == ("safetensors", {"made": "here"})
    assert {name: value.tolist() for name, value in document.tree.items()} == {
        k: v.tolist() for k, v in state.items()
    }


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", ">f4", ">i8"]
)
@pytest.mark.parametrize("shape", [(), (6,), (2, 3), (0, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_arrays_are_read_as_numpy_reads_them(tmp_path, dtype, shape, order):
    array = np.array(np.arange(np.prod(shape, dtype=int)).reshape(shape), dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    found = read_document(tmp_path / "a.npy")
    assert found.container == "npy"
    assert_same(found.tree, torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C")))


def test_an_npy_of_one_dict_is_that_dict(tmp_path):
    latents = {"1.jpg": [np.ones((18, 4), np.float32), np.zeros((18, 4), np.float32)]}
    np.save(tmp_path / "latents.npy", latents)
    found = read_document(tmp_path / "latents.npy").tree
    assert_same(found["1.jpg"][0], torch.ones(18, 4))
    np.save(tmp_path / "o.npy", np.array([[1, "a"], [None, 2.5]], dtype=object))
    assert read_document(tmp_path / "o.npy").tree == [[1, "a"], [None, 2.5]]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_archives_are_read(tmp_path, save):
    arrays = {"w": np.random.default_rng(0).normal(size=(1, 18, 8)), "n": np.zeros(100_000, np.float32)}
    save(tmp_path / "a.npz", **arrays)
    document = read_document(tmp_path / "a.npz")
    assert document.container == "npz"
    assert_same(document.tree, {name: torch.from_numpy(array) for name, array in arrays.items()})


def test_writing_to_a_tensor_does_not_reach_the_file(tmp_path):
    torch.save({"a": torch.zeros(4096)}, tmp_path / "a.pt")
    before = (tmp_path / "a.pt").read_bytes()
    read_document(tmp_path / "a.pt").tree["a"].fill_(1.0)
    assert (tmp_path / "a.pt").read_bytes() == before


def test_aligned_tensors_are_views_of_the_file(tmp_path):
    whole = torch.arange(4096.0)
    torch.save([whole[:10], whole[5:]], tmp_path / "a.pt")
    head, tail = read_document(tmp_path / "a.pt").tree
    assert tail.data_ptr() - head.data_ptr() == 5 * 4


def test_attributes_of_tensors_are_dropped(tmp_path):
    weight = torch.ones(2)
    weight.note = "kept nowhere"
    torch.save({"a": weight}, tmp_path / "a.pt")
    assert b"_rebuild_from_type_v2" in (tmp_path / "a.pt").read_bytes()
    assert_same(read_document(tmp_path / "a.pt").tree, {"a": torch.ones(2)})


def test_shared_parts_stay_shared(tmp_path):
    weight = torch.ones(2)
    torch.save([weight, weight], tmp_path / "a.pt")
    first, second = read_document(tmp_path / "a.pt").tree
    assert first is second


def test_a_class_that_is_only_made_is_inert(tmp_path):
    path = written(
        tmp_path / "p", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85\x81}X\x01\x00\x00\x00aK\x01sb."
    )
    assert read_document(path).tree == Node(name="os.system", args=("true",), state={"a": 1})


def tar_file():
    import tarfile

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model/weights.bin"))
    return stream.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1048576\n"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "empty file"),
        (b"\xef\xbb\xbf \n<!DOCTYPE html><html>", "web page"),
        (b"<html>Google Drive - Quota exceeded", "web page"),
        (LFS, "Git LFS pointer to a file of 1048576 bytes"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"7z\xbc\xaf\x27\x1c\x00", "7z"),
        (tar_file(), "tar archive of 'model/weights.bin'"),
        (b"hello, world", "68 65 6c 6c 6f"),
    ],
)
def test_what_is_no_weights_file_is_named(tmp_path, data, text):
    path = written(tmp_path / "weights.pt", data)
    with pytest.raises(UnreadableFileError, match=text) as caught:
        read_document(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert isinstance(caught.value, CheckpointError)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(UnreadableFileError, match="no such file"):
        read_document(tmp_path / "none.pt")
    with pytest.raises(UnreadableFileError, match="a folder"):
        read_document(tmp_path)


def test_a_file_over_the_limit_is_refused(tmp_path):
    torch.save(torch.zeros(1000), tmp_path / "a.pt")
    with pytest.raises(UnsafeFileError, match="at most 1000 are read"):
        read_document(tmp_path / "a.pt", limit_bytes=1000)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "safetensors", "npy", "npz"])
def test_truncated_files_are_named(tmp_path, kind):
    path, tree = tmp_path / "a", {"a": torch.arange(1000.0)}
    if kind in ("zip", "legacy"):
        torch.save(tree, path, _use_new_zipfile_serialization=kind == "zip")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(tree))
    elif kind == "safetensors":
        save_file(tree, path)
    else:
        with path.open("wb") as file:
            np.save(file, tree["a"].numpy()) if kind == "npy" else np.savez(file, **tree)
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 300):
        path.write_bytes(whole[:length])
        with pytest.raises(UnreadableFileError, match="truncated"):
            read_document(path)
