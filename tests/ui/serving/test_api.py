import base64
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from editor.errors import FaceError, ImageInputError
from editor.measure.detail import crop_psnr
from editor.measure.fit import Fit
from editor.photo.reading import load_photo
from editor.pipeline import Editor
from editor.ui.examples import ASTRONAUT
from editor.ui.serving.api import ProgramAPI
from editor.ui.serving.asked import decode_photo
from editor.ui.serving.gate import BusyError, Gate
from stylegan2.errors import StyleGANError
from tests.helpers.pictures import encoded, two_faces

PHOTO = base64.b64encode(ASTRONAUT.read_bytes()).decode()


@pytest.fixture
def api(tiny_editor):
    return ProgramAPI(lambda: tiny_editor, Gate(), Gate())


def pixels_of(address, wanted="png"):
    kind, data = address.split(",", 1)
    assert kind == f"data:image/{wanted};base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR_RGB)


@pytest.mark.parametrize("prefix", ["", "data:image/jpeg;base64,"])
def test_a_photo_comes_back_edited_and_reconstructed(api, prefix):
    reply = api.edit(prefix + PHOTO, {"smile": 1})
    assert pixels_of(reply["reconstruction"]).shape == (32, 32, 3)
    (face,) = reply["faces"]
    assert (face["number"], face["usable"]) == (1, True)
    side = len(pixels_of(reply["edited"]))  # as large as it is in the photo
    assert 100 < side < 250
    whole = pixels_of(reply["photo"], "jpeg")
    assert whole.shape == (512, 512, 3)
    x0, y0, x1, y1 = map(round, face["box"])
    changed = np.abs(whole.astype(int) - load_photo(ASTRONAUT)).mean(2)
    assert changed[y0:y1, x0:x1].mean() > 1 > changed[300:].mean()
    with Image.open(io.BytesIO(base64.b64decode(reply["edited"].partition(",")[2]))) as image:
        assert "smile +1" in image.info["Description"]


def test_spaces_and_steps_can_be_chosen(refined_editor):
    api = ProgramAPI(lambda: refined_editor, Gate(), Gate())
    drawn = {space: api.edit(PHOTO, {}, space)["reconstruction"] for space in ("w", "w+", "f")}
    assert len(set(drawn.values())) == 3
    assert api.edit(PHOTO, {})["reconstruction"] == drawn["f"]
    assert api.edit(PHOTO, {}, "w", 3)["reconstruction"] != drawn["w"]


def test_several_faces_are_edited_at_once_and_the_first_named_is_cut_out(api):
    pair = two_faces(load_photo(ASTRONAUT))
    photo = base64.b64encode(encoded(pair, "PNG")).decode()
    reply = api.edit(photo, {"2": {"smile": 2}})
    assert [face["number"] for face in reply["faces"]] == [1, 2]
    changed = (pixels_of(reply["photo"]) != pair).any(2)
    assert changed[:, 520:].any()
    assert not changed[:, :500].any()
    both = pixels_of(api.edit(photo, {"1": {"smile": 2}, "2": {"smile": 2}}, face=1)["photo"])
    assert (both != pair).any(2)[:, :500].any()


def test_every_face_is_listed_also_where_none_can_be_used(api, monkeypatch):
    pair = base64.b64encode(encoded(two_faces(load_photo(ASTRONAUT)), "PNG")).decode()
    first, second = api.faces(pair)["faces"]
    assert (first["number"], second["number"]) == (1, 2)
    assert first["box"][2] < second["box"][0]  # left, top, right, bottom: they stand side by side
    assert first["yaw"] == pytest.approx(second["yaw"], abs=10)
    monkeypatch.setattr("editor.face.choice.MAX_YAW", -1.0)  # everybody is in profile
    assert {(face["usable"], "profile" in face["refusal"]) for face in api.faces(pair)["faces"]} == {
        (False, True)
    }
    blank = base64.b64encode(encoded(np.full((300, 300, 3), 128, np.uint8), "PNG")).decode()
    with pytest.raises(FaceError, match="no face found"):
        api.faces(blank)


def test_metrics_measure_what_edit_draws(refined_editor):
    refined_editor.identity = lambda crop, pixels: float(crop_psnr(crop, pixels) > 0) / 2
    api = ProgramAPI(lambda: refined_editor, Gate(), Gate())
    told = api.metrics(PHOTO)
    photo = refined_editor.open_photo(ASTRONAUT.read_bytes())
    crop = refined_editor.invert(photo).crop
    for space in ("w", "w+", "f"):
        drawn = pixels_of(api.edit(PHOTO, {}, space)["reconstruction"])
        assert told["psnr"][space] == pytest.approx(crop_psnr(crop, drawn), abs=0.01)
    assert told["identity"] == {"w": 0.5, "w+": 0.5, "f": 0.5}
    assert (told["face"], told["fit"]) == (1, None)  # this model cannot tell how well faces fit it
    refined_editor.identity = None
    assert api.metrics(PHOTO, space="w") == {**told, "psnr": {"w": told["psnr"]["w"]}, "identity": None}


def test_metrics_tell_fit_and_attributes_of_the_face_that_is_asked_for(api, tiny_editor, monkeypatch):
    seen = []

    def look(detector, network, pixels):
        seen.append((detector, pixels))
        return {"age": 56.00004, "smile": 0.5}

    monkeypatch.setattr("editor.ui.serving.api.measure", look)
    tiny_editor.gauge = lambda crop, w, **_: Fit(float(crop[:, :, 0].mean()) / 255, "blurred")
    photo = two_faces(load_photo(ASTRONAUT))
    told = api.metrics(base64.b64encode(encoded(photo, "PNG")).decode(), 2)
    session = tiny_editor.invert(photo, 2)
    assert told["face"] == 2
    assert told["attributes"] == {"age": 56.0, "smile": 0.5}
    assert told["fit"] == {
        "share": pytest.approx(session.crop[:, :, 0].mean() / 255, abs=1e-4),
        "reason": "blurred",
    }
    assert (seen[0][0], seen[0][1].tolist()) == (tiny_editor.detector, session.crop.tolist())
    monkeypatch.setattr("editor.ui.serving.api.measure", lambda *_: None)
    assert api.metrics(PHOTO)["attributes"] is None


def test_a_batch_answers_for_each_photo_in_order_and_no_mistake_ends_it(api):
    blank = base64.b64encode(encoded(np.full((300, 300, 3), 128, np.uint8), "PNG")).decode()
    answers = api.batch([PHOTO, blank, "secret", PHOTO], {"smile": 1})["photos"]
    once = api.edit(PHOTO, {"smile": 1})
    assert answers[0] == answers[3] == once
    assert [list(answer) for answer in answers[1:3]] == [["error"], ["error"]]
    assert "no face found" in answers[1]["error"]
    assert "photo is no picture" in answers[2]["error"]
    assert "secret" not in str(answers)


def test_each_photo_of_a_batch_may_have_edits_of_its_own(api):
    wanted = [{"smile": 1}, {"smile": 9}, {"age": 1}]
    first, second, third = api.batch([PHOTO] * 3, wanted, "w", 2)["photos"]
    assert first == api.edit(PHOTO, {"smile": 1}, "w", 2)
    assert "outside" in second["error"]
    assert third == api.edit(PHOTO, {"age": 1}, "w", 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((PHOTO, {}), "photos: got str; must be a list of 1 to 32"),
        (([], {}), "photos: got a list of 0"),
        ((["secret"] * 33, {}), "photos: got a list of 33; must be a list of 1 to 32"),
        ((["secret"], [{}, {}]), "strengths: got a list of 2; must be one for all photos, or 1"),
        ((["secret"], {"secret": 1}), "no such direction"),
        ((["secret"], None), "strengths: got NoneType"),
        ((["secret"], {}, "secret"), "space: must be"),
        ((["secret"], {}, "w", -1), "steps: out of range"),
    ],
)
def test_what_is_wrong_for_all_photos_is_told_once(api, arguments, words):
    with pytest.raises(StyleGANError, match=words) as error:
        api.batch(*arguments)
    assert "secret" not in str(error.value)


def test_the_answer_to_a_batch_is_bounded(api, monkeypatch):
    monkeypatch.setattr("editor.ui.serving.api.MAX_ANSWER", 10)
    first, second = api.batch([PHOTO, PHOTO], {"smile": 1})["photos"]
    assert "photo" in first
    assert second == {"error": "photo: the answer is full already; send it in another batch"}


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.rstrip("="),
        lambda text: "\r\n".join(text[i : i + 76] for i in range(0, len(text), 76)),
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: f" {text}\n",
        lambda text: f"data:image/jpeg;base64,{text}",
    ],
    ids=["no padding", "lines", "URL-safe", "spaces", "data address"],
)
@pytest.mark.parametrize("length", [3, 4, 5, 6])
def test_base64_is_taken_however_it_is_written(written, length):
    data = bytes(range(250, 256))[:length] * 99 + b"?>~"
    assert decode_photo(written(base64.b64encode(data).decode())) == data


@pytest.mark.parametrize("odd", [None, 7, [1], "", "A", "no base64!", "data:image/png;base64,***"])
def test_what_is_no_base64_is_told_without_being_repeated(odd):
    with pytest.raises(ImageInputError, match="send the file's bytes as base64") as error:
        decode_photo(odd)
    assert not isinstance(odd, str) or len(odd) < 2 or odd not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None, {}), "got NoneType"),
        ((PHOTO, None), "strengths: got NoneType"),
        ((PHOTO, [1]), "strengths: got list"),
        ((base64.b64encode(b"secret").decode(), {}), "text"),
        ((PHOTO, {"secret": 1}), "no such direction; have: age, smile"),
        ((PHOTO, {"smile": 9}), "outside"),
        ((PHOTO, {"smile": "secret"}), "a str is not a number"),
        ((PHOTO, {str(i): 0.0 for i in range(10**6)}), "got 1000000; this model has 2 directions"),
        ((PHOTO, {}, "secret"), r"space: must be w, w\+ or f"),
        ((PHOTO, {}, "f"), r"no space 'f'; have: w, w\+"),
        ((PHOTO, {}, "w", "secret"), "steps: got str"),
        ((PHOTO, {}, "w", 1.5), "steps: got float"),
        ((PHOTO, {}, "w", float("nan")), "steps: got float"),
        ((PHOTO, {}, "w", -1), "steps: out of range"),
        ((PHOTO, {}, "w", 10**9), "steps: out of range"),
        ((PHOTO, {}, "w", 0, 2), "face: got 2; the photo has 1"),
        ((PHOTO, {}, "w", 0, "secret"), "face: got str"),
        ((PHOTO, {}, "w", 0, 1.5), "face: got float"),
        ((PHOTO, {}, "w", 0, float("inf")), "face: got float"),
        ((PHOTO, {"secret": {"smile": 1}}), "each under the number of its face"),
        ((PHOTO, {"1": {"secret": 1}}), "no such direction; have: age, smile"),
        ((PHOTO, {"1": {}, "7": {"smile": 1}}), "face: got 7; the photo has 1"),
    ],
)
def test_mistakes_are_told_in_words_that_do_not_repeat_them(api, arguments, words):
    with pytest.raises(StyleGANError, match=words) as error:
        api.edit(*arguments)
    assert "secret" not in str(error.value)


def test_programs_can_neither_read_nor_delete_files_of_the_server(api, tmp_path):
    file = tmp_path / "secret.jpg"
    file.write_bytes(ASTRONAUT.read_bytes())
    with pytest.raises(ImageInputError, match="base64"):
        api.edit(str(file), {})
    assert file.exists()


def test_too_many_at_once_are_turned_away(tiny_editor):
    gate = Gate(most_waiting=0)
    api = ProgramAPI(lambda: tiny_editor, gate, Gate())
    with gate.passing(), pytest.raises(BusyError):
        api.edit(PHOTO, {})
    with gate.passing(), pytest.raises(BusyError):
        api.batch([PHOTO, PHOTO], {})
    assert api.edit(PHOTO, {})


def test_a_batch_that_meets_a_crowd_on_its_way_goes_on(api, tiny_editor, monkeypatch):
    opened = []

    def open_photo(photo, **options):
        opened.append(photo)
        if len(opened) == 2:
            raise BusyError("too much to do")
        return Editor.open_photo(tiny_editor, photo, **options)

    monkeypatch.setattr(tiny_editor, "open_photo", open_photo)
    answers = api.batch([PHOTO] * 3, {})["photos"]
    assert [answer.get("error") for answer in answers] == [None, "too much to do", None]
