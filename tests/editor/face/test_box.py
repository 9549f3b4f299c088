import numpy as np
import pytest

from editor.errors import BoxError, ImageInputError
from editor.face.box import PhotoBox, check_box, crop_box, first_box, parse_box
from stylegan2.bundle.content import Content
from stylegan2.errors import ConfigError

SQUARE, WIDE, TALL = Content(), Content(height=0.75), Content(width=0.5)


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (300, 500, 3), np.uint8)


@pytest.mark.parametrize("content", [SQUARE, WIDE, TALL])
def test_the_content_of_the_square_lies_on_the_box_and_comes_back(content):
    box = PhotoBox(40, 30, 200)
    to_photo = box.to_photo(content)
    corners = to_photo @ content.to_square @ np.array([[0, 1, 0], [0, 1, 1], [1, 1, 1]])
    bottom = 30 + 200 / content.aspect
    np.testing.assert_allclose(corners[:2].T, [[40, 30], [240, bottom], [40, bottom]])
    assert to_photo[0, 0] == to_photo[1, 1]  # a square of the model stays one
    back = np.linalg.inv(to_photo) @ np.array([40, 30, 1])
    np.testing.assert_allclose(back[:2], content.to_square[:2, 2], atol=1e-12)


@pytest.mark.parametrize("content", [SQUARE, WIDE, TALL])
@pytest.mark.parametrize("size", [(500, 300), (300, 500), (64, 64), (333, 251)])
def test_the_first_box_is_in_the_middle_and_as_large_as_fits(content, size):
    width, height = size
    box = first_box(width, height, content)
    tall = box.height(content)
    assert min(width - box.width, height - tall) < max(1, 1 / content.aspect)
    assert box.left >= 0
    assert box.top >= 0
    assert box.top + tall <= height
    assert abs(box.left - (width - box.width - box.left)) <= 1
    assert abs(box.top - (height - tall - box.top)) <= 2
    assert check_box(box, width, height, content) == box


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (PhotoBox(-2, 0, 100), "must lie within the photo of 500 x 300 px"),
        (PhotoBox(0, -5, 100), "within"),
        (PhotoBox(402, 0, 100), "within"),
        (PhotoBox(0, 230, 100), "100 x 75 px at .0, 230."),
        (PhotoBox(0, 0, 500), "within"),
        (PhotoBox(0, 0, 10**12), "within"),
        (PhotoBox(10, 10, 63), "at least 64 px"),
        (PhotoBox(10, 10, 0), "at least 64 px"),
        (PhotoBox(10, 10, -100), "at least 64 px"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(box, words):
    with pytest.raises(BoxError, match=words):
        check_box(box, 500, 300, WIDE)


def test_what_rounding_left_outside_is_moved_in():
    assert check_box(PhotoBox(-1, 0, 400), 500, 300, WIDE) == PhotoBox(0, 0, 400)
    moved = check_box(PhotoBox(100, 1, 400), 500, 300, WIDE)
    assert moved == PhotoBox(100, 0, 400)


def test_a_narrow_photo_holds_no_box():
    with pytest.raises(BoxError, match="at least 64 px"):
        first_box(40, 500, WIDE)


def test_the_crop_is_the_photo_within_and_black_beyond(photo):
    cropped = crop_box(photo, PhotoBox(20, 40, 256), WIDE, 256)
    np.testing.assert_array_equal(cropped.crop[32:224], photo[40:232, 20:276])
    assert not cropped.crop[:32].any()
    assert not cropped.crop[224:].any()
    np.testing.assert_allclose(cropped.quad, [[20, 8], [20, 264], [276, 264], [276, 8]])
    np.testing.assert_allclose(cropped.inverse @ [20, 40, 1], [0, 32, 1], atol=1e-9)


def test_crops_of_other_sizes_are_as_black(photo):
    for side in (32, 50, 77):
        crop = crop_box(photo, PhotoBox(20, 40, 256), WIDE, side).crop
        lit = crop.any((1, 2))
        assert lit.sum() == pytest.approx(0.75 * side, abs=1)
        np.testing.assert_array_equal(lit, lit[::-1])


def test_a_crop_of_no_size_or_no_photo_is_refused(photo):
    with pytest.raises(ConfigError, match="2048"):
        crop_box(photo, PhotoBox(0, 0, 100), SQUARE, 2049)
    with pytest.raises(ImageInputError):
        crop_box(photo[..., 0], PhotoBox(0, 0, 100), SQUARE, 32)


def test_boxes_are_read_from_words():
    assert parse_box("40, 0,640") == PhotoBox(40, 0, 640)


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "a,b,c", "1.5,2,3", "1e9,0,5"])
def test_words_that_are_no_box_are_refused(text):
    with pytest.raises(BoxError, match="LEFT,TOP,WIDTH"):
        parse_box(text)
