import json
import re
import threading
from types import SimpleNamespace

import cv2
import gradio as gr
import pytest

from editor.ui.examples import ASTRONAUT, make_examples
from editor.ui.handlers import Handlers
from editor.ui.messages import NO_FACE_YET, STOPPED_EARLY, VISIT_OVER
from stylegan2.errors import StyleGANError

SKIP = gr.skip()
PAGE = SimpleNamespace(session_hash="page")


@pytest.fixture
def handlers(tiny_editor):
    return Handlers(tiny_editor, make_examples(tiny_editor))


@pytest.fixture
def token(handlers):
    return handlers.enter(PAGE)[0]


def optimise(handlers, token, steps):
    """What a click on the button does: first past the queue, then in its turn."""
    handlers.expect_optimisation(token)
    return handlers.optimise(token, steps)


def test_there_must_be_a_face_to_optimise(handlers):
    ((stage, status, _),) = optimise(handlers, handlers.store.open().token, 5)
    assert stage == SKIP
    assert status == NO_FACE_YET


def test_optimise_tells_its_progress_and_improves_the_picture(handlers, token):
    start = handlers.store.find(token).opened.session
    *progress, (stage, status, stop) = optimise(handlers, token, 12)
    assert progress[0][1].startswith("Optimising W: step 1 of 12, ")
    assert all(update[0] == SKIP and update[2]["interactive"] for update in progress)
    assert not stop["interactive"]
    assert status.startswith("Optimised after")
    assert json.loads(stage)["token"] == token
    before, after = (
        cv2.PSNR(start.crop, handlers.editor.reconstruct(session))
        for session in (start, handlers.store.find(token).opened.session)
    )
    assert after > before


def which_came_with_the_inversion(handlers, token):
    seen = handlers.frames.inspect({"token": token, "strengths": {}})
    times = [view["milliseconds"] for view in seen["spaces"]]
    assert all(re.fullmatch(r"\d+ ms( with inversion)?", time) for time in times)
    return [time.endswith("with inversion") for time in times]


def test_what_an_optimisation_brought_is_said_for_each_space_it_works_in(refined_editor, tmp_path):
    handlers = Handlers(refined_editor, make_examples(refined_editor))
    token = handlers.enter(PAGE)[0]
    (tmp_path / "photo.jpg").write_bytes(ASTRONAUT.read_bytes())
    handlers.open_photo(str(tmp_path / "photo.jpg"), token)
    assert which_came_with_the_inversion(handlers, token) == [False, False, True]
    *_, (_, status, _) = optimise(handlers, token, 20)
    assert which_came_with_the_inversion(handlers, token) == [False, False, False]
    found = re.fullmatch(
        r"Optimised after 60 steps in all: (.+) dB became (.+) dB in W, (.+) dB became (.+) dB in W\+, "
        r"(.+) dB became (.+) dB in W\+ & F\.",
        status,
    )
    dB = list(map(float, found.groups()))
    assert all(before < after for before, after in zip(dB[::2], dB[1::2], strict=True))


def test_stop_ends_an_optimisation_and_keeps_what_was_reached(handlers, token):
    updates = optimise(handlers, token, 300)
    next(updates)
    handlers.stop(token)
    *_, (_, status, stop) = updates
    assert status.startswith("Stopped after")
    assert int(status.split()[2]) < 300
    assert not stop["interactive"]
    assert handlers.store.find(token).opened.session.inversion.stopped


def test_an_optimisation_can_be_stopped_while_it_waits(handlers, token):
    before = handlers.store.find(token).opened.session
    status, button = handlers.expect_optimisation(token)
    assert "Waiting" in status
    assert button["interactive"]
    handlers.stop(token)
    ((stage, status, button),) = handlers.optimise(token, 300)
    assert (stage, status, button["interactive"]) == (SKIP, STOPPED_EARLY, False)
    assert handlers.store.find(token).opened.session is before


def test_an_optimisation_can_be_stopped_while_another_holds_the_gate(handlers, token):
    with handlers.long.passing():
        updates = optimise(handlers, token, 300)
        timer = threading.Timer(0.5, handlers.stop, [token])
        timer.start()
        (_, waiting, button), (_, status, _) = updates
        assert (waiting, button["interactive"]) == ("Waiting: 1 before you ...", True)
    assert status == STOPPED_EARLY


def test_a_stranger_cannot_stop_or_optimise(handlers, token):
    updates = optimise(handlers, token, 3)
    next(updates)
    handlers.stop("guess")
    assert list(updates)[-1][1].startswith("Optimised")
    assert [update[1] for update in optimise(handlers, "guess", 3)] == [VISIT_OVER]


def test_a_photo_that_comes_during_an_optimisation_wins(handlers, token, tmp_path):
    updates = optimise(handlers, token, 300)
    next(updates)
    (tmp_path / "photo.jpg").write_bytes(ASTRONAUT.read_bytes())
    handlers.open_photo(str(tmp_path / "photo.jpg"), token)
    session = handlers.store.find(token).opened.session
    rest = list(updates)
    assert [update[:2] for update in rest] == [(SKIP, SKIP)]  # nor does an old step overwrite the news
    assert not rest[0][2]["interactive"]
    assert handlers.store.find(token).opened.session is session


def test_leaving_cancels_an_optimisation(handlers, token):
    updates = optimise(handlers, token, 300)
    next(updates)
    handlers.leave(PAGE)
    list(updates)  # ends


@pytest.mark.parametrize("error", [StyleGANError("Out of luck."), RuntimeError("a bug")])
def test_an_optimisation_that_fails_says_so_and_keeps_the_session(handlers, token, monkeypatch, error):
    before = handlers.store.find(token).opened.session

    def fail(*_):
        raise error

    monkeypatch.setattr(handlers.editor, "optimise", fail)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # it would print the bug
    ((stage, status, stop),) = optimise(handlers, token, 5)
    assert stage == SKIP
    assert status.startswith("⚠")
    assert not stop["interactive"]
    assert handlers.store.find(token).opened.session is before
