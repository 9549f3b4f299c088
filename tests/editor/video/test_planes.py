import itertools

import numpy as np
import pytest

from editor.video.planes import Coding, paint_planes
from stylegan2.errors import ShapeError

BT709, BT601, BT2020 = (0.2126, 0.0722), (0.299, 0.114), (0.2627, 0.0593)
CODINGS = [
    pytest.param(
        Coding(*weights, full=full, bits=bits, across=across, down=down),
        id=f"{name}-{full}-{bits}-{across}{down}",
    )
    for (name, weights), full, (bits, across, down) in itertools.product(
        {"709": BT709, "601": BT601, "2020": BT2020}.items(),
        (False, True),
        ((8, 2, 2), (8, 2, 1), (8, 1, 1), (10, 2, 2)),
    )
]


def coded(rgb, coding):
    """[H, W, 3] of the textbook's formulas, in float64: ITU-R BT.601, 709 and 2020."""
    red, green, blue = np.moveaxis(rgb.astype(np.float64) / 255, 2, 0)
    y = coding.k_r * red + (1 - coding.k_r - coding.k_b) * green + coding.k_b * blue
    pb, pr = (blue - y) / (2 - 2 * coding.k_b), (red - y) / (2 - 2 * coding.k_r)
    if coding.full:
        top = 2**coding.bits - 1
        return np.dstack([top * y, top * pb + 2 ** (coding.bits - 1), top * pr + 2 ** (coding.bits - 1)])
    step = 2 ** (coding.bits - 8)
    return np.dstack([(219 * y + 16) * step, (224 * pb + 128) * step, (224 * pr + 128) * step])


def rgb_of(planes, coding):
    """The inverse of `coded`, of planes without subsampling."""
    y, cb, cr = (plane.astype(np.float64) for plane in planes)
    if coding.full:
        top = 2**coding.bits - 1
        y, pb, pr = y / top, (cb - 2 ** (coding.bits - 1)) / top, (cr - 2 ** (coding.bits - 1)) / top
    else:
        step = 2 ** (coding.bits - 8)
        y, pb, pr = (y / step - 16) / 219, (cb / step - 128) / 224, (cr / step - 128) / 224
    red, blue = y + 2 * (1 - coding.k_r) * pr, y + 2 * (1 - coding.k_b) * pb
    green = (y - coding.k_r * red - coding.k_b * blue) / (1 - coding.k_r - coding.k_b)
    return 255 * np.dstack([red, green, blue])


def means(plane, coding):
    """Chroma as it is stored: the mean over each block, of fewer pixels at an odd border."""
    height, width = plane.shape
    rows, columns = range(0, height, coding.down), range(0, width, coding.across)
    return np.array(
        [[plane[y : y + coding.down, x : x + coding.across].mean() for x in columns] for y in rows]
    )


def stored(rgb, coding):
    values = coded(rgb, coding)
    kind = np.uint8 if coding.bits == 8 else np.uint16
    chroma = [means(values[..., channel], coding) for channel in (1, 2)]
    return [np.rint(plane).astype(kind) for plane in (values[..., 0], *chroma)]


def colours(height, width, seed=0):
    return np.random.default_rng(seed).integers(20, 236, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("coding", CODINGS)
def test_samples_change_as_the_formulas_say(coding):
    before, after = colours(24, 32), colours(24, 32, 1)
    planes = stored(before, coding)
    was = [plane.astype(np.float64) for plane in planes]
    paint_planes(planes, before, after, 0, 0, coding)
    moved = coded(after, coding) - coded(before, coding)
    for plane, old, change in zip(planes, was, np.moveaxis(moved, 2, 0), strict=True):
        wanted = old + (change if plane.shape == change.shape else means(change, coding))
        assert np.abs(plane - np.clip(wanted, 0, coding.highest)).max() <= 0.51
        assert plane.dtype == (np.uint8 if coding.bits == 8 else np.uint16)


@pytest.mark.parametrize("coding", [each for each in CODINGS if "-11" in each.id])
def test_pixels_come_back_as_they_were_painted(coding):
    before, after = colours(24, 32), colours(24, 32, 1)
    planes = stored(before, coding)
    paint_planes(planes, before, after, 0, 0, coding)
    # Samples are whole: half a step of the old and half of the new, times the formula's largest factor.
    assert np.abs(rgb_of(planes, coding) - after).max() < 4


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    ("left", "top", "width", "height"), [(6, 4, 10, 8), (7, 5, 9, 7), (0, 0, 1, 1), (31, 23, 2, 2)]
)
def test_nothing_outside_the_patch_changes(coding, left, top, width, height):
    before = colours(25, 33)  # odd, so that the last samples are for fewer pixels
    planes = stored(before, coding)
    was = [plane.copy() for plane in planes]
    part = before[top : top + height, left : left + width]
    paint_planes(planes, part, 255 - part, left, top, coding)
    for number, (plane, old) in enumerate(zip(planes, was, strict=True)):
        across, down = (coding.across, coding.down) if number else (1, 1)
        mine = np.zeros(plane.shape, bool)
        mine[top // down : -(-(top + height) // down), left // across : -(-(left + width) // across)] = True
        assert (plane == old)[~mine].all()
        assert (plane != old)[mine].mean() > 0.5


@pytest.mark.parametrize("coding", CODINGS)
def test_pixels_that_the_edit_leaves_keep_their_samples(coding):
    rng = np.random.default_rng(2)
    kind = np.uint8 if coding.bits == 8 else np.uint16
    shapes = ((16, 16), *[(16 // coding.down, 16 // coding.across)] * 2)
    # Any samples, of colours too that RGB has no room for.
    planes = [rng.integers(0, coding.highest + 1, shape).astype(kind) for shape in shapes]
    was = [plane.copy() for plane in planes]
    pixels = colours(16, 16)
    paint_planes(planes, pixels, pixels.copy(), 0, 0, coding)
    for plane, old in zip(planes, was, strict=True):
        np.testing.assert_array_equal(plane, old)


def test_samples_stay_in_their_range():
    coding = Coding(*BT601, full=False, bits=8, across=2, down=2)
    planes = [np.full((4, 4), 250, np.uint8), np.full((2, 2), 250, np.uint8), np.full((2, 2), 3, np.uint8)]
    black, blue = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    blue[..., 2] = 255
    paint_planes(planes, black, blue, 0, 0, coding)
    assert (planes[0] == 255).all()
    assert (planes[1] == 255).all()
    assert (planes[2] == 0).all()


def test_shapes_are_checked():
    coding = Coding(*BT601, full=False, bits=8, across=2, down=2)
    planes = [np.zeros((8, 8), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)]
    part = np.zeros((2, 2, 3), np.uint8)
    with pytest.raises(ShapeError, match="after"):
        paint_planes(planes, part, np.zeros((2, 3, 3), np.uint8), 0, 0, coding)
    with pytest.raises(ShapeError, match="cr"):
        paint_planes([*planes[:2], np.zeros((8, 8), np.uint8)], part, part, 0, 0, coding)
