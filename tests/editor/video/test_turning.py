import numpy as np
import pytest

from editor.photo.reading import upright
from editor.video.reading import open_clip
from editor.video.turning import box_in_file, orientation_of_matrix
from tests.helpers.clips import write_clip

ONE = 65536


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_matrices_are_read_as_they_are_written(tmp_path, degrees, mirrored):
    file = write_clip(
        tmp_path / "a.mp4",
        [0, 40],
        prepare=lambda out, stream: stream.set_display_rotation(degrees, hflip=mirrored),
    )
    coded = np.arange(24, dtype=np.uint8).reshape(4, 6, 1)
    wanted = np.rot90(coded, degrees // 90)  # anticlockwise, as PyAV counts
    wanted = wanted[:, ::-1] if mirrored else wanted
    found = upright(coded, open_clip(file).orientation)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_found_in_the_file(orientation):
    coded = np.random.default_rng(0).integers(0, 255, (7, 11, 3)).astype(np.uint8)
    turned = upright(coded, orientation)
    left, top, width, height = 2, 1, 4, 3
    x, y = box_in_file(left, top, width, height, orientation, (11, 7))
    across, down = (width, height) if orientation < 5 else (height, width)
    part = coded[y : y + down, x : x + across]
    np.testing.assert_array_equal(upright(part, orientation), turned[top : top + height, left : left + width])


def test_a_picture_that_leans_is_looked_at_as_it_lies():
    lean = round(ONE * 0.7)
    assert orientation_of_matrix((lean, lean, 0, -lean, lean, 0, 0, 0, 1 << 30)) == 1
    assert orientation_of_matrix(None) == 1
    assert orientation_of_matrix((0, ONE, 0, -ONE, 0, 0, 5, 0, 1 << 30)) == 6
