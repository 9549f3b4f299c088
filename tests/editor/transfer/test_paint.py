import cv2
import numpy as np
import pytest

from editor.transfer.fields import EditFields
from editor.transfer.paint import BAND_ROWS, paint, paint_crop


def photo(side=256, seed=0):
    """Smooth colours with fine grain, as photos have."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(40, 215, (9, 9, 3)), (side, side), interpolation=cv2.INTER_CUBIC)
    return (coarse + rng.normal(0, 6, (side, side, 3))).clip(0, 255).astype(np.uint8)


def fields(grid=32, own=32, *, flow=(0.0, 0.0), kept=1.0, added=0.0, **more):
    flowing = np.broadcast_to(np.array(flow, np.float32), (grid, grid, 2)).copy()
    return EditFields(
        flow=flowing,
        kept=np.full((own, own), kept, np.float32),
        added=np.full((own, own, 3), added, np.float32),
        **more,
    )


def whole(side):
    return np.diag((side, side, 1.0))


def turned(side, degrees=20.0, x=60.0, y=40.0):
    """A crop of `side` px that lies askew in its photo."""
    angle = np.radians(degrees)
    cos, sin = side * np.cos(angle), side * np.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1]])


@pytest.mark.parametrize("to_canvas", [whole(256), turned(120), turned(900, 5, -200, -300)])
def test_what_changes_nothing_is_the_photo_bit_for_bit(to_canvas):
    canvas = photo()
    patch = paint(canvas, to_canvas, fields())
    height, width = patch.pixels.shape[:2]
    there = canvas[patch.top : patch.top + height, patch.left : patch.left + width]
    np.testing.assert_array_equal(patch.pixels, there)


def test_where_the_region_ends_the_photo_is_untouched():
    canvas = photo()
    region = np.zeros((32, 32), np.float32)
    region[8:24, 8:24] = 1
    patch = paint(canvas, whole(256), fields(flow=(0.1, 0.0), added=30.0, region=region))
    painted = canvas.copy()
    patch.put(painted)
    changed = (painted != canvas).any(2)
    assert patch.pixels.shape[0] < 200  # only where something changes
    assert changed[80:176, 80:176].mean() > 0.95
    assert not changed[:48].any()
    assert not changed[:, :48].any()
    assert not changed[208:].any()


def test_a_crop_outside_the_photo_paints_nothing():
    assert paint(photo(64), turned(40, 0, 500, 500), fields()) is None


def test_a_region_of_nothing_paints_nothing():
    nowhere = fields(added=9.0, region=np.zeros((32, 32), np.float32))
    assert paint(photo(), whole(256), nowhere) is None
    np.testing.assert_array_equal(paint_crop(photo(), nowhere), photo())


@pytest.mark.parametrize("to_canvas", [whole(256), turned(150), turned(900, 5, -200, -300)])
def test_the_patch_holds_all_that_its_region_changes(to_canvas):
    canvas = photo()
    rng = np.random.default_rng(5)
    region, everywhere = np.zeros((32, 32), np.float32), np.ones((32, 32), np.float32)
    region[9:20, 12:26] = rng.uniform(0.2, 1, (11, 14))
    uncovered = np.zeros((32, 32), np.float32)
    uncovered[10:13, 20:25] = 0.7
    behind = np.full((32, 32, 2), 0.06, np.float32)
    edit = fields(flow=(0.03, 0.01), added=25.0, region=region, uncovered=uncovered, behind=behind)
    patch = paint(canvas, to_canvas, edit)
    painted = canvas.copy()
    patch.put(painted)
    # The slow twin: painted everywhere, and mixed by what the same painter makes of the two masks.
    black = np.zeros_like(canvas)
    shares = []
    for mask in (region, uncovered):
        seen = paint(black, to_canvas, fields(added=255.0, region=mask))
        share = black.copy()
        if seen is not None:  # a mask may lie outside the photo
            seen.put(share)
        shares.append(share[..., :1] / 255.0)
    whole_edit, beyond = canvas.copy(), canvas.copy()
    paint(canvas, to_canvas, fields(flow=(0.03, 0.01), added=25.0, region=everywhere)).put(whole_edit)
    paint(canvas, to_canvas, fields(flow=(0.06, 0.06), region=everywhere)).put(beyond)
    wanted = canvas + shares[0] * (whole_edit.astype(float) - canvas)
    wanted = wanted + shares[0] * shares[1] * (beyond - wanted)
    np.testing.assert_allclose(painted, wanted, atol=1.6)


def test_a_flow_moves_the_photo_in_the_crops_own_directions():
    canvas = photo()
    patch = paint(canvas, whole(256), fields(flow=(16 / 256, -8 / 256)))
    np.testing.assert_array_equal(patch.pixels[8:, :-16], canvas[:-8, 16:])
    quarter = np.array([[0, -256, 256], [256, 0, 0], [0, 0, 1.0]])  # its x leads down, its y to the left
    patch = paint(canvas, quarter, fields(flow=(16 / 256, 0)))
    np.testing.assert_array_equal(patch.pixels[:-16], canvas[16:])


def test_kept_and_added_weigh_as_they_say():
    canvas = photo()
    patch = paint(canvas, whole(256), fields(kept=0.5, added=50.0))
    np.testing.assert_allclose(patch.pixels, canvas * 0.5 + 50, atol=0.51)
    assert paint(canvas, whole(256), fields(added=400.0)).pixels.min() == 255


def test_what_is_uncovered_shows_what_lies_behind():
    canvas = photo()
    uncovered = np.ones((32, 32), np.float32)
    behind = np.zeros((32, 32, 2), np.float32)
    behind[..., 1] = 32 / 256
    edit = fields(added=99.0, uncovered=uncovered, behind=behind)
    patch = paint(canvas, whole(256), edit)
    np.testing.assert_array_equal(patch.pixels[:-32], canvas[32:])


def test_bands_join_without_a_seam(monkeypatch):
    canvas = photo(600)
    rng = np.random.default_rng(1)
    rough = fields(added=20.0)
    rough.flow[:] = cv2.resize(rng.normal(0, 0.02, (4, 4, 2)), (32, 32), interpolation=cv2.INTER_CUBIC)
    assert BAND_ROWS < 600
    by_bands = paint(canvas, turned(500, 7, 50, 0), rough).pixels
    monkeypatch.setattr("editor.transfer.paint.BAND_ROWS", 10_000)
    at_once = paint(canvas, turned(500, 7, 50, 0), rough).pixels
    np.testing.assert_allclose(by_bands.astype(int), at_once, atol=1)  # rounding


def test_a_large_photo_shrunk_is_the_small_one():
    large = cv2.GaussianBlur(photo(1024), (0, 0), 1.5)
    small = cv2.resize(large, (256, 256), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(2)
    edit = fields(128, 128)
    for field, size in ((edit.flow, 0.02), (edit.added, 25.0)):
        coarse = rng.normal(0, size, (6, 6, field.shape[2]))
        field[:] = cv2.resize(coarse, (128, 128), interpolation=cv2.INTER_CUBIC)
    edit.kept[:] = cv2.resize(rng.uniform(0, 1, (6, 6)), (128, 128))
    found = cv2.resize(paint(large, whole(1024), edit).pixels, (256, 256), interpolation=cv2.INTER_AREA)
    wanted = paint(small, whole(256), edit).pixels
    assert np.abs(found.astype(int) - small).mean() > 5  # an edit that is seen
    assert np.abs(found.astype(int) - wanted).mean() < 1


def test_a_second_face_is_painted_over_the_first():
    canvas = photo()
    first = paint(canvas, turned(90, 0, 10, 10), fields(added=40.0))
    onto = canvas.copy()
    first.put(onto)
    region = np.zeros((32, 32), np.float32)
    region[16:] = 1
    second = paint(canvas, turned(90, 0, 60, 10), fields(added=-40.0, region=region), onto=onto)
    upper = second.pixels[:4]  # of the rows that the region does not reach
    there = onto[second.top : second.top + 4, second.left : second.left + upper.shape[1]]
    np.testing.assert_array_equal(upper, there)
    assert (there != canvas[second.top : second.top + 4, second.left : second.left + upper.shape[1]]).any()


def test_the_canvas_is_not_written_to():
    canvas = photo()
    before = canvas.copy()
    paint(canvas, whole(256), fields(added=9.0))
    np.testing.assert_array_equal(canvas, before)
