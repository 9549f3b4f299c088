from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from editor.errors import ImageInputError
from editor.measure.attributes import MEASURED
from editor.own import maker
from editor.own.maker import CANDIDATES, SHOWN, OwnEdits, pictures_in, read_ratings
from inversion.directions.errors import DirectionError
from inversion.directions.rated import Measures, Texture
from tests.helpers.measured import colours


@pytest.fixture
def own(tiny_editor, monkeypatch):
    monkeypatch.setattr(maker, "measure", colours)
    return OwnEdits(tiny_editor)


def measured_change(own, edit, name):
    return own._probe.effects(edit)[MEASURED.index(name)]


def test_ratings_by_latents_alone_give_an_edit_towards_them(own):
    faces = own.faces(0)
    assert len(faces) == SHOWN
    red = np.array([face.table[MEASURED.index("smile")] for face in faces])
    edit = own.of_ratings("Redder", faces, np.sign(red - np.median(red)))
    assert measured_change(own, edit, "smile") > 0.3
    assert edit.label == "Redder"
    assert edit.group == "Your own"
    assert edit.effects["smile"] == pytest.approx(measured_change(own, edit, "smile"), abs=0.01)


def test_with_measures_an_edit_is_a_mixture_of_their_steps(own, tiny_editor, monkeypatch):
    steps = torch.zeros(len(MEASURED), 8, 32)
    steps[MEASURED.index("age"), :, 3] = 0.5
    steps[MEASURED.index("beard"), :, 5] = 0.5
    scale = {"mean": np.zeros(len(MEASURED)), "spread": np.full(len(MEASURED), 20.0)}
    texture = Texture(mean=np.zeros(128), whitener=np.eye(128), limit=1e9)
    tiny_editor.measures = Measures(names=MEASURED, steps=steps, texture=texture, **scale)
    own = OwnEdits(tiny_editor)
    faces = own.faces(0)
    green = [face.table[MEASURED.index("age")] for face in faces]
    edit = own.of_ratings("Greener", faces, green)
    assert int(edit.direction[0].abs().argmax()) == 3
    assert edit.direction[0, 3] > 0
    assert 0.1 < edit.sigma <= 0.5


def test_faces_to_rate_are_the_same_for_the_same_seed_and_told_of(own):
    told = []
    first, again, other = own.faces(1, told.append), own.faces(1), own.faces(2)
    assert np.array_equal(first[0].pixels, again[0].pixels)
    assert not np.array_equal(first[0].pixels, other[0].pixels)
    assert told[-1] == f"inventing faces: {CANDIDATES} of {CANDIDATES}"


def write_pictures(own, folder, faces):
    folder.mkdir()
    for number, face in enumerate(faces):
        Image.fromarray(face.pixels).save(folder / f"{number}.png")


def test_two_folders_of_examples_give_an_edit(own, tmp_path):
    faces = sorted(own.faces(3), key=lambda face: face.table[MEASURED.index("beard")])
    write_pictures(own, tmp_path / "less", faces[:6])
    write_pictures(own, tmp_path / "more", faces[-6:])
    (tmp_path / "more" / "notes.txt").write_text("no picture")
    told = []
    edit = own.of_folders("Bluer", tmp_path / "more", tmp_path / "less", told.append)
    assert "looking at pictures: 12" in told
    assert edit.direction.shape == (32,)


def test_a_list_of_ratings_gives_the_edit_of_its_faces(own, tmp_path):
    faces = own.faces(3)[:8]
    write_pictures(own, tmp_path / "faces", faces)
    rows = "\n".join(f"faces/{number}.png,{number}" for number in range(8))
    (tmp_path / "ratings.csv").write_text(f"file,rating\n{rows}\nfaces/0.png,\n")
    edit = own.of_list("Later", tmp_path / "ratings.csv")
    assert edit.label == "Later"
    assert edit.attribute in MEASURED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,rating\na.png,1\n", "columns `file` and `rating`"),
        ("file,rating\na.png,good\n", "columns `file` and `rating`"),
        ("file,rating\na.png\n", "columns `file` and `rating`"),
    ],
)
def test_other_lists_are_refused(tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DirectionError, match=message):
        read_ratings(tmp_path / "list.csv")


def test_missing_lists_and_empty_folders_are_named(tmp_path):
    with pytest.raises(DirectionError, match="no list of ratings"):
        read_ratings(tmp_path / "none.csv")
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ImageInputError, match="no folder with pictures"):
            pictures_in(folder)


def test_a_photo_is_cropped_and_one_without_a_face_left_out(own, astronaut, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "photo.png")
    Image.fromarray(np.full((200, 300, 3), 90, np.uint8)).save(tmp_path / "wall.png")
    assert own._pictured(tmp_path / "photo.png").pixels.shape == (32, 32, 3)
    assert own._pictured(tmp_path / "wall.png") is None


def test_what_the_model_itself_offers_is_measured_too(own):
    for edit in (own.factor(2), own.component(3), own.channel(0.4, 0.6)):
        assert set(edit.effects) == set(MEASURED)
        assert edit.range[0] < 0 < edit.range[1]
        assert edit.group == "Your own"
    assert own.factor(2).name == "factor-2"
    assert own.component(3).label == "Component 3"
    assert own.channel(0.4, 0.6).name.startswith("channel-b")


def test_numbers_and_places_that_there_are_not_are_refused(own):
    for make in (own.factor, own.component):
        with pytest.raises(DirectionError, match="number: 33; must be from 1 to 32"):
            make(33)
    with pytest.raises(DirectionError, match="must lie within 0 to 1"):
        own.channel(0.5, 1.5)


def test_names_are_told_apart_and_fit_into_a_page(own):
    edit = own.factor(1)
    first = own.named(edit, '  <b>"Sunny" smile</b> ', [])
    assert (first.name, first.label) == ("own-b-sunny-smile-b", '<b>"Sunny" smile</b>')
    assert own.named(edit, "sunny", ["own-sunny", "own-sunny-2"]).name == "own-sunny-3"
    assert own.named(edit, "", []).label == edit.label
    assert own.named(edit, "日本", []).name == "own-edit"
    for label in ("x" * 41, "a\x00b"):
        with pytest.raises(DirectionError, match="must be at most 40"):
            own.named(edit, label, [])


def test_own_edits_are_one_sessions_alone(own, tiny_editor, astronaut):
    edit = own.named(own.factor(1), "sunny", [])
    session = tiny_editor.invert(astronaut)
    mine = replace(session, own=type(tiny_editor.directions)({edit.name: edit}))
    edited = tiny_editor.edit(mine, {edit.name: 1.0, "smile": 1.0})
    assert not np.array_equal(tiny_editor.render(edited), tiny_editor.reconstruct(edited))
    with pytest.raises(DirectionError, match="no direction 'own-sunny'"):
        tiny_editor.edit(session, {edit.name: 1.0})


def test_a_sentence_becomes_an_edit_towards_faces_that_fit(own):
    read = []

    def judge(faces, sentence):
        read.append((len(faces), sentence))
        return [float(face[..., 0].mean()) for face in faces]

    edit = own.of_sentence("", "a  person in red", judge)
    assert read == [(CANDIDATES, "a  person in red")]
    assert edit.label == "a person in red"
    assert measured_change(own, edit, "smile") > 0.3
