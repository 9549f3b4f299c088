import cv2
import numpy as np
import pytest

from editor.face.landmarks import FaceDetector
from editor.measure.attributes import complexion, find_mesh, geometry, light, load_networks, measure
from stylegan2.errors import CheckpointError


@pytest.fixture
def crop(astronaut):
    return cv2.resize(astronaut[40:200, 150:310], (128, 128), interpolation=cv2.INTER_AREA)


@pytest.fixture
def mesh(crop):
    with FaceDetector() as detector:
        points = find_mesh(detector, crop)
    assert points is not None
    return points


def test_the_mesh_lies_in_the_crop(mesh):
    assert mesh.shape == (478, 2)
    assert (mesh.mean(0) > 40).all()
    assert (mesh.mean(0) < 90).all()


def test_geometry_is_free_of_scale_place_and_rotation(mesh):
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (mesh @ turn.T * 3 + [100, -20]).astype(np.float32)
    for name, value in geometry(mesh).items():
        assert geometry(moved)[name] == pytest.approx(value, abs=1e-3), name


def test_geometry_follows_the_face(mesh):
    base = geometry(mesh)
    opened = mesh.copy()
    opened[14, 1] += 10
    assert geometry(opened)["mouth_open"] > base["mouth_open"]
    lifted = mesh.copy()
    lifted[[61, 291], 1] -= 5
    assert geometry(lifted)["smile"] > base["smile"]
    narrowed = mesh.copy()
    narrowed[[145, 374]] = narrowed[[159, 386]]
    assert geometry(narrowed)["eyes_open"] < base["eyes_open"]
    turned = mesh.copy()
    turned[1, 0] += 8
    assert geometry(turned)["yaw"] > base["yaw"]


def test_a_mirrored_face_looks_the_other_way(mesh, crop):
    # Landmarks swap sides when mirrored; the points that are used come in pairs or lie in the middle.
    mirrored = mesh.copy()
    mirrored[:, 0] = 127 - mirrored[:, 0]
    for right, left in ((234, 454), (61, 291), (33, 362), (133, 263), (159, 386), (145, 374)):
        mirrored[[right, left]] = mirrored[[left, right]]
    assert geometry(mirrored)["yaw"] == pytest.approx(-geometry(mesh)["yaw"], abs=1e-4)
    other = light(crop[:, ::-1].copy(), mirrored)["light"]
    assert other == pytest.approx(-light(crop, mesh)["light"], abs=0.05)


def test_light_says_where_it_comes_from(mesh):
    ramp = np.repeat(np.tile(np.linspace(0, 255, 128).astype(np.uint8), (128, 1))[..., None], 3, axis=2)
    assert light(ramp, mesh)["light"] > 0.2
    assert light(ramp[:, ::-1].copy(), mesh)["light"] < -0.2
    assert light(np.full_like(ramp, 100), mesh)["light"] == pytest.approx(0, abs=1e-6)


def test_complexion_is_the_colour_of_the_face_alone(mesh):
    grey = np.full((128, 128, 3), 128, np.uint8)
    assert complexion(grey, mesh) == pytest.approx({"redness": 0, "yellowness": 0}, abs=0.1)
    red, yellow = grey + np.uint8([40, 0, 0]), grey + np.uint8([40, 40, 0])
    assert complexion(red, mesh)["redness"] > 10
    assert complexion(yellow, mesh)["yellowness"] > 10
    assert abs(complexion(yellow, mesh)["redness"]) < 10
    lips = grey.copy()
    x, y = mesh[[13, 14]].mean(0).astype(int)
    lips[y - 5 : y + 5, x - 8 : x + 8] = [200, 40, 40]
    lips[:10] = [200, 40, 40]
    assert complexion(lips, mesh) == pytest.approx(complexion(grey, mesh), abs=1e-3)


def test_missing_networks_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"age-v1\.onnx: no such file"):
        load_networks(tmp_path)


def test_damaged_networks_are_named(tmp_path):
    pytest.importorskip("openvino")
    (tmp_path / "age-v1.onnx").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"age-v1\.onnx: OpenVINO cannot read it"):
        load_networks(tmp_path)


def test_networks_tell_an_adult_woman(shared, crop):
    networks = load_networks(shared / "models" / "metrics")
    with FaceDetector() as detector:
        found = measure(detector, networks, crop)
        assert measure(detector, networks, np.zeros_like(crop)) is None
    assert found is not None
    assert 20 < found["age"] < 60
    assert found["masculine"] < 0
