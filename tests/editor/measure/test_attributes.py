import cv2
import numpy as np
import pytest

from editor.face.landmarks import FaceDetector
from editor.measure.attribute_network import load_attributes
from editor.measure.attributes import MEASURED, find_mesh, geometry, load_networks, measure
from editor.measure.colours import complexion, light, paint_of
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
    aside = mesh.copy()
    aside[[468, 473], 0] += 3
    assert geometry(aside)["gaze"] > base["gaze"]
    raised = mesh.copy()
    raised[[105, 334], 1] -= 4
    assert geometry(raised)["brows"] > base["brows"]
    wide = mesh.copy()
    wide[172, 0] -= 4
    wide[397, 0] += 4
    assert geometry(wide)["face_width"] > base["face_width"]


def test_a_mirrored_face_looks_the_other_way(mesh, crop):
    # Landmarks swap sides when mirrored; the points that are used come in pairs or lie in the middle.
    mirrored = mesh.copy()
    mirrored[:, 0] = 127 - mirrored[:, 0]
    # Of an eye, the outer corner comes first on one side and the inner one on the other.
    for right, left in ((234, 454), (61, 291), (33, 263), (133, 362), (159, 386), (145, 374), (468, 473)):
        mirrored[[right, left]] = mirrored[[left, right]]
    assert geometry(mirrored)["gaze"] == pytest.approx(-geometry(mesh)["gaze"], abs=1e-4)
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


def test_beard_and_lips_are_told_against_the_cheeks(mesh):
    grey = np.full((128, 128, 3), 128, np.uint8)
    assert paint_of(grey, mesh) == pytest.approx({"beard": 0, "lips": 0}, abs=1e-3)
    grown = grey.copy()
    grown[int(mesh[17, 1]) :] = 60
    assert paint_of(grown, mesh)["beard"] > 0.1
    painted = grey.copy()
    (x0, top), (x1, _), (_, bottom) = mesh[[61, 291, 17]].astype(int)
    painted[top - 3 : bottom, x0:x1] = [190, 60, 70]
    assert paint_of(painted, mesh)["lips"] > 10
    off = mesh + 300  # a mesh may lie outside the picture
    assert np.isfinite(list(paint_of(grey, off).values())).all()


def test_how_hard_the_light_is(mesh):
    ramp = np.repeat(np.tile(np.linspace(60, 200, 128).astype(np.uint8), (128, 1))[..., None], 3, axis=2)
    flat = np.full_like(ramp, 130)
    assert light(ramp, mesh)["contrast"] > light(flat, mesh)["contrast"]
    assert light(flat, mesh)["contrast"] == pytest.approx(0, abs=1e-6)


def test_missing_networks_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"age-v1\.onnx: no such file"):
        load_networks(tmp_path)


def test_damaged_networks_are_named(tmp_path):
    pytest.importorskip("openvino")
    (tmp_path / "age-v1.onnx").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"age-v1\.onnx: OpenVINO cannot read it"):
        load_networks(tmp_path)


def test_networks_tell_an_adult_woman(shared, crop):
    judges, network = load_networks(shared / "models" / "metrics"), load_attributes()
    with FaceDetector() as detector:
        found = measure(detector, network, crop)
        judged = measure(detector, network, crop, judges)
        assert measure(detector, network, np.zeros_like(crop)) is None
    assert found is not None
    assert judged is not None
    for each in (found, judged):
        assert 20 < each["age"] < 60
    assert judged["masculine"] < 0
    assert found["age"] != judged["age"]
    assert set(found) == set(judged) == set(MEASURED)
    assert found["teeth"] == judged["teeth"] > 0  # she laughs
    assert abs(found["yaw"]) < 15
