import threading

import numpy as np
import pytest

from editor.errors import LiveError
from editor.motion.live import LiveEdit, Wish
from inversion.directions.errors import DirectionError, StrengthError
from stylegan2.errors import ConfigError
from tests.helpers.browser_visitor import wait_until

SMILE = Wish(strengths={"smile": 1.5})
NOBODY = np.full((240, 320, 3), 90, np.uint8)


class Held:
    """An inverter whose glances can be held back, and are counted."""

    def __init__(self, inverter):
        self._inverter = inverter
        self.go = threading.Event()
        self.go.set()
        self.seen = []

    def __getattr__(self, name):
        return getattr(self._inverter, name)

    def glance(self, pixels):
        self.seen.append(pixels)
        assert self.go.wait(60)
        return self._inverter.glance(pixels)


@pytest.fixture
def held(tiny_editor):
    tiny_editor.inverter = Held(tiny_editor.inverter)
    return tiny_editor.inverter


@pytest.fixture
def live(tiny_editor, held):
    live = LiveEdit(tiny_editor)
    yield live
    held.go.set()
    live.close()


def working():
    return any(thread.name == "live edits" for thread in threading.enumerate())


def edited(live, pixels, wish=SMILE):
    """The first answer with an edit in it."""
    found = []

    def asked():
        found.append(live.frame(pixels, wish))
        return found[-1].patch is not None

    wait_until(asked)
    return found[-1]


def test_frames_are_answered_at_once_and_edited_as_soon_as_an_edit_is_there(live, held, astronaut):
    held.go.clear()
    first = live.frame(astronaut, SMILE)
    assert first.found
    assert first.patch is None
    held.go.set()
    later = edited(live, astronaut)
    height, width = later.patch.pixels.shape[:2]
    there = astronaut[later.patch.top :, later.patch.left :][:height, :width]
    assert not np.array_equal(later.patch.pixels, there)
    assert later.behind >= 0


def test_what_is_painted_is_the_newest_frame(live, astronaut):
    edited(live, astronaut)
    darker = np.asarray(astronaut * 0.9, np.uint8)
    patch = live.frame(darker, SMILE).patch
    height, width = patch.pixels.shape[:2]
    under = [each[patch.top :, patch.left :][:height, :width].astype(float) for each in (darker, astronaut)]
    near = [np.median(np.abs(patch.pixels - each)) for each in under]
    assert near[0] < near[1]


def test_nothing_waits_in_line(live, held, astronaut):
    held.go.clear()
    live.frame(astronaut, SMILE)
    wait_until(lambda: len(held.seen) == 1)
    for level in range(1, 9):  # come while one is being worked on
        live.frame(np.clip(astronaut.astype(int) + level, 0, 255).astype(np.uint8), SMILE)
    held.go.set()
    wait_until(lambda: len(held.seen) == 2)
    brighter = held.seen[1].float().mean() - held.seen[0].float().mean()
    assert brighter > 6  # of these, the newest alone


def test_a_face_that_goes_takes_its_edit_along(live, astronaut):
    edited(live, astronaut)
    gone = live.frame(NOBODY, SMILE)
    assert not gone.found
    assert gone.patch is None
    assert live.frame(astronaut, SMILE).patch is None  # computed anew when it comes back
    edited(live, astronaut)


def test_without_an_edit_nothing_is_computed(live, held, astronaut):
    answer = live.frame(astronaut, Wish(strengths={"smile": 0.0}))
    assert answer.found
    assert answer.patch is None
    assert held.seen == []


def test_an_edit_of_another_moment_is_not_painted(tiny_editor, held, astronaut):
    now = [0.0]
    live = LiveEdit(tiny_editor, clock=lambda: now[0])
    try:
        edited(live, astronaut)
        held.go.clear()
        now[0] = 60.0
        assert live.frame(astronaut, SMILE).patch is None
    finally:
        held.go.set()
        live.close()


def test_the_rate_counts_edits_of_the_last_second(tiny_editor, astronaut):
    now = [0.0]
    live = LiveEdit(tiny_editor, clock=lambda: now[0])
    try:
        edited(live, astronaut)
        wait_until(lambda: live.frame(astronaut, SMILE).edits_per_second >= 1)
        now[0] = 30.0
        assert live.frame(NOBODY, SMILE).edits_per_second == 0
    finally:
        live.close()


def test_it_ends(tiny_editor, astronaut):
    live = LiveEdit(tiny_editor)
    live.frame(astronaut, SMILE)
    assert working()
    live.close()
    assert not working()
    with pytest.raises(LiveError, match="begin anew"):
        live.frame(astronaut, SMILE)


def test_what_cannot_be_done_is_refused(live, lone_editor, astronaut):
    with pytest.raises(ConfigError, match="no encoder"):
        LiveEdit(lone_editor)
    with pytest.raises(DirectionError, match="no direction"):
        live.frame(astronaut, Wish(strengths={"grimace": 1.0}))
    with pytest.raises(StrengthError, match="outside"):
        live.frame(astronaut, Wish(strengths={"smile": 99.0}))
