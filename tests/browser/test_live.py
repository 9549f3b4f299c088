"""The camera edited while it moves, seen by a fake camera that a moving face stands before."""

import cv2
import numpy as np
import pytest

from tests.helpers.browser_visitor import CHROMIUM, chromium_seeing, files_in
from tests.helpers.running_app import ASTRONAUT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed"),
]


def write_moving_face(path):
    """A film (motion JPEG) of a portrait that moves to and fro."""
    portrait = cv2.resize(cv2.imread(str(ASTRONAUT)), (900, 900))
    frames = []
    for k in range(40):
        x = 30 * np.sin(2 * np.pi * k / 40)
        move = np.float32([[1, 0, x - 90], [0, 1, k - 40]])  # no two frames are the same
        frame = cv2.warpAffine(portrait, move, (640, 480), borderMode=cv2.BORDER_REFLECT)
        frames.append(cv2.imencode(".jpg", frame)[1].tobytes())
    path.write_bytes(b"".join(frames))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    film = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    write_moving_face(film)
    with chromium_seeing(film) as browser:
        yield browser


def frames(visitor, more):
    """Wait for so many more pictures of the camera."""
    before = visitor.page.evaluate("facePump.liveFrames")
    visitor.page.wait_for_function("count => facePump.liveFrames >= count", arg=before + more)


def test_the_camera_is_edited_while_it_moves_and_frozen_into_the_editor(visit, uploads):
    visitor = visit(permissions=["camera"])
    page, sent = visitor.page, []
    page.on("request", lambda request: "/gradio_api/live" in request.url and sent.append(request.method))
    page.locator("#source .go-live").click()
    frames(visitor, 3)
    assert sent == []  # without an edit nothing leaves the browser
    still, later = visitor.canvas("moving"), None
    frames(visitor, 3)
    later = visitor.canvas("moving")
    assert still != later  # it moves
    visitor.range().focus()
    page.keyboard.press("End")
    page.wait_for_function("facePump.live.rate > 0 && facePump.live.behind > 0")
    assert set(sent) == {"POST"}
    page.wait_for_function("document.querySelector('#stage .rate').textContent.includes('edits/s')")
    assert "pictures/s" in page.inner_text("#stage .rate")
    assert files_in(uploads) == []  # nothing of it is stored
    crop = visitor.crop()
    page.locator("#stage .freeze").click()
    visitor.status("Found, cropped and inverted the face.")
    page.wait_for_function("crop => facePump.crop !== crop", arg=crop)
    assert page.locator("#stage .live").is_hidden()
    assert page.evaluate("facePump.live") is None
    visitor.settle(float(visitor.range().get_attribute("max")))  # the edit stays
    assert visitor.shown()


def test_the_camera_is_switched_off(visit):
    visitor = visit(permissions=["camera"])
    page = visitor.page
    page.locator("#source .go-live").click()
    frames(visitor, 2)
    track = page.evaluate_handle("facePump.live.stream.getVideoTracks()[0]")
    page.locator("#stage .end-live").click()
    assert track.evaluate("track => track.readyState") == "ended"
    assert page.locator("#stage .live").is_hidden()
    visitor.to_end("smile")  # the photo is edited again
    assert visitor.shown()


def test_a_camera_that_may_not_be_used_says_so(visit):
    visitor = visit()
    visitor.page.evaluate(
        """() => {
          const refuse = async () => { throw new DOMException("no", "NotAllowedError"); };
          navigator.mediaDevices.getUserMedia = refuse;
        }"""
    )
    visitor.page.locator("#source .go-live").click()
    visitor.status("does not let the page use the camera")
    assert visitor.page.locator("#stage .live").is_hidden()
