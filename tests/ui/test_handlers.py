import base64
import io
import json
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import cv2
import gradio as gr
import numpy as np
import pytest
from PIL import Image

import app
from editor.measure.fit import Fit
from editor.photo.reading import load_photo
from editor.ui.blocks import build_demo
from editor.ui.examples import ASTRONAUT, Example, make_examples
from editor.ui.handlers import Handlers
from editor.ui.messages import MODEL_CHANGED, NO_FACE_YET, VISIT_OVER
from editor.ui.serving.api import ProgramAPI
from tests.helpers.browser_visitor import wait_until
from tests.helpers.pictures import two_faces

SKIP = gr.skip()


@pytest.fixture
def handlers(tiny_editor):
    return Handlers(tiny_editor, make_examples(tiny_editor))


@pytest.fixture
def token(handlers):
    return enter(handlers)[0]


def enter(handlers, page="page"):
    return handlers.enter(SimpleNamespace(session_hash=page))[:3]


def click(index):
    return gr.SelectData(None, {"index": index, "value": ""})


def pixels_of(address):
    kind, data = address.split(",", 1)
    assert kind in {"data:image/jpeg;base64", "data:image/png;base64"}
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR_RGB)


def copied(target):
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(ASTRONAUT.read_bytes())
    return str(target)


def inspect(handlers, token):
    return handlers.frames.inspect({"token": token, "strengths": {}})


def draw(handlers, token, **strengths):
    return handlers.frames.draw({"token": token, "strengths": strengths})


def test_entering_shows_an_invented_face(handlers):
    token, stage, status = enter(handlers)
    face = json.loads(stage)
    assert face["token"] == token
    assert np.abs(pixels_of(face["crop"]).astype(int) - handlers.examples[1].picture).mean() < 8  # JPEG
    assert [view["space"] for view in face["spaces"]] == ["w", "w+"]
    assert all(pixels_of(view["src"]).shape == (32, 32, 3) for view in inspect(handlers, token)["spaces"])
    assert "Open a photo" in status


def test_a_page_that_is_loaded_again_has_its_visit_back(handlers, token, tmp_path):
    handlers.open_photo(copied(tmp_path / "a" / "photo.jpg"), token)
    before = handlers.store.find(token).opened
    page = SimpleNamespace(session_hash="page")
    handlers.leave(page)
    again, stage, status, made = handlers.enter(SimpleNamespace(session_hash="loaded again"), token)
    assert again == token
    assert json.loads(stage)["token"] == token
    assert "as they were" in status
    assert made == 0
    assert handlers.store.find(token).opened is before
    handlers.leave(page)  # the word of the page's end came once more, late
    assert handlers.store.find(token).left is None


def test_a_copy_of_an_open_page_has_a_visit_of_its_own(handlers, token, monkeypatch):
    monkeypatch.setattr("editor.ui.handlers.RETURN", 0.1)
    other, stage, *_ = handlers.enter(SimpleNamespace(session_hash="a copy"), token)
    assert other != token
    assert json.loads(stage)["token"] == other
    unknown, *_ = handlers.enter(SimpleNamespace(session_hash="later"), "a token of another start")
    assert unknown not in (other, token)


def test_a_photo_is_aligned_and_inverted(handlers, token, tmp_path):
    before = handlers.store.find(token).opened.session
    stage, status = handlers.open_photo(copied(tmp_path / "photo.jpg"), token)
    face = json.loads(stage)
    assert all(view["psnr"].endswith("dB") for view in inspect(handlers, token)["spaces"])
    assert "crop" in face["timing"]
    assert "invert" in face["timing"]
    assert status.startswith("Found, cropped and inverted")
    assert handlers.store.find(token).opened.session is not before


def test_a_model_with_refiners_offers_three_spaces(refined_editor, tmp_path):
    handlers = Handlers(refined_editor, make_examples(refined_editor))
    token, stage, _ = enter(handlers)
    face = json.loads(stage)
    assert [view["label"] for view in face["spaces"]] == ["W", "W+", "W+ & F"]
    assert face["chosen"] == "f"
    frames = [
        handlers.frames.draw({"token": token, "strengths": {"smile": 1.5}, "space": view["space"]})["src"]
        for view in face["spaces"]
    ]
    assert len(set(frames)) == 3
    assert draw(handlers, token, smile=1.5)["src"] == frames[2]  # without a space: the session's own
    unknown = handlers.frames.draw({"token": token, "strengths": {}, "space": "z"})
    assert unknown["error"] == "no space 'z'; have: w, w+, f"


def test_the_gauge_is_shown_where_the_model_can_tell(tiny_editor):
    handlers = Handlers(tiny_editor, make_examples(tiny_editor))
    token, *_ = enter(handlers)
    assert inspect(handlers, token)["fit"] is None
    tiny_editor.gauge = lambda crop, w, **facts: Fit(0.25 * crop.shape[0] / 32 * len(w), "blurred")
    seen = inspect(handlers, token)
    assert (seen["fit"], seen["reason"]) == (0.25, "blurred")


def test_identity_stands_under_each_space_where_a_network_was_named(tiny_editor):
    handlers = Handlers(tiny_editor, make_examples(tiny_editor))
    token, *_ = enter(handlers)
    assert [view["likeness"] for view in inspect(handlers, token)["spaces"]] == ["", ""]
    tiny_editor.identity = lambda first, second: 0.876 if first.shape == second.shape else 0.0
    assert {view["likeness"] for view in inspect(handlers, token)["spaces"]} == {"identity 0.88"}


def test_a_face_that_was_left_is_not_inspected(handlers, token, tmp_path):
    version = handlers.store.find(token).version
    handlers.open_photo(copied(tmp_path / "photo.jpg"), token)
    assert handlers.frames.inspect({"token": token, "version": version, "strengths": {}})["overtaken"]
    assert handlers.frames.inspect({"token": "stranger"})["over"]


def test_a_space_that_the_model_lacks_is_named(handlers, token):
    reply = handlers.frames.draw({"token": token, "strengths": {}, "space": "f"})
    assert reply["error"] == "no space 'f'; have: w, w+"


def test_every_face_on_the_stage_has_a_version_of_its_own(handlers, token):
    versions = [json.loads(handlers.open_example(token, click(1))[0])["version"] for _ in range(3)]
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("index", [0, 1, 5])
def test_each_example_opens(handlers, token, index):
    stage, status = handlers.open_example(token, click(index))
    assert json.loads(stage)["token"] == token
    assert "nverted" in status


@pytest.mark.parametrize("index", [-1, 6, None, "1"])
def test_an_example_that_does_not_exist_is_refused_in_words(handlers, token, index):
    stage, status = handlers.open_example(token, click(index))
    assert stage == SKIP
    assert "no such example" in status


def bad_files():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    return {
        "text.png": (b"hello, this is no picture", "text"),
        "empty.jpg": (b"", "0 bytes"),
        "cut.jpg": (ASTRONAUT.read_bytes()[:4000], "truncated"),
        "dot.png": (encoded(noise[:1, :1]), "at least"),
        "ribbon.png": (encoded(np.zeros((50, 10000, 3), np.uint8)), "times the shorter"),
        "sliver.png": (encoded(noise[:48, :60]), "face"),
    }


def encoded(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("name", bad_files())
def test_a_bad_photo_gives_a_message_and_keeps_the_last_good_result(handlers, token, tmp_path, name):
    data, words = bad_files()[name]
    before, frame = handlers.store.find(token).opened.session, draw(handlers, token, smile=1)["src"]
    (tmp_path / name).write_bytes(data)
    stage, status = handlers.open_photo(str(tmp_path / name), token)
    assert stage == SKIP
    assert status.startswith("⚠")
    assert words in status
    assert handlers.store.find(token).opened.session is before
    assert draw(handlers, token, smile=1)["src"] == frame


def test_an_upload_without_a_file_keeps_the_last_result(handlers, token):
    before = handlers.store.find(token).opened.session
    stage, status = handlers.open_photo(None, token)
    assert stage == SKIP
    assert "last result stays" in status
    assert handlers.store.find(token).opened.session is before


def test_an_error_is_said_once_and_as_text(handlers, token, tmp_path, monkeypatch):
    toasts = []
    monkeypatch.setattr(gr, "Warning", toasts.append)
    name = "<img src=x onerror=alert(1)>.png"
    (tmp_path / name).write_bytes(b"no picture")
    _, status = handlers.open_photo(str(tmp_path / name), token)
    assert name in status  # the status line is written with textContent
    assert toasts == []


def test_draw_gives_the_edited_face(handlers, token):
    plain, edited = draw(handlers, token), draw(handlers, token, smile=1.5)
    assert plain["src"] is None  # without an edit, the photo stands
    assert draw(handlers, token, smile=0)["src"] is None
    assert (edited["left"], edited["top"]) == (0, 0)
    assert edited["milliseconds"] > 0
    assert edited["engine"] == "torch cpu float32"
    session = handlers.editor.edit(handlers.store.find(token).opened.session, {"smile": 1.5})
    assert np.abs(pixels_of(edited["src"]).astype(int) - handlers.editor.edit_crop(session)).mean() < 8


@pytest.mark.parametrize(
    ("strengths", "words"),
    [
        ({"smile": float("nan")}, "not a number"),
        ({"smile": float("inf")}, "not a number"),
        ({"smile": "1"}, "not a number"),
        ({"smile": None}, "not a number"),
        ({"smile": True}, "not a number"),
        ({"smile": 2.5}, r"outside [-3, 2]"),
        ({"smlie": 1}, "have: age, smile"),
        ([1, 2], "got list"),
        (None, "got NoneType"),
    ],
)
@pytest.mark.parametrize("function", ["draw", "save", "choose"])
def test_strengths_that_are_not_allowed_become_an_error(handlers, token, function, strengths, words):
    reply = getattr(handlers.frames, function)({"token": token, "strengths": strengths})
    assert set(reply) <= {"error", "over", "overtaken"}
    assert words in reply["error"]
    assert not reply.get("over")


@pytest.mark.parametrize(
    "question", [None, [], "token", {}, {"token": "guess", "strengths": {}}, {"token": {}}]
)
@pytest.mark.parametrize("function", ["draw", "save", "choose"])
def test_without_the_token_of_a_visit_nothing_is_drawn(handlers, token, function, question):
    reply = getattr(handlers.frames, function)(question)
    assert reply["error"] == VISIT_OVER
    assert reply.get("over", True)  # by which the page knows that it has to begin anew


def test_a_visit_without_a_face_says_so(handlers):
    token = handlers.store.open().token
    assert draw(handlers, token) == {"error": NO_FACE_YET, "over": False, "overtaken": False}


def test_save_gives_a_png_that_says_it_was_edited(handlers, token):
    reply = handlers.frames.save({"token": token, "strengths": {"smile": 1.5}})
    assert reply["name"].endswith(".png")
    with Image.open(io.BytesIO(base64.b64decode(reply["src"].partition(",")[2]))) as image:
        assert image.size == (32, 32)
        assert "smile +1.5" in image.info["Description"]
        assert "compositeWithTrainedAlgorithmicMedia" in image.info["XML:com.adobe.xmp"]


def test_a_photo_is_edited_in_its_place_and_saved_at_its_own_size(handlers, token, tmp_path):
    stage, _ = handlers.open_photo(copied(tmp_path / "holiday.jpg"), token)
    face = json.loads(stage)
    (box,) = face["faces"]
    assert box["number"] == face["face"] == 1
    view = pixels_of(face["photo"])
    assert view.shape == (face["height"], face["width"], 3) == (512, 512, 3)
    frame = draw(handlers, token, smile=1.5)
    patch = pixels_of(frame["src"])
    left, top, width, height = (part * 512 for part in box["box"])
    assert frame["left"] < left < left + width < frame["left"] + patch.shape[1]
    assert frame["top"] < top < top + height < frame["top"] + patch.shape[0]
    reply = handlers.frames.save({"token": token, "strengths": {"smile": 1.5}})
    assert reply["name"] == "holiday-edited.jpg"
    with Image.open(io.BytesIO(base64.b64decode(reply["src"].partition(",")[2]))) as image:
        assert (image.format, image.size) == ("JPEG", (512, 512))
        found = np.asarray(image.convert("RGB")).astype(int)
    with Image.open(ASTRONAUT) as image:
        before = np.asarray(image.convert("RGB"))
    outside = np.ones((512, 512), bool)
    outside[frame["top"] : frame["top"] + patch.shape[0], frame["left"] : frame["left"] + patch.shape[1]] = (
        False
    )
    assert np.abs(found - before)[outside].mean() < 1  # JPEG again
    assert np.abs(found - before)[~outside].mean() > 1


def test_a_photo_that_is_gone_cannot_be_saved(handlers, token, tmp_path):
    file = copied(tmp_path / "photo.jpg")
    handlers.open_photo(file, token)
    (tmp_path / "photo.jpg").unlink()
    reply = handlers.frames.save({"token": token, "strengths": {"smile": 1.5}})
    assert "photo" in reply["error"]


def pair_of_faces(path):
    """A file with the test photo twice, the second time smaller."""
    Image.fromarray(two_faces(load_photo(ASTRONAUT))).save(path, quality=95)
    return str(path)


def test_every_face_keeps_its_own_edits(handlers, token, tmp_path):
    stage, status = handlers.open_photo(pair_of_faces(tmp_path / "pair.jpg"), token)
    assert len(json.loads(stage)["faces"]) == 2
    assert "2 faces found" in status
    first = {"token": token, "strengths": {"smile": 1.5}}
    frame = handlers.frames.draw(first)
    second = json.loads(handlers.frames.choose({**first, "face": 2})["value"])
    assert (second["face"], second["strengths"]) == (2, {})
    shown = pixels_of(second["base"]).astype(int)  # with the first face's edit in it
    patch = pixels_of(frame["src"])
    there = shown[frame["top"] :, frame["left"] :][: patch.shape[0], : patch.shape[1]]
    assert np.abs(there - patch).mean() < 3
    assert draw(handlers, token, age=1)["left"] > 514
    back = json.loads(handlers.frames.choose({"token": token, "strengths": {"age": 1}, "face": 1})["value"])
    assert (back["face"], back["strengths"]) == (1, {"smile": 1.5})
    reply = handlers.frames.save({"token": token, "strengths": {"smile": 1.5}})
    data = base64.b64decode(reply["src"].partition(",")[2])
    assert b"face 1 smile +1.5, face 2 age +1" in data


def test_a_question_about_what_is_no_longer_shown_is_not_answered(handlers, token, tmp_path):
    stage, _ = handlers.open_photo(pair_of_faces(tmp_path / "pair.jpg"), token)
    version = json.loads(stage)["version"]
    first = {"token": token, "strengths": {"smile": 1.5}, "version": version}
    assert "src" in handlers.frames.draw(first)
    second = json.loads(handlers.frames.choose({**first, "face": 2})["value"])
    assert second["version"] > version
    for function in ("draw", "save", "choose"):  # as by a double click, or a save that had to wait
        reply = getattr(handlers.frames, function)({**first, "face": 2})
        assert reply["overtaken"]
        assert not reply["over"]
    opened = handlers.store.find(token).opened
    assert (opened.chosen, opened.session.strengths) == (2, {})
    assert opened.sessions[1].strengths == {"smile": 1.5}


def test_a_face_that_is_chosen_while_the_model_is_changed_is_not_drawn_by_the_new_one(
    handlers, token, lone_editor, tmp_path, monkeypatch
):
    handlers.open_photo(pair_of_faces(tmp_path / "pair.jpg"), token)
    invert = handlers.editor.invert

    def invert_and_lose_the_model(photo, face):
        session = invert(photo, face)
        handlers.adopt(lone_editor)
        return session

    monkeypatch.setattr(handlers.editor, "invert", invert_and_lose_the_model)
    monkeypatch.setattr(lone_editor, "reconstruct", lambda session: pytest.fail("another model's latents"))
    reply = handlers.frames.choose({"token": token, "strengths": {}, "face": 2})
    assert reply["error"] == MODEL_CHANGED
    assert handlers.store.find(token).opened is None


def test_a_face_that_is_overtaken_while_it_is_chosen_is_no_change_of_the_model(slow, tmp_path):
    handlers = Handlers(slow, make_examples(slow))
    token = enter(handlers)[0]
    handlers.open_photo(pair_of_faces(tmp_path / "pair.jpg"), token)
    answers = slow.hold(lambda: handlers.frames.choose({"token": token, "strengths": {}, "face": 2}))
    visit = handlers.store.find(token)
    editor, opened, _ = handlers.store.work(visit)
    handlers.store.show(visit, editor, opened.updated(opened.session), generation=0)  # something newer
    slow.go_on.set()
    slow.thread.join()
    assert answers[0]["overtaken"]
    assert MODEL_CHANGED not in answers[0]["error"]


@pytest.mark.parametrize("face", [0, 3, -1, None, "2", True, 1.5, {}])
def test_a_face_that_is_not_there_is_refused_and_the_chosen_one_stays(handlers, token, tmp_path, face):
    handlers.open_photo(pair_of_faces(tmp_path / "pair.jpg"), token)
    before = handlers.store.find(token).opened
    reply = handlers.frames.choose({"token": token, "strengths": {}, "face": face})
    assert "the photo has 2, numbered from 1" in reply["error"]
    assert handlers.store.find(token).opened is before


def test_two_visitors_never_see_each_other(handlers, tmp_path):
    (one, first, _), (two, second, _) = enter(handlers, "one"), enter(handlers, "two")
    assert one != two
    assert json.loads(first)["token"] == one
    assert json.loads(second)["token"] == two
    untouched = draw(handlers, two, smile=1)["src"]
    handlers.open_photo(copied(tmp_path / "photo.jpg"), one)
    assert draw(handlers, two, smile=1)["src"] == untouched
    assert draw(handlers, one, smile=1)["src"] != untouched


def test_leaving_deletes_the_uploads_and_ends_the_visit(tiny_editor, tmp_path, monkeypatch):
    monkeypatch.setattr("editor.ui.handlers.GRACE", 0.2)
    handlers = Handlers(tiny_editor, make_examples(tiny_editor))
    token = enter(handlers)[0]
    (tmp_path / "bad.png").write_bytes(b"no picture")
    files = [copied(tmp_path / "photo.jpg"), str(tmp_path / "bad.png")]
    for file in files:
        handlers.open_photo(file, token)
    handlers.leave(SimpleNamespace(session_hash="another page"))
    assert draw(handlers, token, smile=1)["src"]
    handlers.leave(SimpleNamespace(session_hash="page"))
    assert any(tmp_path.glob("*.*"))  # a page that is loaded again is left, too
    wait_until(lambda: not any(tmp_path.glob("*.*")))
    assert draw(handlers, token) == {"error": VISIT_OVER, "over": True, "overtaken": False}
    assert handlers.open_example(token, click(0)) == (SKIP, VISIT_OVER)
    assert handlers.open_photo(copied(tmp_path / "late.jpg"), token) == (SKIP, VISIT_OVER)
    assert not (tmp_path / "late.jpg").exists()
    assert ASTRONAUT.exists()  # an example is no upload


def test_the_last_choice_wins_however_long_a_photo_takes_to_be_sent(handlers, token, tmp_path):
    handlers.open_example(token, click(2), "7")
    shown = handlers.store.find(token).opened
    file = copied(tmp_path / "a" / "photo.jpg")
    assert handlers.open_photo(file, token, "6") == (SKIP, SKIP)
    assert handlers.store.find(token).opened is shown
    assert not Path(file).exists()
    assert handlers.open_example(token, click(1), "5") == (SKIP, SKIP)
    handlers.open_photo(copied(tmp_path / "b" / "photo.jpg"), token, "8")
    assert handlers.store.find(token).opened is not shown
    handlers.open_example(token, click(1), "none")  # nobody counted
    assert handlers.store.find(token).opened.photo is None


def test_an_edit_is_described_and_repeated(handlers, token, tmp_path):
    file = copied(tmp_path / "hidden" / "me.jpg")
    handlers.open_photo(file, token)
    question = {"token": token, "strengths": {"smile": 1.5}, "space": "w"}
    told = handlers.frames.describe(question)
    assert told["name"] == "me-edit.json"
    assert told["command"] == (
        "python -m editor me.jpg --face 1 --set smile=1.5 --space w --out me-edited.jpg"
    )
    assert "hidden" not in json.dumps(told)  # no path of the server
    shown = handlers.frames.draw(question)["src"]
    reply = handlers.frames.repeat({"token": token, "strengths": {}, "file": told["file"]})
    assert json.loads(reply["value"])["strengths"] == {"smile": 1.5}
    session = handlers.store.find(token).opened.session
    assert (session.space, dict(session.strengths)) == ("w", {"smile": 1.5})
    assert handlers.frames.draw({"token": token, "strengths": {"smile": 1.5}})["src"] == shown
    for bad in (None, 7, "", "{}", told["file"].replace('"smile": 1.5', '"smile": 99')):
        reply = handlers.frames.repeat({"token": token, "strengths": {}, "file": bad})
        assert reply["error"]
        assert "value" not in reply
    assert handlers.store.find(token).opened.session is session
    slow = json.loads(told["file"])
    slow["faces"]["1"]["steps"] = [2000] * 20
    reply = handlers.frames.repeat({"token": token, "strengths": {}, "file": json.dumps(slow)})
    assert "was optimised" in reply["error"]  # nobody keeps the others waiting by a file
    assert handlers.frames.describe({"token": "another"})["over"]


def test_many_visitors_draw_at_once_and_each_gets_their_own(handlers, tmp_path):
    tokens = [enter(handlers, str(number))[0] for number in range(4)]
    for number, token in enumerate(tokens):
        handlers.open_example(token, click(number + 1))
    wanted = [draw(handlers, token, smile=1)["src"] for token in tokens]
    got = [None] * 4

    def visit(number):
        got[number] = {draw(handlers, tokens[number], smile=1)["src"] for _ in range(5)}

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [{source} for source in wanted]
    assert len(set(wanted)) == 4


class Slow:
    """An editor one of whose threads inverts and draws only when it is let."""

    def __init__(self, editor):
        self._editor, self.thread = editor, None
        self.drawing, self.go_on = threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self._editor, name)

    def invert(self, photo, face=1):
        self._wait()
        return self._editor.invert(photo, face)

    def reconstruct(self, session):
        self._wait()
        return self._editor.reconstruct(session)

    def _wait(self):
        if threading.current_thread() is self.thread:
            self.drawing.set()
            assert self.go_on.wait(60)

    def hold(self, work):
        """Start `work` in the slow thread, and wait until it has begun; its answer comes in a list."""
        answers = []
        self.thread = threading.Thread(target=lambda: answers.append(work()))
        self.thread.start()
        assert self.drawing.wait(60)
        return answers


@pytest.fixture
def slow(tiny_editor):
    return Slow(tiny_editor)


def test_a_photo_that_comes_while_an_optimisation_is_drawn_wins(slow, tmp_path):
    handlers = Handlers(slow, make_examples(slow))
    token, file = enter(handlers)[0], copied(tmp_path / "photo.jpg")
    handlers.expect_optimisation(token)
    answers = slow.hold(lambda: list(handlers.optimise(token, 1)))
    opening = threading.Thread(target=handlers.open_photo, args=(file, token))
    opening.start()
    opening.join(1)  # it may have to wait for the drawing
    slow.go_on.set()
    opening.join()
    slow.thread.join()
    assert (
        handlers.store.find(token).opened.session.transform is not None
    )  # the photo's, not the invented face's
    assert len(answers) == 1


def test_a_photo_that_is_drawn_while_the_model_is_changed_is_not_shown(slow, lone_editor, tmp_path):
    handlers = Handlers(slow, make_examples(slow))
    token, file = enter(handlers)[0], copied(tmp_path / "photo.jpg")
    answers = slow.hold(lambda: handlers.open_photo(file, token))
    handlers.adopt(lone_editor)
    slow.go_on.set()
    slow.thread.join()
    assert answers == [(SKIP, MODEL_CHANGED)]
    assert handlers.store.find(token).opened is None
    assert draw(handlers, token)["error"] == MODEL_CHANGED


def test_examples_are_labelled_and_the_same_at_every_start(tiny_editor):
    first, second = make_examples(tiny_editor), make_examples(tiny_editor)
    assert all(isinstance(example, Example) and example.label for example in first)
    for one, two in zip(first, second, strict=True):
        assert np.array_equal(one.picture, two.picture)


def test_the_app_has_a_slider_for_each_direction_with_its_range(tiny_editor):
    demo = build_demo(tiny_editor).demo
    sliders = {
        block.label: (block.minimum, block.maximum, block.value)
        for block in demo.blocks.values()
        if isinstance(block, gr.Slider) and block.elem_id.startswith("slider-")
    }
    assert sliders == {"Smile": (-3.0, 2.0, 0), "Age": (-3.0, 2.0, 0)}


def test_only_the_documented_functions_are_offered_to_programs_and_told(tiny_editor):
    offered = build_demo(tiny_editor).demo.get_api_info()["named_endpoints"]
    names = {
        name: [each["parameter_name"] for each in about["parameters"]] for name, about in offered.items()
    }
    assert names == {
        "/edit": ["photo", "strengths", "space", "steps", "face", "box"],
        "/faces": ["photo"],
        "/metrics": ["photo", "face", "space"],
        "/batch": ["photos", "strengths", "space", "steps"],
    }
    documented = (Path(app.__file__).parent / "docs" / "app.md").read_text(encoding="utf-8")
    for name, arguments in names.items():
        row = re.search(rf"^\| `{name[1:]}` \| ([^|]*) \|", documented, re.M)
        assert row is not None
        assert row[1].replace("[", "").replace("]", "").split(", ") == arguments
    told = {each["parameter_name"]: each for each in offered["/edit"]["parameters"]}
    words = {name: each["python_type"]["description"] for name, each in told.items()}
    assert "base64" in words["photo"]
    assert "smile -3 to 2, age -3 to 2" in words["strengths"]
    assert "w, w+ or f" in words["space"]
    assert "0 to 2000" in words["steps"]


def test_without_an_encoder_another_face_waits_to_be_fitted(lone_editor, tmp_path):
    handlers = Handlers(lone_editor, make_examples(lone_editor))
    token = enter(handlers)[0]
    handlers.open_photo(pair_of_faces(tmp_path / "pair.jpg"), token)
    reply = handlers.frames.choose({"token": token, "strengths": {}, "face": 2})
    assert "Optimise fits this face" in reply["note"]
    handlers.expect_optimisation(token)
    *_, (stage, _, _) = handlers.optimise(token, 3)
    assert json.loads(stage)["face"] == 2
    reply = handlers.frames.choose({"token": token, "strengths": {}, "face": 1})
    assert reply["note"]
    assert not handlers.frames.choose({"token": token, "strengths": {}, "face": 2})["note"]


def test_without_an_encoder_a_new_face_is_fitted_by_itself(lone_editor, tmp_path):
    handlers = Handlers(lone_editor, make_examples(lone_editor))
    token, stage, _ = enter(handlers)
    assert np.abs(pixels_of(json.loads(stage)["crop"]).astype(int) - handlers.examples[1].picture).mean() < 8
    assert list(handlers.fit_new(token, 20)) == [(SKIP, SKIP, SKIP)]  # an invented face has its true latent
    _, status = handlers.open_photo(copied(tmp_path / "photo.jpg"), token)
    assert "no encoder" in status
    assert handlers.expect_fit(token)[1]["interactive"]
    *_, (stage, status, _) = handlers.fit_new(token, 20)
    assert json.loads(stage)["token"] == token
    assert status.startswith("Optimised after 40 steps in all: ")
    assert list(handlers.fit_new(token, 20)) == [(SKIP, SKIP, SKIP)]
    photo = base64.b64encode(ASTRONAUT.read_bytes()).decode()
    api = ProgramAPI(lambda: lone_editor, handlers.light, handlers.long)
    assert set(api.edit(photo, {"component-1": 1.0}, steps=3)) == {
        "photo",
        "edited",
        "reconstruction",
        "faces",
    }


def test_with_an_encoder_nothing_follows_a_new_face(handlers, token, tmp_path):
    handlers.open_photo(copied(tmp_path / "photo.jpg"), token)
    assert list(handlers.fit_new(token, 20)) == [(SKIP, SKIP, SKIP)]
