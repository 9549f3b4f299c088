"""paste_back: the edit inside, the photo untouched outside, a soft edge between."""

import numpy as np
import pytest
import skimage.data

from editor.errors import ImageInputError
from editor.face.crop import CroppedFace, crop_face
from editor.face.landmarks import FaceDetector
from editor.photo.paste_back import paste_back
from stylegan2.bundle.folder import CropConfig


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def placed(x, y, side, *, angle=0.0):
    """A crop of 64 px that shows the square of `side` px around (x, y), turned."""
    along = side * np.exp(1j * np.radians(angle))
    transform = np.array([[along.real, -along.imag, 0], [along.imag, along.real, 0], [0, 0, 64]]) / 64
    transform[:2, 2] = np.array([x, y]) - transform[:2, :2] @ (32, 32)
    corners = np.array([[0, 0, 1], [0, 64, 1], [64, 64, 1], [64, 0, 1]])
    quad = (corners @ transform.T)[:, :2]
    return CroppedFace(crop=np.zeros((64, 64, 3), np.uint8), quad=quad, transform=transform, padded=0.0)


@pytest.mark.parametrize("side", [64, 200])
@pytest.mark.parametrize("feather", [0.0, 0.15, 0.5])
def test_pasting_changes_nothing_outside_the_quad(side, feather):
    pixels = noise(150, 180)
    cropped = placed(90, 70, 53, angle=20)
    before = pixels.copy()
    pasted = paste_back(pixels, 255 - noise(side, side, 1), cropped, feather=feather)
    np.testing.assert_array_equal(pixels, before)
    y, x = np.mgrid[:150, :180] + 0.5
    u, v, _ = np.einsum("ij,jhw->ihw", cropped.inverse, np.stack([x, y, np.ones_like(x)]))
    inside = (u > 0) & (u < 64) & (v > 0) & (v < 64)
    np.testing.assert_array_equal(pasted[~inside], pixels[~inside])
    assert (pasted[inside] != pixels[inside]).any(axis=1).mean() > 0.4


def test_pasting_the_crop_itself_gives_the_photo_back():
    photo = skimage.data.astronaut()
    with FaceDetector() as detector:
        (face,) = detector.detect(photo)
    cropped = crop_face(photo, face, CropConfig(scale=0.66, center=0.48), 256)
    for feather in (0.0, 0.15):
        pasted = paste_back(photo, cropped.crop, cropped, feather=feather)
        changed = (pasted != photo).any(axis=2)
        error = np.mean((pasted[changed].astype(float) - photo[changed]) ** 2)
        assert 10 * np.log10(255**2 / error) > 36


def test_the_middle_is_all_edit_and_the_edge_is_soft():
    pixels = np.zeros((200, 200, 3), np.uint8)
    cropped = placed(100, 100, 79.2)  # 60.4..139.6 in x and y
    row = paste_back(pixels, np.full((64, 64, 3), 200, np.uint8), cropped, feather=0.2)[100, :, 0].astype(int)
    assert (row[78:122] == 200).all()
    assert (np.diff(row[60:100]) >= 0).all()
    assert np.abs(np.diff(row)).max() < 30
    assert row[68] == pytest.approx(100, abs=15)  # half way up in the middle of the ramp of 15.8 px
    hard = paste_back(pixels, np.full((64, 64, 3), 200, np.uint8), cropped, feather=0)[100, :, 0]
    assert set(hard.tolist()) == {0, 200}


def test_pasting_half_or_all_outside_and_over_several_bands():
    pixels = noise(1300, 300)
    for x, y, side in ((0.2, 50, 100), (-900, 50, 100), (150.2, 660.2, 700)):
        cropped = placed(x, y, side)
        pasted = paste_back(pixels, np.full((64, 64, 3), 9, np.uint8), cropped, feather=0)
        inside = np.abs(np.arange(300) + 0.5 - x) < side / 2
        rows = np.abs(np.arange(1300) + 0.5 - y) < side / 2
        expected = np.where((rows[:, None] & inside)[:, :, None], 9, pixels)
        np.testing.assert_array_equal(pasted, expected)


def test_paste_back_refuses_what_does_not_fit():
    pixels = noise(100, 100)
    cropped = placed(50, 40, 40)
    with pytest.raises(ImageInputError, match="edited crop is 40x32 px; it must be square"):
        paste_back(pixels, noise(32, 40), cropped)
    with pytest.raises(ImageInputError, match="edited crop: got an array"):
        paste_back(pixels, noise(32, 32).astype(np.float32), cropped)
    with pytest.raises(ImageInputError, match="photo: got an array"):
        paste_back(pixels[..., 0], noise(32, 32), cropped)
    for feather in (-0.1, 0.6, float("nan")):
        with pytest.raises(ImageInputError, match=r"feather: got .*, allowed are 0\.\.0\.5"):
            paste_back(pixels, noise(32, 32), cropped, feather=feather)
