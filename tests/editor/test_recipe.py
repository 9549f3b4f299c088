import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from editor.errors import FaceError, RecipeError
from editor.photo_editing import as_new_base, choose_face, encode, start
from editor.photo_session import VIEW_PIXELS, session_of_crop
from editor.recipe import MAX_RECIPE, as_command, as_python, load_recipe, read_recipe, recipe_of, repeat
from inversion.directions.errors import DirectionError, StrengthError
from tests.helpers.pictures import encoded, two_faces


@pytest.fixture
def pair(astronaut):
    """Two faces, the second smaller, on grey."""
    return two_faces(astronaut)


@pytest.fixture
def edited(tiny_editor, pair):
    """Both faces edited, each in a space of its own."""
    opened = start(tiny_editor, tiny_editor.open_photo(pair))
    first = tiny_editor.edit(tiny_editor.enter(opened.session, "w"), {"smile": 1.5, "age": 0.0})
    opened = choose_face(tiny_editor, opened.updated(first), 2)
    return opened.updated(tiny_editor.edit(opened.session, {"age": -0.3}))


def test_an_edit_that_was_saved_is_repeated_bit_for_bit(tiny_editor, pair, edited, tmp_path):
    recipe = recipe_of(tiny_editor, edited)
    (tmp_path / "edit.json").write_text(recipe.to_json())
    kept = load_recipe(tmp_path / "edit.json")
    assert kept == recipe
    assert {number: (dict(each.strengths), each.space) for number, each in kept.faces.items()} == {
        1: ({"smile": 1.5}, "w"),
        2: ({"age": -0.3}, "w+"),
    }
    fresh = tiny_editor.open_photo(pair)
    again = repeat(tiny_editor, start(tiny_editor, fresh), kept)
    assert again.chosen == 2
    np.testing.assert_array_equal(
        tiny_editor.edit_photo(fresh, again.sessions.values()),
        tiny_editor.edit_photo(edited.photo, edited.sessions.values()),
    )


def test_what_was_edited_before_is_let_go_of(tiny_editor, edited):
    only = recipe_of(tiny_editor, start(tiny_editor, edited.photo))
    again = repeat(tiny_editor, edited, only)
    assert again.chosen == 1
    assert not any(session.edited for session in again.sessions.values())
    assert again.base is None


def test_steps_of_optimisation_are_part_of_it(tiny_editor, astronaut):
    opened = start(tiny_editor, tiny_editor.open_photo(astronaut))
    improved = opened.updated(tiny_editor.edit(tiny_editor.optimise(opened.session, 2), {"smile": 1.0}))
    recipe = recipe_of(tiny_editor, improved)
    assert recipe.faces[1].steps == (2,)
    again = repeat(tiny_editor, opened, recipe)
    np.testing.assert_array_equal(
        tiny_editor.edit_photo(opened.photo, again.sessions.values()),
        tiny_editor.edit_photo(opened.photo, improved.sessions.values()),
    )
    assert repeat(tiny_editor, improved, recipe).session.inversion is improved.session.inversion
    with pytest.raises(RecipeError, match=r"face 1 was optimised \(2 steps\)"):
        repeat(tiny_editor, opened, recipe, optimise=False)
    assert repeat(tiny_editor, improved, recipe, optimise=False).session.edited


def test_a_picture_that_became_the_base_is_repeated_bit_for_bit(tiny_editor, tmp_path, astronaut):
    file = tmp_path / "me.jpg"
    file.write_bytes(encoded(astronaut, "JPEG", quality=90))
    first = start(tiny_editor, tiny_editor.open_photo(file, most_pixels=VIEW_PIXELS))
    smiling = first.updated(tiny_editor.edit(first.session, {"smile": 1.5}))
    base = as_new_base(tiny_editor, smiling)
    assert not base.session.edited
    assert base.name == "me.jpg"
    assert not np.array_equal(base.pixels, first.pixels)
    older = base.updated(tiny_editor.edit(tiny_editor.enter(base.session, "w"), {"age": 1.0}))
    recipe = recipe_of(tiny_editor, older)
    kept = read_recipe(recipe.to_json())
    assert kept == recipe
    assert [dict(stage.faces[1].strengths) for stage in kept.stages] == [{"smile": 1.5}, {"age": 1.0}]
    assert "--edit" in as_command(kept, "me.jpg", "out.jpg", "edit.json")
    for begun in (start(tiny_editor, tiny_editor.open_photo(file, most_pixels=VIEW_PIXELS)), base):
        again = repeat(tiny_editor, begun, kept)
        assert encode(tiny_editor, again) == encode(tiny_editor, older)
    data, kind = encode(tiny_editor, older)
    assert kind == "jpeg"
    assert b"smile +1.5" in data  # both edits are told
    assert b"age +1" in data
    other = replace(kept, stages=(kept.stages[1], kept.stages[1]))
    with pytest.raises(RecipeError, match="another photo"):
        repeat(tiny_editor, base, other)


def test_the_face_that_was_edited_stays_chosen_in_a_new_base(tiny_editor, edited):
    base = as_new_base(tiny_editor, edited)
    assert base.chosen == 2
    assert len(base.photo.faces) == 2


def test_an_invented_face_becomes_a_base_too(tiny_editor):
    opened = session_of_crop(tiny_editor.edit(tiny_editor.sample(3), {"smile": 1.0}))
    base = as_new_base(tiny_editor, opened)
    np.testing.assert_array_equal(base.pixels, tiny_editor.edit_crop(opened.session))
    assert not base.session.edited
    assert [dict(stage.faces[1].strengths) for stage in recipe_of(tiny_editor, base).stages] == [
        {"smile": 1.0},
        {},
    ]


def test_an_invented_face_has_edits_too_but_no_other_states(tiny_editor):
    opened = session_of_crop(tiny_editor.edit(tiny_editor.sample(3), {"smile": 1.0}))
    recipe = recipe_of(tiny_editor, opened)
    assert repeat(tiny_editor, opened, recipe).session.strengths == {"smile": 1.0}
    told = json.loads(recipe.to_json())
    told["faces"]["1"]["steps"] = [9]
    with pytest.raises(RecipeError, match="no such state"):
        repeat(tiny_editor, opened, read_recipe(json.dumps(told)))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": "0" * 64}, RecipeError, "another model"),
        ({"faces": {"7": {"space": "w", "strengths": {}}}, "chosen": 7}, FaceError, "7"),
        ({"faces": {"1": {"space": "f", "strengths": {}}}, "chosen": 1}, DirectionError, "no space"),
        ({"faces": {"1": {"space": "w", "strengths": {"x": 1}}}, "chosen": 1}, DirectionError, "x"),
        ({"faces": {"1": {"space": "w", "strengths": {"smile": 99}}}, "chosen": 1}, StrengthError, "99"),
    ],
)
def test_what_does_not_fit_the_model_or_the_photo_is_refused(tiny_editor, edited, change, error, words):
    told = {**json.loads(recipe_of(tiny_editor, edited).to_json()), **change}
    with pytest.raises(error, match=words):
        repeat(tiny_editor, edited, read_recipe(json.dumps(told)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("[" * 5000, "no JSON"),
        ("[]", "format"),
        ('{"format": "face edit", "version": 2}', "version"),
        ('{"format": "face edit", "version": 1, "model": "m", "faces": {}}', "1 to"),
        ('{"format": "face edit", "version": 1, "model": "m", "faces": {"1": 3}, "chosen": 1}', "strengths"),
        (" " * (MAX_RECIPE + 1), "characters"),
    ],
)
def test_files_that_are_no_edits_are_refused(text, words):
    with pytest.raises(RecipeError, match=words):
        read_recipe(text)


FACE = {"space": "w", "strengths": {"smile": 1}}


@pytest.mark.parametrize(
    ("face", "words"),
    [
        ({**FACE, "space": "z"}, "space"),
        ({**FACE, "strengths": {"smile": "1"}}, "numbers"),
        ({**FACE, "strengths": {"smile": True}}, "numbers"),
        ({**FACE, "strengths": {"smile": float("nan")}}, "numbers"),
        ({**FACE, "steps": 3}, "steps"),
        ({**FACE, "steps": [0]}, "steps"),
        ({**FACE, "steps": [1.5]}, "steps"),
    ],
)
def test_faces_that_are_none_are_refused(face, words):
    told = {"format": "face edit", "version": 1, "model": "m", "faces": {"1": face}, "chosen": 1}
    with pytest.raises(RecipeError, match=words):
        read_recipe(json.dumps(told))
    told["faces"] = {"0": FACE}
    with pytest.raises(RecipeError, match="number"):
        read_recipe(json.dumps(told))
    told["faces"] = {"2": FACE}
    with pytest.raises(RecipeError, match="chosen"):
        read_recipe(json.dumps(told))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"nowhere\.json"):
        load_recipe(tmp_path / "nowhere.json")


def test_the_command_says_all_where_flags_can(tiny_editor, edited):
    recipe = recipe_of(tiny_editor, edited)  # two spaces, which no flag can say
    assert as_command(recipe, "a b.jpg", "o.jpg", "e.json") == (
        "python -m editor 'a b.jpg' --edit e.json --out o.jpg"
    )
    one = recipe_of(tiny_editor, start(tiny_editor, edited.photo))
    assert (
        as_command(one, "a.jpg", "o.jpg", "e.json")
        == "python -m editor a.jpg --face 1 --space w+ --out o.jpg"
    )
    told = json.loads(recipe.to_json())
    told["faces"]["1"]["space"] = "w+"
    both = read_recipe(json.dumps(told))
    assert as_command(both, "a.jpg", "o.jpg", "e.json") == (
        "python -m editor a.jpg --face 1 --set smile=1.5 --face 2 --set age=-0.3 --space w+ --out o.jpg"
    )


@pytest.mark.weights
def test_the_python_that_is_copied_does_what_the_command_does(tmp_path, astronaut):
    from PIL import Image

    from editor.__main__ import main
    from editor.pipeline import open_editor

    Image.fromarray(astronaut).save(tmp_path / "photo.png")
    editor = open_editor(engine="torch")
    opened = start(editor, editor.open_photo(astronaut))
    recipe = recipe_of(editor, opened.updated(editor.edit(opened.session, {"smile": 1.0})))
    editor.detector.close()
    (tmp_path / "edit.json").write_text(recipe.to_json())
    paths = [str(tmp_path / name) for name in ("photo.png", "python.png", "edit.json", "shell.png")]
    subprocess.run([sys.executable, "-c", as_python(*paths[:3])], check=True)
    assert main([paths[0], "--edit", paths[2], "--out", paths[3]]) == 0
    found = [np.asarray(Image.open(path).convert("RGB")) for path in (paths[1], paths[3])]
    np.testing.assert_array_equal(*found)
    assert (found[0] != astronaut).any()
    assert main([paths[0], "--edit", paths[2], "--set", "smile=1", "--out", paths[3]]) == 2
