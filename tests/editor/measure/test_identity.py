import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from editor.measure.identity import IdentityMeter
from editor.measure.identity_crop import template_in_crop, warp_to_template
from stylegan2.bundle.folder import CropConfig
from stylegan2.errors import CheckpointError
from stylegan2.image import from_uint8

CROP = CropConfig(scale=0.66, center=0.48)


def write_network(file, *, rank=2):
    """A face network of one layer: means over 16 x 16 patches, times a fixed matrix."""
    weights = np.random.default_rng(0).normal(size=(3 * 49, 8)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["input"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["output"]),
    ]
    shape = [1, 8]
    if rank != 2:
        nodes, shape = nodes[:1], [1, 3, 7, 7]
        nodes[0].output[0] = "output"
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), file)
    return weights


def test_likeness_is_the_cosine_of_the_embeddings(tmp_path):
    weights = write_network(tmp_path / "toy.onnx")
    meter = IdentityMeter(tmp_path / "toy.onnx", CROP)
    faces = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    warped = warp_to_template(from_uint8(torch.from_numpy(faces)), template_in_crop(CROP).float())
    expected = torch.nn.functional.avg_pool2d(warped, 16).flatten(1).numpy() @ weights
    a, b = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    assert meter(faces[0], faces[1]) == pytest.approx(a @ b, abs=1e-4)
    assert meter(faces[0], faces[0]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x07"])
def test_what_is_no_network_is_refused(tmp_path, content):
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"bad.onnx: not a network that OpenCV can run"):
        IdentityMeter(tmp_path / "bad.onnx", CROP)


def test_a_network_that_answers_with_pictures_is_refused(tmp_path):
    write_network(tmp_path / "pictures.onnx", rank=4)
    with pytest.raises(CheckpointError, match=r"answers with shape \[1, 3, 7, 7\]; must be \[1, D\]"):
        IdentityMeter(tmp_path / "pictures.onnx", CROP)


def test_a_missing_file_is_named():
    with pytest.raises(CheckpointError, match=r"nobody.onnx: no such file; name an ONNX network"):
        IdentityMeter("nobody.onnx", CROP)
