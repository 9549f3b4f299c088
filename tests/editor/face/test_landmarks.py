"""FaceDetector: faces of every size, the model file, and the way a face looks."""

import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from editor.errors import ImageInputError
from editor.face.landmarks import FaceDetector
from editor.face.mesh import estimate_yaw
from editor.face.model import BUNDLED_MODEL, MODEL_VARIABLE, FaceModels, find_face_model
from editor.face.search import find_faces, search_upright
from editor.face.tiles import Box, distinct, overlap, same_face, tile_starts
from stylegan2.bundle.checkpoint import load_generator
from stylegan2.bundle.folder import CropConfig
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from stylegan2.engines.renderer import Renderer
from stylegan2.errors import CheckpointError
from tests.helpers.largest_face import find_and_crop

REPOSITORY = Path(__file__).resolve().parents[3]
ASTRONAUT = skimage.data.astronaut()  # NASA, public domain: one face of 104 px, frontal
HEAD = ASTRONAUT[:260, 90:370]
HEAD_FACE = 103.5  # px, size of the face in HEAD
HEAD_CENTER = (135.1, 123.7)  # px, middle of its box in HEAD


@pytest.fixture(scope="module")
def detector():
    with FaceDetector() as opened:
        yield opened


def backdrop(width, height):
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 180 / height + 40, x * 160 / width + 30, (x + y) / 16 + 20], -1).astype(np.uint8)


def collage(width, height, *places):
    """A backdrop with a head per (face size, left, top); also the middles of the faces."""
    canvas, middles = backdrop(width, height), []
    for size, left, top in places:
        scale = size / HEAD_FACE
        head = cv2.resize(HEAD, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        canvas[top : top + head.shape[0], left : left + head.shape[1]] = head
        middles.append((left + HEAD_CENTER[0] * scale, top + HEAD_CENTER[1] * scale))
    return canvas, middles


def assert_found(faces, places, middles):
    assert len(faces) == len(places)
    for face, (size, _, _), middle in zip(faces, places, middles, strict=True):
        assert abs(face.size / size - 1) < 0.15
        assert np.hypot(*np.subtract(Box(*face.box).center, middle)) < 0.1 * size


def mesh_of(angle, roll=0.0):
    """A made-up head (ears, nose tip) turned by `angle` degrees to the right of the picture, then rolled."""
    mesh = np.zeros((478, 3))
    mesh[[234, 454, 1]] = (-50, 0, 0), (50, 0, 0), (0, 10, -77.5)
    turn, tilt = np.radians(angle), np.radians(roll)
    cos, sin = np.cos(turn), np.sin(turn)
    mesh = mesh @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    cos, sin = np.cos(tilt), np.sin(tilt)
    return mesh @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) + (300, 200, 0)


def test_one_face_with_its_points_box_size_and_yaw(detector):
    (face,) = detector.detect(ASTRONAUT)
    assert face.points.shape == (478, 2)
    assert face.points.dtype == np.float32
    np.testing.assert_allclose(face.box, [*face.points.min(0), *face.points.max(0)])
    assert face.size == pytest.approx(104, abs=3)
    assert abs(face.yaw) < 5
    means = (face.points[list(ids)].mean(axis=0) for ids in ((33, 133), (362, 263), (61, 291)))
    right_eye, left_eye, mouth = means
    np.testing.assert_allclose([right_eye, left_eye, mouth], [(204, 102), (247, 103), (224, 141)], atol=6)


def test_detection_leaves_the_photo_alone_and_is_deterministic(detector):
    pixels = ASTRONAUT.copy()
    first, second = detector.detect(pixels), detector.detect(pixels)
    np.testing.assert_array_equal(pixels, ASTRONAUT)
    np.testing.assert_array_equal(first[0].points, second[0].points)


def test_no_face_is_an_empty_list(detector):
    for pixels in (backdrop(640, 480), skimage.data.coffee(), skimage.data.chelsea(), backdrop(32, 32)):
        assert detector.detect(pixels) == []


def test_small_faces_of_a_large_photo_are_found_by_the_tiles_only(detector):
    places = [(120, 850, 250), (60, 500, 300), (38, 40, 40)]
    canvas, middles = collage(1280, 720, *places)
    assert_found(detector.detect(canvas), places, middles)
    assert len(detector.detect(canvas, small_faces=False)) < 3


@pytest.mark.parametrize(("left", "top"), [(0, 0), (613, 331), (1160, 600)])
def test_a_face_of_three_percent_is_found_wherever_it_is(detector, left, top):
    places = [(38.4, left, top)]
    canvas, middles = collage(1280, 720, *places)
    assert_found(detector.detect(canvas), places, middles)


def test_faces_of_a_photo_that_was_shrunk_to_be_searched_are_exact(detector):
    places = [(300, 400, 300), (150, 2600, 1500)]
    canvas, middles = collage(4001, 2251, *places)
    faces = detector.detect(canvas)
    assert_found(faces, places, middles)
    (alone,) = detector.detect(np.ascontiguousarray(canvas[200:1200, 300:1300]))
    np.testing.assert_allclose(faces[0].points, np.add(alone.points, (300, 200)), atol=0.03 * 300)


def test_a_face_found_at_several_scales_is_reported_once(detector):
    for size in (90, 130, 200):
        canvas, middles = collage(1280, 720, (size, 500, 100))
        assert_found(detector.detect(canvas), [(size, 500, 100)], middles)


def test_faces_come_largest_first_and_a_portrait_format_works(detector):
    places = [(110, 100, 800), (90, 380, 500), (70, 50, 100)]
    canvas, middles = collage(720, 1280, *places)
    assert_found(detector.detect(canvas), places, middles)


def test_the_tiles_are_skipped_beside_a_large_face(detector):
    places = [(200, 100, 0), (30, 560, 380)]
    canvas, middles = collage(700, 520, *places)
    assert_found(detector.detect(canvas), places[:1], middles[:1])


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("width", [512, 380])
def test_a_photo_on_its_side_or_head_gives_the_same_points_turned(detector, turns, width):
    pixels = np.ascontiguousarray(ASTRONAUT[:, :width])
    points = turned_points(detector.detect(pixels)[0].points, turns, *pixels.shape[:2])
    (face,) = detector.detect(np.ascontiguousarray(np.rot90(pixels, turns)))
    np.testing.assert_allclose(face.points, points, atol=1)
    np.testing.assert_allclose(face.box, [*face.points.min(0), *face.points.max(0)])
    assert face.size == pytest.approx(104, abs=4)


def turned_points(points, turns, height, width):
    """Points of a photo of `height` x `width`, moved as np.rot90 moves its pixels."""
    for _ in range(turns):
        points = np.stack([points[:, 1], width - points[:, 0]], axis=1)
        height, width = width, height
    return points


@pytest.mark.weights
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_face_that_fills_the_photo_is_found_on_its_side_and_head(detector, filling_faces, turns):
    for face in filling_faces:
        (upright,) = detector.detect(face)
        (found,) = detector.detect(np.ascontiguousarray(np.rot90(face, turns)))
        np.testing.assert_allclose(found.points, turned_points(upright.points, turns, 512, 512), atol=1)
        assert found.yaw == pytest.approx(upright.yaw, abs=1)


@pytest.mark.weights
def test_a_face_in_a_photo_on_its_head_is_cut_out_upright(detector, filling_faces):
    crop_config = CropConfig(scale=0.66, center=0.48)
    for face in filling_faces[:4]:
        crops = [
            find_and_crop(detector, np.ascontiguousarray(np.rot90(face, turns)), crop_config, 64).cropped.crop
            for turns in (0, 2)
        ]
        assert np.abs(crops[0].astype(int) - crops[1]).mean() < 2


@pytest.fixture(scope="module")
def filling_faces():
    """Twelve faces of the bundled generator, the tight crop as the whole photo of 512 px."""
    generator = load_generator(load_bundle(DEFAULT_BUNDLE).generator_path)
    w = generator.sample_w(12, seed=0, truncation_psi=0.7)
    pixels = Renderer(generator, engine="torch").render(generator.broadcast(w)).numpy()
    return [cv2.resize(face, (512, 512), interpolation=cv2.INTER_CUBIC) for face in pixels]


class Blind:
    """Stands in for both models of MediaPipe: sees nothing, and counts how often each is asked."""

    def __init__(self):
        self.looks = 0
        self.face_landmarks, self.detections = [], []

    def detect(self, image):
        self.looks += 1
        return self


def test_a_photo_without_faces_is_searched_four_times_and_no_more():
    whole, tiles = Blind(), Blind()
    models = FaceModels(landmarker=whole, detector=tiles)
    search_upright(models, backdrop(640, 480), small_faces=True)
    once = whole.looks, tiles.looks
    assert find_faces(models, backdrop(640, 480)) == []
    assert (whole.looks, tiles.looks) == (5 * once[0], 5 * once[1])


def test_without_small_faces_one_look_is_all():
    whole, tiles = Blind(), Blind()
    search_upright(FaceModels(landmarker=whole, detector=tiles), backdrop(640, 480), small_faces=False)
    assert (whole.looks, tiles.looks) == (1, 0)


def test_without_small_faces_no_tiles_and_no_turns(detector):
    turned = np.ascontiguousarray(np.rot90(ASTRONAUT, 2))
    (rough,), (exact,) = detector.detect(turned, small_faces=False), detector.detect(turned)
    assert np.abs(rough.points - exact.points).max() > 20


def test_a_real_profile_reads_as_one(detector):
    grey = skimage.data.camera()  # a man in profile, looking to the right
    pixels = np.repeat(grey[:, :, None], 3, axis=2)
    (face,) = detector.detect(pixels)
    assert face.yaw > 45
    (mirrored,) = detector.detect(np.ascontiguousarray(pixels[:, ::-1]))
    assert mirrored.yaw < -45


@pytest.mark.parametrize("roll", [0, 30, -90, 170])
@pytest.mark.parametrize("angle", [-80, -45, -20, 0, 10, 30, 60])
def test_yaw_of_a_turned_solid_is_its_angle_whatever_its_roll(angle, roll):
    assert estimate_yaw(mesh_of(angle, roll)) == pytest.approx(angle, abs=0.5)


def test_yaw_has_no_unit_and_grows_when_a_mesh_is_squeezed():
    mesh = mesh_of(25)
    assert estimate_yaw(mesh * 0.001) == pytest.approx(estimate_yaw(mesh))
    squeezed = [estimate_yaw((mesh - (300, 0, 0)) * (factor, 1, 1)) for factor in (1, 0.6, 0.3)]
    assert squeezed == sorted(squeezed)
    assert estimate_yaw(np.zeros((478, 3))) == 0


def test_one_detector_serves_several_threads(detector):
    expected = detector.detect(ASTRONAUT, small_faces=False)[0].points
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: detector.detect(ASTRONAUT, small_faces=False)[0].points, range(8)))
    for points in found:
        np.testing.assert_array_equal(points, expected)


def test_a_closed_detector_starts_again():
    detector = FaceDetector()
    detector.close()
    assert len(detector.detect(ASTRONAUT, small_faces=False)) == 1
    detector.close()
    detector.close()
    assert len(detector.detect(ASTRONAUT, small_faces=False)) == 1
    detector.close()


@pytest.mark.parametrize("pixels", [ASTRONAUT[..., 0], ASTRONAUT.astype(np.float32), ASTRONAUT[..., :2]])
def test_other_arrays_are_refused(detector, pixels):
    with pytest.raises(ImageInputError, match=r"photo: got an array .*expected \[H, W, 3\] uint8"):
        detector.detect(pixels)


def test_model_is_the_given_then_the_environments_then_the_bundled(tmp_path, monkeypatch):
    given, from_variable = tmp_path / "given.task", tmp_path / "variable.task"
    for path in (given, from_variable):
        path.touch()
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    assert find_face_model() == BUNDLED_MODEL
    monkeypatch.setenv(MODEL_VARIABLE, str(from_variable))
    assert find_face_model() == from_variable
    assert FaceDetector().path == from_variable
    assert find_face_model(given) == given
    assert find_face_model(str(given)) == given


def test_a_missing_model_says_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match=rf"gone\.task: no such .*given explicitly.*{MODEL_VARIABLE}"):
        FaceDetector(tmp_path / "gone.task")
    monkeypatch.setenv(MODEL_VARIABLE, str(tmp_path))
    with pytest.raises(CheckpointError, match=rf"no such face landmark model \(from {MODEL_VARIABLE}\)"):
        FaceDetector()


def test_a_damaged_model_is_an_error_of_ours(tmp_path):
    page, cut, other = tmp_path / "page.task", tmp_path / "cut.task", tmp_path / "other.task"
    page.write_text("<html>quota exceeded</html>")
    cut.write_bytes(BUNDLED_MODEL.read_bytes()[:100_000])
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("face_detector.tflite", b"nonsense")
    for path in (page, cut, other):
        with pytest.raises(CheckpointError, match=rf"{path.name}: .*expected a \.task file"):
            FaceDetector(path).load()


def test_another_process_starts_and_ends_in_silence(tmp_path):
    copy = shutil.copy(BUNDLED_MODEL, tmp_path / "copy.task")
    code = (
        "import sys, numpy as np\n"
        "from editor.face.landmarks import FaceDetector\n"
        f"detector = FaceDetector({str(copy)!r})\n"
        "assert 'mediapipe' not in sys.modules\n"
        "assert detector.detect(np.zeros((64, 64, 3), np.uint8)) == []\n"
    )
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_tiles_cover_an_axis_and_share_at_least_a_third():
    for length in (1, 2, 255, 256, 257, 300, 512, 719, 1000):
        starts = tile_starts(length, 256)
        assert starts[0] == 0
        assert max(starts[-1] + 256, 256) == max(length, 256)
        assert all(0 < b - a <= 171 for a, b in pairwise(starts))


def test_overlap_is_intersection_over_union_by_counting_pixels():
    rng = np.random.default_rng(3)
    for _ in range(50):
        corners = np.sort(rng.integers(0, 20, (2, 2, 2)), axis=1)  # [box, low or high, x or y]
        corners[:, 1] += 1
        grids = np.zeros((2, 21, 21), bool)
        for grid, ((x0, y0), (x1, y1)) in zip(grids, corners, strict=True):
            grid[y0:y1, x0:x1] = True
        a, b = (Box(*box.ravel().tolist()) for box in corners)
        assert overlap(a, b) == pytest.approx((grids[0] & grids[1]).sum() / (grids[0] | grids[1]).sum())
        assert overlap(a, b) == overlap(b, a)


def test_only_boxes_of_other_faces_are_kept():
    large, shifted = Box(0, 0, 10, 10), Box(2, 0, 12, 10)
    forehead, beside = Box(2, 1, 6, 4), Box(9, 0, 19, 10)
    assert same_face(large, shifted)
    assert same_face(forehead, large)
    assert not same_face(large, beside)
    assert distinct([large, shifted, forehead, beside]) == [0, 3]
    assert distinct([]) == []
    assert Box(1, 2, 3, 5).scaled(2) == Box(2, 4, 6, 10)
