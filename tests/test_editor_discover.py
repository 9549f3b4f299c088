import numpy as np
import pytest

from editor.direction_sheet import MARGIN, draw_sheet
from editor.discover import (
    CONTROLS,
    EDITS,
    effect_table,
    find_range,
    measure_faces,
    partial_directions,
    read_pool,
)
from stylegan2.errors import CheckpointError


@pytest.fixture
def world():
    """Latents whose attributes are known: a = w @ truth, two of them correlated in the sample."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    spread = np.array([1.0, 1.0] + [0.2] * 14)  # the rest is small, as the noise that is cut off
    w = (rng.normal(size=(4000, 16)) * spread) @ basis.T
    w += np.outer(w @ basis[:, 0], basis[:, 1]) * 0.8  # whoever has more of the first has more of the second
    return w, basis[:, :2].T


def test_directions_move_their_attribute_and_no_other(world):
    w, truth = world
    attributes = w @ truth.T + np.random.default_rng(1).normal(size=(len(w), 2)) * 0.05
    directions = partial_directions(w, attributes)
    effect = directions @ truth.T
    assert effect[0, 0] > 0.9
    assert effect[1, 1] > 0.9
    assert abs(effect[0, 1]) < 0.1
    assert abs(effect[1, 0]) < 0.1


def test_directions_are_unit_and_point_to_more(world):
    w, truth = world
    directions = partial_directions(w, w @ truth.T)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    assert np.allclose(partial_directions(w, -(w @ truth.T)), -directions)


def test_faces_that_are_not_found_are_left_out():
    def measure_face(pixels):
        return None if pixels[0] < 0 else {"a": float(pixels[0]), "b": 1.0}

    table, found = measure_faces(np.array([[1.0], [-1.0], [2.0]]), measure_face, ["a", "b"])
    assert found.tolist() == [True, False, True]
    assert table[found].tolist() == [[1.0, 1.0], [2.0, 1.0]]


def test_effects_count_in_standard_deviations():
    low, high = np.full((4, 1), -3.0), np.full((4, 1), 3.0)
    change, share = effect_table(low, high, lambda p: {"a": p[0]}, ["a"], np.array([2.0]))
    assert change.tolist() == [3.0]
    assert share == 1.0


def test_ranges_end_where_faces_are_lost():
    reach, effects = find_range(lambda strength: (np.array([strength]), 1.0 if strength <= 2 else 0.5))
    assert (reach, effects.tolist()) == (2.0, [2.0])


def test_a_folder_without_pairs_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no pool of pairs there"):
        read_pool(tmp_path, 10)


def test_a_pool_is_read(tmp_path):
    np.save(tmp_path / "w.npy", np.ones((3, 8), np.float32))
    np.save(tmp_path / "pixels.npy", np.zeros((3, 4, 4, 3), np.uint8))
    w, pictures = read_pool(tmp_path, 2)
    assert w.shape == (2, 8)
    assert [picture.shape for picture in pictures] == [(4, 4, 3)] * 2


def test_no_edit_of_ethnicity_is_offered():
    words = " ".join([*EDITS, *(edit.label for edit in EDITS.values())]).lower()
    assert not any(word in words for word in ("ethnic", "race", "skin", "asian", "black", "white"))
    assert "brightness" in CONTROLS
    assert all(edit.attribute != "brightness" for edit in EDITS.values())


def test_the_sheet_shows_every_direction(tiny_editor):
    sheet = draw_sheet(tiny_editor, seed=3)
    assert sheet.shape == (2 * 32, MARGIN + 5 * 32, 3)
    columns = [sheet[:32, MARGIN + 32 * k : MARGIN + 32 * (k + 1)] for k in range(5)]
    assert np.array_equal(columns[2], tiny_editor.sample(3).crop)
    assert not np.array_equal(columns[0], columns[4])
