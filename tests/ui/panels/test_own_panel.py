import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from editor.own import maker
from editor.ui.examples import make_examples
from editor.ui.handlers import Handlers
from editor.ui.panels.own_panel import FINDS, MOST, OwnEditPanel
from inversion.directions.sharing import read_shared_edit, shared_edit
from tests.helpers.measured import colours
from tests.helpers.pictures import encoded, picture, two_faces
from tests.ui.test_handlers import SKIP, draw, enter


@pytest.fixture
def handlers(tiny_editor, monkeypatch):
    monkeypatch.setattr(maker, "measure", colours)
    tiny_editor.sha256 = "a" * 64
    return Handlers(tiny_editor, make_examples(tiny_editor))


@pytest.fixture
def panel(handlers):
    return OwnEditPanel(handlers)


@pytest.fixture
def token(handlers):
    return enter(handlers)[0]


def last(updates):
    return list(updates)[-1]


def test_faces_are_rated_and_become_a_slider_of_this_visit_alone(panel, handlers, token):
    pictures, said = last(panel.invent(token))
    assert len(json.loads(pictures)) == maker.SHOWN
    assert "Rate the faces" in said
    told = list(panel.rate(token, "Sunny", json.dumps([1, -1] * 10), json.dumps({"smile": 0.5})))
    assert told[0] == (SKIP, "Measuring what the edit changes ...")
    made, words = told[-1]
    assert made == 1
    assert words.startswith("Made “Sunny”: a deviation changes ")
    edits, strengths = panel.edits(token)
    assert (list(edits), strengths) == (["own-sunny"], {"smile": 0.5})
    plain = draw(handlers, token)
    edited = draw(handlers, token, **{"own-sunny": 1.0})
    assert edited["src"] not in (None, plain["src"])
    stranger = enter(handlers, "another page")[0]
    assert "no such direction" in draw(handlers, stranger, **{"own-sunny": 1.0})["error"]
    assert list(panel.edits(stranger)[0]) == []


def test_the_next_faces_are_others(panel, token):
    first, second = (json.loads(last(panel.invent(token))[0]) for _ in range(2))
    assert first != second


def test_an_own_edit_is_saved_with_the_photo(panel, handlers, token):
    last(panel.find(token, "Factor", next(iter(FINDS)), 1, "{}"))
    name = next(iter(panel.edits(token)[0]))
    reply = handlers.frames.save({"token": token, "strengths": {name: 1.0}})
    assert reply["src"].startswith("data:image/png")


@pytest.mark.parametrize("kind", FINDS)
def test_what_the_model_offers_is_found_by_its_number(panel, token, kind):
    made, words = last(panel.find(token, "", kind, 2, "{}"))
    assert made == 1
    assert f"Made “{FINDS[kind].capitalize()} 2”" in words
    assert "number: 99; must be from 1 to 32" in last(panel.find(token, "", kind, 99, "{}"))[1]


def test_a_place_is_pointed_at(panel, token):
    made, words = last(panel.point(token, "Left", json.dumps([0.3, 0.4, 1]), "{}"))
    assert (made, words[:12]) == (1, "Made “Left”:")
    assert "expected 3" in last(panel.point(token, "Left", "[1]", "{}"))[1]
    assert "no numbers" in last(panel.point(token, "Left", "{", "{}"))[1]


def file_of(panel, token, folder):
    edit = next(iter(panel.edits(token)[0].values()))
    file = folder / "mine.edit.safetensors"
    file.write_bytes(shared_edit(edit, "a" * 64))
    return file


def test_an_edit_is_passed_on_as_a_file(panel, handlers, token, tmp_path):
    last(panel.find(token, "Sunny", next(iter(FINDS)), 1, "{}"))
    edit = next(iter(panel.edits(token)[0].values()))
    link = panel.link(replace(edit, label='<b>"x"</b>'))
    assert 'download="sunny.edit.safetensors"' in link
    assert "<b>" not in link
    file = file_of(panel, token, tmp_path)
    friend = enter(handlers, "a friend's page")[0]
    made, words = last(panel.load(friend, str(file), "{}"))
    assert (made, words[:13]) == (1, "Made “Sunny”:")
    assert not file.exists()
    assert np.allclose(panel.edits(friend)[0]["own-sunny"].direction, edit.direction)
    assert panel.edits(friend)[0]["own-sunny"].effects == edit.effects


def test_the_file_of_another_model_is_refused(panel, handlers, token, tmp_path):
    last(panel.find(token, "Sunny", next(iter(FINDS)), 1, "{}"))
    file = file_of(panel, token, tmp_path)
    handlers.editor.sha256 = "b" * 64
    assert "made for generator aaaaaaaaaaaa" in last(panel.load(token, str(file), "{}"))[1]
    assert not file.exists()
    assert last(panel.load(token, None, "{}")) == (SKIP, SKIP)


def test_an_edit_of_zones_is_refused_by_a_model_that_draws_none(panel, token, tmp_path):
    last(panel.find(token, "Sunny", next(iter(FINDS)), 1, "{}"))
    edit = replace(next(iter(panel.edits(token)[0].values())), zones={"mouth": 1.0})
    file = tmp_path / "mine.edit.safetensors"
    file.write_bytes(shared_edit(edit, "a" * 64))
    assert "limited to parts of the face" in last(panel.load(token, str(file), "{}"))[1]
    assert not file.exists()


def test_what_cannot_be_made_is_said_and_changes_nothing(panel, token):
    assert "ratings: 0; must be at least 4" in last(panel.rate(token, "x", "[]", "{}"))[1]
    last(panel.invent(token))
    assert "all are equal" in last(panel.rate(token, "x", json.dumps([1] * 20), "{}"))[1]
    assert "must be at most 40" in last(panel.rate(token, "x" * 50, json.dumps([1, -1] * 10), "{}"))[1]
    assert list(panel.edits(token)[0]) == []
    for updates in (panel.invent("stranger"), panel.find("stranger", "", "", 1, "{}")):
        assert "visit is over" in last(updates)[1]


@pytest.mark.parametrize("who", ["Invented face 2", "Face 2 of this photo", "a photo"])
def test_another_face_is_mixed_in(panel, handlers, token, tmp_path, astronaut, who):
    group = tmp_path / "group.png"
    both = two_faces(astronaut)
    both[60:444, 514:898] = both[60:444, 514:898][:, ::-1] // 2  # another face than the first
    group.write_bytes(encoded(both, "PNG"))
    handlers.open_photo(str(group), token)
    file = tmp_path / "other.png"
    file.write_bytes(encoded(astronaut, "PNG"))
    given = str(file) if who == "a photo" else None
    made, words = last(panel.mix(token, "", who, given, "Pose and shape", json.dumps({"smile": 0.5})))
    assert made == 1, words
    assert "1 is all of the other face" in words
    assert file.exists() is (given is None)
    ((name, edit),) = panel.edits(token)[0].items()
    assert (edit.range, edit.layers) == ((0.0, 1.0), (0, 4))
    half, whole = (draw(handlers, token, **{name: share}) for share in (0.5, 1.0))
    assert half["src"] not in (None, whole["src"])


def test_a_face_that_is_not_there_is_not_mixed_in(panel, token, tmp_path):
    def said(*arguments):
        return last(panel.mix(token, "", *arguments, "{}"))[1]

    assert "choose one of the list" in said("Face 2 of this photo", None, "Features")
    assert "choose one of the list" in said("Somebody", None, "Features")
    assert "must be one of" in said("Invented face 1", None, "Hair")
    empty = tmp_path / "empty.png"
    empty.write_bytes(encoded(picture(300, 300), "PNG"))
    assert "no face found" in said("Invented face 1", str(empty), "Features")
    assert not empty.exists()


def test_a_visit_has_so_many_edits_and_no_more(panel, token):
    for number in range(MOST):
        assert last(panel.find(token, "", next(iter(FINDS)), number + 1, "not json"))[0] == number + 1
    assert (
        f"{MOST} edits of your own are the most" in last(panel.find(token, "", next(iter(FINDS)), 1, "{}"))[1]
    )


def test_another_model_ends_own_edits(panel, handlers, token):
    last(panel.find(token, "Sunny", next(iter(FINDS)), 1, "{}"))
    handlers.adopt(handlers.editor)
    assert list(panel.edits(token)[0]) == []


def test_a_shared_edit_is_read_for_its_own_model(panel, token, tmp_path):
    last(panel.find(token, "Sunny", next(iter(FINDS)), 1, "{}"))
    found = read_shared_edit(Path(file_of(panel, token, tmp_path)), "a" * 64, 32, 8)
    assert found.label == "Sunny"


def test_a_sentence_needs_somebody_who_reads(panel, handlers, token):
    assert (
        "needs CLIP's encoders: start the app with --clip FOLDER"
        in last(panel.say(token, "", "red", "{}"))[1]
    )
    reads = OwnEditPanel(handlers, lambda faces, sentence: [float(face.mean()) for face in faces])
    made, words = last(reads.say(token, "", "a bright face", "{}"))
    assert (made, words[:21]) == (1, "Made “a bright face”:")
