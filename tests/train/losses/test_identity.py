import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from editor.measure.identity_crop import TEMPLATE_EYES, TEMPLATE_MOUTH, template_in_crop, warp_to_template
from stylegan2.bundle.folder import CropConfig
from stylegan2.errors import CheckpointError, ShapeError
from train.losses.identity import IdentityEmbedder, load_identity
from train.losses.onnx_module import OnnxModule, load_onnx

SHARED = Path(__file__).resolve().parents[4] / "shared"
NETWORK = SHARED / "models" / "metrics" / "mobilefacenet_id.onnx"
HELD_OUT = SHARED / "data" / "faces256" / "heldout.tar"
TIGHT = CropConfig(scale=0.66, center=0.48)

needs_network = pytest.mark.skipif(not NETWORK.is_file(), reason=f"{NETWORK} is not there")
needs_faces = pytest.mark.skipif(not HELD_OUT.is_file(), reason=f"{HELD_OUT} is not there")


def graph(nodes, weights, out_shape=("N", 4)):
    return helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out_shape)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )


def small_graph():
    rng = np.random.default_rng(0)
    weights = {
        "k": rng.standard_normal((4, 1, 3, 3)).astype(np.float32),
        "b": rng.standard_normal(4).astype(np.float32),
        "s": rng.random((4, 1, 1)).astype(np.float32),
        "p": rng.standard_normal((4, 4, 3, 3)).astype(np.float32),
        "shape": np.array([1, -1]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["a"], group=2, strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("PRelu", ["a", "s"], ["c"]),
        helper.make_node("Add", ["a", "c"], ["d"]),
        helper.make_node("Conv", ["d", "p"], ["e"]),
        helper.make_node("Reshape", ["e", "shape"], ["y"]),
    ]
    return graph(nodes, weights), weights


@pytest.mark.parametrize("batch", [1, 3])
def test_a_graph_computes_what_its_nodes_say(batch):
    built, weights = small_graph()
    k, b, s, p = (torch.from_numpy(weights[n]) for n in "kbsp")
    x = torch.randn(batch, 2, 6, 6)
    a = F.conv2d(x, k, b, stride=2, padding=1, groups=2)
    expected = F.conv2d(a + torch.where(a > 0, a, a * s), p).flatten(1)
    assert torch.allclose(OnnxModule(built)(x), expected, atol=1e-5)


def test_the_gradient_of_a_graph_is_right():
    module = OnnxModule(small_graph()[0]).double()
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, [x])
    assert not list(module.parameters())


def test_what_a_graph_must_not_have_is_refused():
    with pytest.raises(CheckpointError, match=r"ONNX operator Relu; supported: Add, Conv, PRelu, Reshape"):
        OnnxModule(graph([helper.make_node("Relu", ["x"], ["y"])], {}))
    kernel = {"k": np.zeros((2, 2, 3, 3), np.float32)}
    uneven = helper.make_node("Conv", ["x", "k"], ["y"], pads=[0, 0, 1, 1])
    with pytest.raises(CheckpointError, match=r"pads \[0, 0, 1, 1\]"):
        OnnxModule(graph([uneven], kernel))
    two = graph([helper.make_node("Add", ["x", "x"], ["y"])], {})
    two.output.append(two.output[0])
    with pytest.raises(CheckpointError, match="1 inputs and 2 outputs"):
        OnnxModule(two)


def test_missing_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.onnx: no such file"):
        load_onnx(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"\xff\xffnothing")
    with pytest.raises(CheckpointError, match="not a readable ONNX model"):
        load_onnx(tmp_path / "bad.onnx")
    relu = helper.make_model(graph([helper.make_node("Relu", ["x"], ["y"])], {}))
    onnx.save(relu, tmp_path / "relu.onnx")
    with pytest.raises(CheckpointError, match=r"relu\.onnx: ONNX operator Relu"):
        load_onnx(tmp_path / "relu.onnx")


@pytest.mark.parametrize("crop_config", [TIGHT, CropConfig(scale=1.0, center=0.1)])
def test_template_points_land_where_the_crop_rule_puts_them(crop_config):
    eyes, mouth = np.array(TEMPLATE_EYES), np.array(TEMPLATE_MOUTH)
    e2e, e2m = eyes[1] - eyes[0], mouth.mean(0) - eyes.mean(0)
    # The template stands almost upright, so its crop does: the side follows from lengths alone.
    half = crop_config.scale * max(2 * np.hypot(*e2e), 1.8 * np.hypot(*e2m))
    matrix = template_in_crop(crop_config).numpy()
    for point in (*eyes, *mouth):
        expected = (point - eyes.mean(0) - crop_config.center * e2m) / half
        assert np.abs(matrix @ [*point, 1] - expected).max() < 0.01
    rotation = matrix[:, :2] * half
    assert np.allclose(rotation @ rotation.T, np.eye(2), atol=1e-9)


class Pass(torch.nn.Module):
    def forward(self, x):
        return x.flatten(1)


@pytest.mark.parametrize("side", [64, 128, 256])
def test_the_warp_brings_a_mark_to_its_template_point(side):
    matrix = template_in_crop(TIGHT)
    for point in (*TEMPLATE_EYES, *TEMPLATE_MOUTH):
        u, v = (matrix.numpy() @ [*point, 1] + 1) / 2 * side - 0.5
        y, x = np.mgrid[:side, :side]
        spot = np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * (side / 40) ** 2))
        img = torch.from_numpy(spot).float()[None, None].repeat(1, 3, 1, 1)
        crop = warp_to_template(img, matrix.float())[0, 0].clamp_min(0.05).sub(0.05).numpy()
        rows, columns = np.mgrid[:112, :112]
        found = np.array([(columns * crop).sum(), (rows * crop).sum()]) / crop.sum()
        assert np.abs(found - point).max() < 0.6


@pytest.mark.parametrize("side", [400, 512, 601])
def test_a_large_picture_is_averaged_over_true_areas(side):
    """Whatever the side: stripes as fine as a pixel come out as OpenCV's area filter makes them."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
    img = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    to_crop = template_in_crop(TIGHT).float()
    pitch = int(side * 0.5 * float(to_crop[0, :2].norm()))
    assert pitch >= 2
    small = cv2.resize(pixels.astype(np.float32), (side // pitch,) * 2, interpolation=cv2.INTER_AREA)
    expected = warp_to_template(torch.from_numpy(small).permute(2, 0, 1)[None] / 127.5 - 1, to_crop)
    levels = (warp_to_template(img, to_crop) - expected).abs().max().item() * 127.5
    assert levels < 0.1


def test_what_lies_outside_the_crop_is_reflected():
    img = torch.linspace(-1, 1, 128)[:, None].expand(1, 3, 128, 128).contiguous()
    column = warp_to_template(img, template_in_crop(TIGHT).float())[0, 0, :, 56]
    edge = int(column.argmin())
    assert 15 < edge < 35
    assert torch.allclose(column[:edge].flip(0)[:10], column[edge : edge + 10], atol=0.05)


def test_the_gradient_reaches_the_picture():
    embedder = IdentityEmbedder(Pass(), TIGHT).double()
    img = torch.rand(1, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3 * 112 * 112, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda t: embedder(t) @ weight, [img])


def test_pictures_that_are_not_square_are_refused():
    with pytest.raises(ShapeError, match="img"):
        IdentityEmbedder(Pass(), TIGHT)(torch.zeros(1, 3, 16, 20))


def test_embeddings_have_unit_length_whatever_the_batch():
    assert torch.allclose(
        IdentityEmbedder(Pass(), TIGHT)(torch.rand(3, 3, 32, 32)).norm(dim=1), torch.ones(3)
    )


@needs_network
def test_the_network_equals_another_runtime():
    x = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
    runtime = cv2.dnn.readNetFromONNX(str(NETWORK))
    runtime.setInput(x.numpy())
    ours = load_onnx(NETWORK)(x).detach().numpy()
    assert np.abs(ours - runtime.forward()).max() < 1e-3 * np.abs(ours).max()


@needs_network
@needs_faces
def test_faces_are_told_apart_and_mirrored_faces_recognised():
    faces = []
    with tarfile.open(HELD_OUT) as tar:
        for member in tar:
            if member.name.endswith(".webp") and len(faces) < 32:
                faces.append(np.array(Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB")))
    img = F.avg_pool2d(torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2).float() / 127.5 - 1, 2)
    embed = load_identity(NETWORK, TIGHT)
    with torch.no_grad():
        e, mirrored = embed(img), embed(img.flip(3))
    cosine = e @ e.T
    assert torch.allclose(cosine.diagonal(), torch.ones(32), atol=1e-5)
    others = cosine[~torch.eye(32, dtype=torch.bool)]
    assert others.mean() < 0.15
    assert (others > 0.5).float().mean() < 0.02
    assert (e * mirrored).sum(1).median() > 0.95
    assert (e * mirrored).sum(1).min() > 0.85
