"""Alignment: exact geometry, honest resampling, every face error."""

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from editor.errors import FaceError, ImageInputError
from editor.face.choice import MAX_YAW
from editor.face.crop import crop_face, face_quad
from editor.face.fill import fill_outside
from editor.face.landmarks import FaceDetector
from editor.face.mesh import Face
from stylegan2.bundle.folder import CropConfig
from stylegan2.errors import ConfigError
from tests.helpers.largest_face import find_and_crop

TIGHT = CropConfig(scale=0.66, center=0.48)
FFHQ = CropConfig(scale=1.0, center=0.1)
ASTRONAUT = skimage.data.astronaut()
HELDOUT = Path(__file__).resolve().parents[4] / "shared" / "data" / "faces256" / "heldout.tar"
EYE_RIGHT, EYE_LEFT, MOUTH = (33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380), (61, 291)


@pytest.fixture(scope="module")
def detector():
    with FaceDetector() as opened:
        yield opened


def face_at(x, y, eye_distance, *, angle=0.0, yaw=0.0):
    """A face whose eyes are around (x, y), the mouth as far below, all turned by `angle` degrees."""
    turn = eye_distance * np.exp(1j * np.radians(angle))  # the picture plane as complex numbers, y down
    points = np.full(478, complex(x, y))
    points[list(EYE_RIGHT)] -= turn / 2
    points[list(EYE_LEFT)] += turn / 2
    points[list(MOUTH)] += [1j * turn - turn / 4, 1j * turn + turn / 4]
    flat = np.stack([points.real, points.imag], axis=1).astype(np.float32)
    box = (*flat.min(0).tolist(), *flat.max(0).tolist())
    return Face(points=flat, box=box, size=max(box[2] - box[0], box[3] - box[1]), yaw=yaw)


def slow_quad(points, scale, center):
    """The recipe again, with complex numbers: rot90 is a multiplication by i."""
    place = [complex(float(px), float(py)) for px, py in points]
    right = sum(place[i] for i in EYE_RIGHT) / 6
    left = sum(place[i] for i in EYE_LEFT) / 6
    mouth = (place[MOUTH[0]] + place[MOUTH[1]]) / 2
    eyes = (left + right) / 2
    x = (left - right) - 1j * (mouth - eyes)
    x = x / abs(x) * max(2 * abs(left - right), 1.8 * abs(mouth - eyes)) * scale
    middle = eyes + center * (mouth - eyes)
    return [[(middle + a * x + b * 1j * x).real, (middle + a * x + b * 1j * x).imag] for a, b in CORNERS]


CORNERS = ((-1, -1), (-1, 1), (1, 1), (1, -1))


def centers(matrix, size):
    """Where the centres of the pixels of an output of size x size fall in the source: x, y."""
    u, v = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    return np.einsum("ij,jhw->ihw", matrix[:2], np.stack([u, v, np.ones_like(u)]))


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("crop_config", [TIGHT, FFHQ])
def test_quad_equals_the_slow_form(crop_config):
    rng = np.random.default_rng(1)
    for _ in range(20):
        points = rng.uniform(0, 500, (478, 2))
        expected = slow_quad(points, crop_config.scale, crop_config.center)
        np.testing.assert_allclose(face_quad(points, crop_config), expected, atol=1e-9)


def test_quad_of_an_upright_face_in_closed_form():
    face = face_at(100, 80, 30)  # |e2e| = |e2m| = 30, so the half side is 60 * scale
    half, middle = 60 * 0.66, (100, 80 + 0.48 * 30)
    expected = [np.add(middle, (a * half, b * half)) for a, b in CORNERS]
    np.testing.assert_allclose(face_quad(face.points, TIGHT), expected, atol=1e-4)


def test_quad_turns_grows_and_moves_with_the_face():
    points = np.random.default_rng(2).uniform(0, 100, (478, 2))
    matrix = 1.7 * np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    moved = face_quad(points @ matrix.T + (5, -9), TIGHT)
    np.testing.assert_allclose(moved, face_quad(points, TIGHT) @ matrix.T + (5, -9), atol=1e-9)


def test_scale_and_center_each_change_the_quad():
    points = face_at(100, 100, 30).points
    base = face_quad(points, FFHQ)
    assert np.ptp(face_quad(points, CropConfig(scale=0.5, center=0.1)), axis=0)[0] == pytest.approx(60)
    lower = face_quad(points, CropConfig(scale=1.0, center=0.6))
    np.testing.assert_allclose(lower - base, [[0, 15]] * 4, atol=1e-4)


def test_points_without_a_face_are_an_error():
    for points in (np.zeros((478, 2)), np.full((478, 2), np.nan)):
        with pytest.raises(FaceError, match="eyes and mouth fall on one point"):
            face_quad(points, TIGHT)


@pytest.mark.parametrize("angle", [0, 25, -140])
def test_corners_of_the_crop_are_the_corners_of_the_quad(angle):
    cropped = crop_face(noise(200, 200), face_at(100, 90, 20, angle=angle), TIGHT, 64)
    corners = np.array([[0, 0, 1], [0, 64, 1], [64, 64, 1], [64, 0, 1]], float)
    np.testing.assert_allclose((corners @ cropped.transform.T)[:, :2], cropped.quad, atol=1e-9)
    np.testing.assert_allclose(cropped.transform @ cropped.inverse, np.eye(3), atol=1e-12)
    assert cropped.crop.shape == (64, 64, 3)
    assert cropped.crop.dtype == np.uint8
    assert cropped.padded == 0


@pytest.mark.parametrize("angle", [0.0, 17.0, 90.0, -120.0])
@pytest.mark.parametrize("resolution", [6, 16, 37, 53, 80, 200])
def test_a_gradient_stays_the_gradient(resolution, angle):
    """Sampling is exact for an affine image: being off by half a pixel would show as 0.5 to 0.85."""
    y, x = np.mgrid[:128, :128] + 0.5
    coefficients = np.array([(10, 1.0, 0.7), (240, -1.05, -0.63), (100, 1.13, -0.71)])  # red, green, blue
    pixels = np.stack([a + b * x + c * y for a, b, c in coefficients], axis=-1).round().astype(np.uint8)
    cropped = crop_face(pixels, face_at(65.3, 54.7, 20, angle=angle), TIGHT, resolution)
    px, py = centers(cropped.transform, resolution)
    difference = cropped.crop - np.stack([a + b * px + c * py for a, b, c in coefficients], axis=-1)
    assert np.abs(difference).max() < 1.2  # two roundings, and OpenCV may count in 1/32 px
    assert np.abs(difference.mean(axis=(0, 1))).max() < 0.2


def test_fine_patterns_do_not_alias():
    checks = np.indices((512, 512)).sum(axis=0) % 2 * 255
    pixels = np.repeat(checks[:, :, None], 3, axis=2).astype(np.uint8)
    for distance, angle in ((30, 7), (77, 0), (90, 33)):
        crop = crop_face(pixels, face_at(256, 230, distance, angle=angle), TIGHT, 32).crop
        assert np.abs(crop.astype(float) - 127.5).max() < 12


@pytest.mark.parametrize(("x", "y"), [(5, 60), (98, 4), (100, 118), (-60, 300), (700, -500)])
@pytest.mark.parametrize("distance", [9, 31])
def test_filling_leaves_what_is_inside_alone_however_far(x, y, distance):
    pixels, room = cv2.GaussianBlur(noise(120, 100), (0, 0), 2), 800
    padded = np.pad(pixels, ((room, room), (room, room), (0, 0)), mode="reflect")
    found = crop_face(pixels, face_at(x, y, distance, angle=20), TIGHT, 48)
    mirrored = crop_face(padded, face_at(x + room, y + room, distance, angle=20), TIGHT, 48)
    px, py = centers(found.transform, 48)
    inside = (px >= 0) & (px <= 100) & (py >= 0) & (py <= 120)
    assert np.abs(found.crop[inside].astype(int) - mirrored.crop[inside]).max(initial=0) <= 2
    assert inside.all() == (found.padded == 0)
    assert found.crop.shape == mirrored.crop.shape == (48, 48, 3)
    assert mirrored.padded == 0


def detail(crop):
    """RMS of what a blur by 3 px takes away."""
    values = crop.astype(float)
    return np.sqrt(((values - cv2.GaussianBlur(values, (0, 0), 3)) ** 2).mean())


@pytest.mark.parametrize("resolution", [64, 128, 256])
def test_no_second_mouth_below_a_photo_that_ends_under_the_mouth(detector, resolution):
    (face,) = detector.detect(ASTRONAUT)
    lips = face.points[[0, 17, *MOUTH]]  # MediaPipe's top, bottom and corners
    edge = int(lips[:, 1].max()) + 3
    cut = np.ascontiguousarray(ASTRONAUT[:edge])
    crop = crop_face(cut, face, TIGHT, resolution).crop
    x0, x1 = lips[:, 0].min(), lips[:, 0].max()
    y0, y1 = 2 * edge - lips[:, 1].max() + 1, 2 * edge - lips[:, 1].min()  # the mirrored mouth
    inverse = crop_face(cut, face, TIGHT, resolution).inverse
    (left, right), (top, bottom) = ((inverse[:2] @ [[x0, x1], [y0, y1], [1, 1]]).round().astype(int)).tolist()
    padded = np.pad(cut, ((0, 200), (0, 0), (0, 0)), mode="reflect")
    mirrored = crop_face(padded, face, TIGHT, resolution).crop
    assert detail(mirrored[top:bottom, left:right]) > 5  # it was there
    assert detail(crop[top:bottom, left:right]) < 0.15 * detail(mirrored[top:bottom, left:right])


@pytest.mark.parametrize(("part", "axis"), [(0.9, 0), (0.7, 0), (0.7, 1)])
def test_the_filling_goes_on_where_the_photo_ends(part, axis):
    """Across the edge neighbours differ no more than they do in the mirrored photo, which has no seam."""
    y, x = np.mgrid[:128, :128]
    smooth = np.stack([90 + 60 * np.sin(x / 23), 120 + 50 * np.cos(y / 19), 60 + (x + y) / 2], -1)
    pixels, end = smooth.round().astype(np.uint8), int(128 * part)
    pixels = np.ascontiguousarray(pixels[:end] if axis == 0 else pixels[:, :end])
    filled = fill_outside(np.full((128, 128, 3), 255, np.uint8), np.eye(3), *pixels.shape[1::-1])
    assert (filled == 255).all()  # nothing but what is inside counts
    crop = np.zeros((128, 128, 3), np.uint8)
    crop[: pixels.shape[0], : pixels.shape[1]] = pixels
    filled = fill_outside(crop, np.eye(3), *pixels.shape[1::-1]).astype(int)
    steps = np.abs(np.diff(filled, axis=axis)).max(axis=(1 - axis, 2))
    assert steps[end - 1 :].max() <= 1.5 * steps[: end - 1].max() + 2


def test_padded_is_the_part_outside():
    pixels = noise(100, 100)
    for x, part in ((50, 0), (0, 0.5), (-200, 1)):  # the quad is 52.8 px wide, centred on x
        assert crop_face(pixels, face_at(x, 40, 20), TIGHT, 32).padded == pytest.approx(part, abs=0.01)


def test_a_huge_photo_is_cut_from_a_shrunk_copy_without_a_shift():
    y, x = np.mgrid[:4001, :3001].astype(np.float32)
    pixels = np.repeat((x * 0.03 + y * 0.03)[:, :, None], 3, axis=2).astype(np.uint8)
    cropped = crop_face(pixels, face_at(1500, 1700, 900, angle=10), TIGHT, 64)
    px, py = centers(cropped.transform, 64)
    expected = (px - 0.5) * 0.03 + (py - 0.5) * 0.03 - 0.5  # astype above rounds down
    assert np.abs(cropped.crop[..., 0] - expected).max() < 1.2


@pytest.mark.parametrize(
    ("angle", "scale"), [(30, 1.0), (-75, 1.0), (90, 1.0), (-135, 0.8), (180, 0.8), (10, 1.6)]
)
def test_turning_and_scaling_the_photo_leaves_the_crop(detector, angle, scale):
    matrix = cv2.getRotationMatrix2D((226, 124), angle, scale)
    turned = cv2.warpAffine(ASTRONAUT, matrix, (512, 512), flags=cv2.INTER_CUBIC, borderValue=(99, 99, 99))
    first, second = (find_and_crop(detector, pixels, TIGHT, 64).cropped for pixels in (ASTRONAUT, turned))
    half_pixel = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    exact = half_pixel @ np.vstack([matrix, (0, 0, 1)]) @ np.linalg.inv(half_pixel)
    quad = first.quad @ exact[:2, :2].T + exact[:2, 2]
    # The found points themselves move by a pixel or two; the quad's side is 124 px.
    assert np.abs(second.quad - quad).max() < 5 * scale
    assert np.abs(first.crop.astype(float) - second.crop).mean() < 8


def test_wrong_pixels_and_resolutions_are_refused():
    face = face_at(50, 50, 20)
    with pytest.raises(ImageInputError, match="photo: got an array"):
        crop_face(noise(100, 100)[..., 0], face, TIGHT, 64)
    for resolution in (0, 2049):
        with pytest.raises(ConfigError, match=rf"resolution: got {resolution}, allowed are 1\.\.2048"):
            crop_face(noise(100, 100), face, TIGHT, resolution)


class Finds:
    """Stands in for FaceDetector."""

    def __init__(self, *faces):
        self.faces = list(faces)

    def detect(self, pixels):
        return self.faces


def test_the_face_of_a_photo_is_cut_out_without_notes(detector):
    photo = find_and_crop(detector, ASTRONAUT, TIGHT, 128)
    assert photo.notes == ()
    assert photo.faces == (photo.face,)
    again = crop_face(ASTRONAUT, photo.face, TIGHT, 128)
    np.testing.assert_array_equal(photo.cropped.crop, again.crop)
    (found,) = detector.detect(photo.cropped.crop)
    eyes = found.points[list(EYE_RIGHT + EYE_LEFT)].mean(axis=0)
    assert abs(eyes[0] - 64) < 3  # upright, and the eyes above the middle
    assert 35 < eyes[1] < 55


def test_no_face_is_an_error_that_helps(detector):
    with pytest.raises(FaceError, match=r"no face found in the 600x400 photo; .*3% of the .* helps"):
        find_and_crop(detector, skimage.data.coffee(), TIGHT, 128)


def test_a_real_profile_is_refused(detector):
    pixels = np.repeat(skimage.data.camera()[:, :, None], 3, axis=2)
    with pytest.raises(FaceError, match=r"the face in the 512x512 photo is a profile, turned by \d\d"):
        find_and_crop(detector, pixels, TIGHT, 128)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_limit_of_yaw_is_exact(sign):
    pixels = noise(200, 200)
    find_and_crop(Finds(face_at(100, 90, 30, yaw=sign * MAX_YAW)), pixels, TIGHT, 32)
    with pytest.raises(FaceError, match=r"at most 45 are allowed, with both eyes in view"):
        find_and_crop(Finds(face_at(100, 90, 30, yaw=sign * (MAX_YAW + 0.1))), pixels, TIGHT, 32)


def test_notes_name_each_thing_that_hurts():
    def notes(*faces):
        return find_and_crop(Finds(*faces), noise(200, 200), TIGHT, 64).notes

    good = face_at(100, 90, 30)
    assert notes(good) == ()
    assert notes(good, face_at(30, 30, 15), face_at(50, 50, 15)) == ("3 faces found; the largest was taken.",)
    (small,) = notes(face_at(100, 90, 8))  # a quad of 21 px becomes 64
    assert "enlarged 3.0 times" in small
    (padded,) = notes(face_at(10, 90, 30))
    assert "38% of the crop lies outside the photo" in padded
    (turned,) = notes(face_at(100, 90, 30, yaw=-38.4))
    assert "turned by about 38 degrees" in turned


def test_the_largest_of_several_is_taken(detector):
    canvas = np.full((520, 900, 3), 120, np.uint8)
    canvas[:260, :280] = ASTRONAUT[:260, 90:370]
    canvas[100:500, 300:731] = cv2.resize(ASTRONAUT[:260, 90:370], (431, 400), interpolation=cv2.INTER_CUBIC)
    photo = find_and_crop(detector, canvas, TIGHT, 64)
    assert [face.box[0] > 300 for face in photo.faces] == [True, False]
    assert photo.face is photo.faces[0]
    assert photo.notes == ("2 faces found; the largest was taken.",)


@pytest.mark.skipif(not HELDOUT.is_file(), reason=f"needs the aligned faces of {HELDOUT.name}, kept outside")
def test_faces_aligned_elsewhere_by_the_tight_geometry_are_already_in_place(detector):
    shifts, scales = [], []
    with tarfile.open(HELDOUT) as archive:
        members = [member for member in archive if member.name.endswith(".webp")][:40]
        for member in members:
            with Image.open(io.BytesIO(archive.extractfile(member).read())) as image:
                pixels = np.array(image.convert("RGB"))
            for face in detector.detect(pixels)[:1]:
                cropped = crop_face(pixels, face, TIGHT, 256)
                shifts.append(cropped.quad.mean(axis=0) - 128)
                scales.append(np.hypot(*cropped.transform[:2, 0]))
    assert len(shifts) >= 38
    # Found points move by some pixels between two detections; a bias would be an error in the geometry.
    np.testing.assert_allclose(np.median(shifts, axis=0), 0, atol=0.6)
    assert np.abs(shifts).max() < 8
    assert np.median(scales) == pytest.approx(1, abs=0.01)
