"""What the page is told of photos that are edited in a box."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from editor.errors import BoxError
from editor.face.box import PhotoBox
from editor.ui.examples import make_examples
from editor.ui.handlers import Handlers
from editor.ui.serving.api import ProgramAPI
from editor.ui.serving.asked import check_box, check_box_part
from editor.ui.serving.gate import Gate
from editor.ui.serving.live import LiveRoom
from stylegan2.errors import ConfigError
from tests.ui.serving.test_api import PHOTO, pixels_of
from tests.ui.test_handlers import pixels_of as shown


@pytest.fixture
def scene(tmp_path):
    """A file of 500 x 300 px without a face."""
    coarse = np.random.default_rng(1).integers(0, 256, (30, 50, 3), np.uint8)
    file = tmp_path / "scene.png"
    Image.fromarray(coarse).resize((500, 300)).save(file)
    return str(file)


def opened(editor, file):
    """Handlers with the file on show, the token, and what the stage shows and says."""
    handlers = Handlers(editor, make_examples(editor))
    token = handlers.enter(SimpleNamespace(session_hash="page"))[0]
    value, status = handlers.open_photo(file, token)
    return handlers, token, json.loads(value), status


def choose(handlers, token, box, **strengths):
    return handlers.frames.box({"token": token, "strengths": strengths, "box": box})


def test_without_a_face_a_box_is_offered_that_nothing_is_painted_into_yet(tiny_editor, scene):
    handlers, token, face, status = opened(tiny_editor, scene)
    assert status.startswith("No face was found. Drag a box")
    assert face["thing"] == "picture"
    assert face["box"]["placed"] is False
    np.testing.assert_allclose(face["box"]["at"], [0.2, 0, 0.6, 1])
    np.testing.assert_allclose(face["box"]["least"], 64 / 500)
    reply = choose(handlers, token, [0.1, 0.2, 0.4], smile=1.0)
    face = json.loads(reply["value"])
    assert face["box"]["placed"] is True
    assert face["strengths"] == {"smile": 1.0}
    assert handlers.store.find(token).opened.photo.box == PhotoBox(50, 60, 200)


def test_pictures_are_shown_without_their_padding(picture_editor, scene):
    handlers, token, face, status = opened(picture_editor, scene)
    assert "Edit this" in status
    assert face["aspect"] == pytest.approx(4 / 3)
    assert face["box"]["aspect"] == pytest.approx(4 / 3)
    assert shown(face["crop"]).shape == (24, 32, 3)
    np.testing.assert_allclose(face["toView"], [400, 0, 0, 300, 50, 0])
    views = handlers.frames.inspect({"token": token, "strengths": {}})["spaces"]
    assert {shown(view["src"]).shape for view in views} == {(24, 32, 3)}
    frame = handlers.frames.draw({"token": token, "strengths": {"smile": 2.0}})
    height, width = shown(frame["src"]).shape[:2]
    assert frame["left"] >= 50
    assert frame["left"] + width <= 450
    assert frame["top"] + height <= 300


def test_a_model_of_pictures_begins_with_those_that_it_invents(picture_editor):
    handlers = Handlers(picture_editor, make_examples(picture_editor))
    assert [example.label for example in handlers.examples] == [f"Invented picture {n}" for n in range(1, 6)]
    _, value, hint, _ = handlers.enter(SimpleNamespace(session_hash="page"))
    assert hint.endswith("this invented picture.")
    face = json.loads(value)
    assert (face["width"], face["height"], face["box"]) == (32, 24, None)


def test_a_photo_with_a_face_has_no_box(tiny_editor, tmp_path, astronaut):
    Image.fromarray(astronaut).save(tmp_path / "photo.png")
    _, _, face, status = opened(tiny_editor, str(tmp_path / "photo.png"))
    assert status.startswith("Found")
    assert (face["box"], face["thing"], face["aspect"]) == (None, "face", 1)


def test_without_an_encoder_a_box_is_fitted_when_it_is_placed(lone_editor, scene):
    handlers, token, _, status = opened(lone_editor, scene)
    assert "no encoder" in status
    assert [stage for stage, *_ in handlers.fit_new(token)] == [{"__type__": "update"}]
    assert "Optimise" in choose(handlers, token, [0.2, 0, 0.6])["note"]


@pytest.mark.parametrize(
    "box", [None, [], [0.1, 0.2], [0, 0, "1"], [0, 0, True], [0, 0, float("nan")], [0, 0, 2], {"left": 0}]
)
def test_what_is_no_box_is_refused_and_the_last_one_stays(tiny_editor, scene, box):
    with pytest.raises(BoxError, match="parts of the photo"):
        check_box_part(box)
    handlers, token, _, _ = opened(tiny_editor, scene)
    before = handlers.store.find(token).opened
    assert "box" in choose(handlers, token, box)["error"]
    assert "within the photo" in choose(handlers, token, [0.8, 0, 0.6])["error"]
    assert handlers.store.find(token).opened is before


def test_an_invented_picture_has_no_photo_to_put_a_box_on(tiny_editor):
    handlers = Handlers(tiny_editor, make_examples(tiny_editor))
    token = handlers.enter(SimpleNamespace(session_hash="page"))[0]
    assert "no photo" in choose(handlers, token, [0, 0, 0.5])["error"]


def test_programs_name_boxes_in_px(picture_editor):
    api = ProgramAPI(lambda: picture_editor, Gate(), Gate())
    reply = api.edit(PHOTO, {"smile": 1}, box=[100, 50, 240])
    assert [face["box"] for face in reply["faces"]] == [[100, 50, 340, 230]]
    assert pixels_of(reply["edited"]).shape == (180, 240, 3)
    assert pixels_of(reply["reconstruction"]).shape == (24, 32, 3)
    assert api.faces(PHOTO)["faces"][0]["box"] == [0, 64, 512, 448]


@pytest.mark.parametrize("box", [[1, 2], [1.5, 2, 100], [True, 2, 100], "1,2,100", {}])
def test_boxes_of_programs_are_checked(box):
    with pytest.raises(BoxError, match="whole px"):
        check_box(box)


def test_a_camera_is_not_followed_by_a_model_that_draws_no_faces(picture_editor):
    handlers = Handlers(picture_editor, make_examples(picture_editor))
    room = LiveRoom(handlers.store, lambda: picture_editor)
    token = handlers.enter(SimpleNamespace(session_hash="page"))[0]
    with pytest.raises(ConfigError, match="draws no faces"):
        room.frame(token, b"", {})
