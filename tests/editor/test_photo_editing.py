import cv2
import numpy as np
import pytest
from PIL import Image

from editor.errors import FaceError, ImageInputError
from editor.photo_editing import choose_face, crop_of, encode, patch, save, start
from editor.photo_session import session_of_crop
from editor.photo_sheet import CELL, HEAD, draw_sheet
from tests.helpers.pictures import two_faces


@pytest.fixture
def pair(astronaut):
    """Two faces, the second smaller, on grey."""
    return two_faces(astronaut)


def test_without_an_edit_the_photo_comes_back_bit_for_bit(refined_editor, astronaut):
    photo = refined_editor.open_photo(astronaut)
    for space in ("w", "w+", "f"):
        session = refined_editor.enter(refined_editor.invert(photo), space)
        np.testing.assert_array_equal(refined_editor.edit_photo(photo, [session]), astronaut)
        rested = refined_editor.edit(session, {"smile": 0.0})
        np.testing.assert_array_equal(refined_editor.edit_photo(photo, [rested]), astronaut)
        np.testing.assert_array_equal(refined_editor.edit_crop(rested), session.crop)


@pytest.mark.parametrize("space", ["w", "w+", "f"])
def test_an_edit_changes_the_face_and_nothing_beyond_its_crop(refined_editor, astronaut, space):
    photo = refined_editor.open_photo(astronaut)
    session = refined_editor.enter(refined_editor.invert(photo), space)
    edited = refined_editor.edit_photo(photo, [refined_editor.edit(session, {"smile": 2.0})])
    changed = (edited != astronaut).any(2)
    x0, y0, x1, y1 = map(round, photo.faces[0].face.box)
    assert changed[y0:y1, x0:x1].any()
    corners = photo.to_pixels(photo.faces[0]) @ np.array([[0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1.0]])
    left, top = np.floor(corners[:2].min(1)).astype(int).clip(0)
    right, bottom = np.ceil(corners[:2].max(1)).astype(int)
    changed[top:bottom, left:right] = False
    assert not changed.any()


def test_edits_of_every_face_come_out_together(tiny_editor, pair):
    photo = tiny_editor.open_photo(pair)
    assert [face.number for face in photo.faces] == [1, 2]
    opened = start(tiny_editor, photo)
    opened = opened.updated(tiny_editor.edit(opened.session, {"smile": 2.0}))
    opened = choose_face(tiny_editor, opened, 2)
    assert opened.base is not None
    assert (opened.base[:, :512] != pair[:, :512]).any()
    np.testing.assert_array_equal(opened.base[:, 512:], pair[:, 512:])
    opened = opened.updated(tiny_editor.edit(opened.session, {"age": 2.0}))
    both = tiny_editor.edit_photo(photo, opened.sessions.values())
    np.testing.assert_array_equal(both[:, :512], opened.base[:, :512])
    assert (both[:, 512:] != pair[:, 512:]).any()
    back = choose_face(tiny_editor, opened, 1)
    assert back.session.strengths == {"smile": 2.0}
    changed = patch(tiny_editor, back, back.session)
    painted = back.pixels.copy()
    changed.put(painted)
    np.testing.assert_array_equal(painted, both)


@pytest.mark.parametrize("face", [0, 3, -1, True, "1", None])
def test_a_face_that_is_not_there_is_named(tiny_editor, pair, face):
    photo = tiny_editor.open_photo(pair)
    with pytest.raises(FaceError, match="the photo has 2, numbered from 1"):
        tiny_editor.invert(photo, face)
    with pytest.raises(FaceError, match="the photo has 2, numbered from 1"):
        choose_face(tiny_editor, start(tiny_editor, photo), face)


def test_a_picture_that_is_one_face_has_no_other(tiny_editor):
    opened = session_of_crop(tiny_editor.sample(3))
    with pytest.raises(FaceError, match="this picture is one face"):
        choose_face(tiny_editor, opened, 2)
    data, kind = encode(tiny_editor, opened)
    assert kind == "png"
    assert data.startswith(b"\x89PNG")


def test_what_is_shown_as_a_view_is_saved_at_its_own_size(tiny_editor, pair, tmp_path):
    Image.fromarray(pair).save(tmp_path / "pair.png")
    whole = tiny_editor.open_photo(tmp_path / "pair.png")
    view = tiny_editor.open_photo(tmp_path / "pair.png", most_pixels=100_000)
    assert view.pixels.shape[0] * view.pixels.shape[1] <= 100_000
    assert (view.width, view.height) == (900, 512)
    edits = {"smile": 2.0}
    found = [start(tiny_editor, photo) for photo in (whole, view)]
    found = [opened.updated(tiny_editor.edit(opened.session, edits)) for opened in found]
    save(tiny_editor, found[1], tmp_path / "edited.png")
    with Image.open(tmp_path / "edited.png") as image:
        assert image.info["Description"] == "Photo edited with a generative model: smile +2"
        saved = np.asarray(image)
    np.testing.assert_array_equal(saved, tiny_editor.edit_photo(whole, [found[0].session]))
    shown = tiny_editor.edit_photo(view, [found[1].session])
    small = cv2.resize(saved, shown.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(int) - small).mean() < 1


def test_the_crop_is_as_large_as_in_the_photo(tiny_editor, astronaut):
    photo = tiny_editor.open_photo(astronaut)
    session = tiny_editor.invert(photo)
    crop = crop_of(tiny_editor, photo, session)
    assert len(crop) == round(float(np.hypot(*photo.faces[0].to_photo[:2, 0])))
    assert (crop != crop_of(tiny_editor, photo, tiny_editor.edit(session, {"smile": 2.0}))).any()


def test_a_photo_that_has_changed_since_is_not_saved(tiny_editor, astronaut, tmp_path):
    file = tmp_path / "photo.png"
    Image.fromarray(astronaut).save(file)
    opened = start(tiny_editor, tiny_editor.open_photo(file, most_pixels=50_000))
    Image.fromarray(astronaut[:400]).save(file)
    with pytest.raises(ImageInputError, match="has changed"):
        encode(tiny_editor, opened)
    file.unlink()
    with pytest.raises(ImageInputError):
        encode(tiny_editor, opened)


@pytest.fixture(scope="module")
def bundled():
    """The bundled model, a photo and its face."""
    from editor.pipeline import open_editor

    editor = open_editor(engine="torch")
    with editor.detector:
        photo = editor.open_photo(pytest.importorskip("skimage.data").astronaut())
        yield editor, photo, editor.invert(photo)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "strength", "moved", "kept"),
    [("smile", 1.0, "mouth", "brows"), ("eyes", -0.75, "eyes", "mouth"), ("lips", 1.25, "mouth", "eyes")],
)
def test_an_edit_stays_in_its_part_of_the_face(bundled, name, strength, moved, kept):
    editor, photo, session = bundled
    edited = editor.edit_photo(photo, [editor.edit(session, {name: strength})])
    change = np.abs(edited.astype(float) - photo.pixels).mean(2)
    points = photo.faces[0].face.points

    def around(place):
        number = {"mouth": 13, "eyes": 159, "brows": 105}[place]
        x, y = points[number].round().astype(int)
        return change[y - 4 : y + 5, x - 8 : x + 9].mean()

    assert around(moved) > 4
    assert around(kept) < 0.4 * around(moved)


@pytest.mark.weights
def test_no_slider_makes_the_photo_flicker(bundled):
    editor, photo, session = bundled
    x0, y0, x1, y1 = map(round, photo.faces[0].face.box)
    for name in ("smile", "age"):
        shown = [
            editor.edit_photo(photo, [editor.edit(session, {name: at})])[y0:y1, x0:x1].astype(float)
            for at in (0.0, 0.05, 1.0, 1.05)
        ]
        for one, two in ((0, 1), (2, 3)):
            error = np.square(shown[one] - shown[two]).mean()
            assert 10 * np.log10(255**2 / max(error, 1e-9)) > 40


def test_the_sheet_shows_every_edit_before_and_in_the_photo(tiny_editor):
    sheet = draw_sheet(tiny_editor)
    faces, edits = 3, 2
    assert sheet.shape == (HEAD + 2 * faces * CELL, (1 + 2 * edits) * CELL, 3)
