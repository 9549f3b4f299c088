import numpy as np
import pytest

from editor.transfer.surroundings import behind_of, region_of, uncovered_by


def disc(radius, side=128, x=64, y=64):
    down, across = np.mgrid[:side, :side]
    return (np.hypot(across - x, down - y) < radius).astype(np.float32)


def test_the_region_covers_both_heads_and_ends_before_the_border():
    region = region_of(disc(30), disc(40))
    assert region[64, 64] == 1
    assert region[64, 64 + 38] > 0.9
    assert region[64, 64 + 48] == 0
    everywhere = region_of(np.ones((128, 128), np.float32), np.ones((128, 128), np.float32))
    assert everywhere[0].max() < 0.02
    assert everywhere[:, -1].max() < 0.02
    assert everywhere[64, 64] == 1


def test_only_what_was_head_and_is_no_more_is_uncovered():
    uncovered = uncovered_by(disc(40), disc(30))
    assert uncovered[64, 64 + 35] > 0.99
    assert uncovered[64, 64] == 0
    assert uncovered[64, 64 + 48] == 0
    assert uncovered_by(disc(30), disc(30)).max() == 0
    assert uncovered_by(disc(30), disc(40)).max() == 0


def test_what_lies_behind_is_the_mirror_image_of_the_surroundings():
    head = np.zeros((128, 128), np.float32)
    head[:, 60:] = 1
    path = behind_of(head)
    assert path[64, 20] == pytest.approx(0, abs=1e-6)
    for inside in (62, 66, 70):
        target = inside + 128 * path[64, inside, 0]
        border = 57.5  # the head, and two places around it
        assert target == pytest.approx(2 * border - inside, abs=1.5)
        assert path[64, inside, 1] == pytest.approx(0, abs=0.01)


def test_every_place_of_a_head_is_led_out_of_it():
    head = disc(40)
    path = behind_of(head)
    down, across = np.nonzero(disc(34))
    x = across + 128 * path[down, across, 0]
    y = down + 128 * path[down, across, 1]
    out = np.hypot(x - 64, y - 64)
    assert np.quantile(out, 0.02) > 39


@pytest.mark.parametrize("head", [np.ones((128, 128), np.float32), np.zeros((128, 128), np.float32)])
def test_a_picture_all_head_or_without_one_has_nothing_behind(head):
    assert np.abs(behind_of(head)).max() == 0
