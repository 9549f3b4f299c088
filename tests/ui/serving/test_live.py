import json
import threading

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from editor.errors import ImageInputError, LiveError
from editor.ui.serving.live import IDLE, MOST_LIVE, PATH, LiveRoom, VisitGoneError, live_route, read_frame
from editor.ui.store import VisitStore
from inversion.directions.bank import DirectionBank
from inversion.directions.errors import DirectionError
from tests.helpers.browser_visitor import wait_until
from tests.helpers.pictures import encoded, picture

SMILE = {"smile": 1.5}


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def store():
    return VisitStore()


@pytest.fixture
def room(store, tiny_editor, clock):
    room = LiveRoom(store, lambda: tiny_editor, clock=lambda: clock[0])
    yield room
    room.close()


@pytest.fixture
def jpeg(astronaut):
    return encoded(astronaut, "JPEG", quality=95)


@pytest.fixture
def client(room):
    with TestClient(Starlette(routes=[live_route(room)])) as client:
        yield client


def sent(client, token, data, strengths=None):
    edit = json.dumps(SMILE if strengths is None else strengths)
    return client.post(f"{PATH}?visit={token}", content=data, headers={"x-edit": edit})


def test_a_frame_comes_back_as_what_the_edit_changes(client, store, jpeg):
    visit = store.open()
    answers = []

    def edited():
        answers.append(sent(client, visit.token, jpeg))
        return answers[-1].status_code == 200

    wait_until(edited)
    answer = answers[-1]
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-found"] == "1"
    patch = read_frame(answer.content)
    assert 0 <= int(answer.headers["x-left"]) <= 512 - patch.shape[1]
    assert 0 <= int(answer.headers["x-top"]) <= 512 - patch.shape[0]
    assert float(answer.headers["x-took"]) > 0


def test_a_frame_without_a_face_comes_back_empty(client, store):
    answer = sent(client, store.open().token, encoded(picture(320, 240), "JPEG"))
    assert answer.status_code == 204
    assert answer.headers["x-found"] == "0"


def test_what_is_wrong_is_said(client, store, jpeg):
    token = store.open().token
    assert sent(client, "another", jpeg).status_code == 410
    refusals = [
        sent(client, token, b"no picture"),
        sent(client, token, jpeg[:2000]),
        sent(client, token, jpeg, {"grimace": 1}),
        sent(client, token, jpeg, {"smile": 9}),
        sent(client, token, jpeg, [1]),
        client.post(f"{PATH}?visit={token}", content=jpeg, headers={"x-edit": "{"}),
    ]
    assert [answer.status_code for answer in refusals] == [422] * 6
    assert all(set(answer.json()) == {"error"} for answer in refusals)
    assert client.post(f"{PATH}?visit={token}", content=b"x" * 2_000_001).status_code == 413


def test_an_empty_body_switches_the_camera_off(client, store, room, jpeg):
    token = store.open().token
    sent(client, token, jpeg)
    assert any(thread.name == "live edits" for thread in threading.enumerate())
    assert client.post(f"{PATH}?visit={token}").status_code == 204
    assert not any(thread.name == "live edits" for thread in threading.enumerate())


def test_cameras_are_bounded_and_those_that_fall_silent_make_room(room, store, jpeg, clock):
    visits = [store.open() for _ in range(MOST_LIVE + 1)]
    for visit in visits[:MOST_LIVE]:
        room.frame(visit.token, jpeg, SMILE)
    with pytest.raises(LiveError, match="cameras are in use"):
        room.frame(visits[-1].token, jpeg, SMILE)
    clock[0] = IDLE + 1
    assert room.frame(visits[-1].token, jpeg, SMILE).found


def test_a_visit_that_is_over_has_no_camera(room, store, jpeg):
    visit = store.open("page")
    room.frame(visit.token, jpeg, SMILE)
    store.close_page("page")
    with pytest.raises(VisitGoneError):
        room.frame(visit.token, jpeg, SMILE)


def test_edits_are_those_of_the_model_and_of_the_visitor(room, store, jpeg, tiny_directions):
    visit = store.open()
    with pytest.raises(DirectionError):
        room.frame(visit.token, jpeg, {"mine": 1.0})
    visit.own = DirectionBank({"mine": tiny_directions["age"]})
    assert room.frame(visit.token, jpeg, {"mine": 1.0}).found


def test_frames_are_bounded_before_they_are_decoded(astronaut):
    assert read_frame(encoded(astronaut, "JPEG")).shape == (512, 512, 3)
    large = encoded(np.zeros((1000, 1000, 3), np.uint8), "JPEG")
    with pytest.raises(ImageInputError, match="1000x1000"):
        read_frame(large)
    with pytest.raises(ImageInputError, match="no JPEG"):
        read_frame(encoded(Image.new("RGB", (8, 8)), "PNG"))
