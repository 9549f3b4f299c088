"""Photos edited in a box: of models whose pictures are no faces, and of photos that show none."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from editor.__main__ import main
from editor.edit_stage import EditStage, FaceEdit
from editor.errors import BoxError, ImageInputError, NoFaceError, RecipeError
from editor.face.box import PhotoBox
from editor.photo_editing import as_new_base, choose_box, crop_of, encode, patch, start
from editor.photo_session import VIEW_PIXELS, session_of_crop
from editor.recipe import Recipe, as_command, read_recipe, recipe_of, repeat
from editor.transfer.ground import ground_of_box
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.bundle.content import Content
from stylegan2.bundle.folder import CropConfig, save_bundle

BOX = PhotoBox(40, 30, 200)  # 200 x 150 px of `scene`
STRONG = {"smile": 2.0}


@pytest.fixture
def scene():
    """No face anywhere."""
    coarse = np.random.default_rng(1).integers(0, 256, (30, 50, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((500, 300)))


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def edited(editor, scene, box=BOX):
    opened = start(editor, editor.open_photo(scene, box=box))
    return opened.updated(editor.edit(opened.session, STRONG))


def outside(box, shape):
    """Pixels of a photo that are not within a box of 4:3."""
    beyond = np.ones(shape[:2], bool)
    beyond[box.top : box.top + box.width * 3 // 4, box.left : box.left + box.width] = False
    return beyond


def test_a_model_of_pictures_looks_for_no_face_and_takes_the_largest_box(picture_editor, astronaut):
    photo = picture_editor.open_photo(astronaut)
    assert photo.box == PhotoBox(0, 64, 512)
    assert [face.number for face in photo.faces] == [1]
    (found,) = picture_editor.find_faces(astronaut)
    assert found.face.box == (0, 64, 512, 448)


@pytest.mark.parametrize("box", [BOX, PhotoBox(0, 0, 400), PhotoBox(411, 233, 89), PhotoBox(17, 101, 64)])
def test_an_edit_changes_the_box_and_nothing_outside_it(picture_editor, scene, box):
    opened = edited(picture_editor, scene, box)
    painted = picture_editor.edit_photo(opened.photo, opened.sessions.values())
    changed = (painted != scene).any(2)
    assert changed.any()
    assert not changed[outside(box, scene.shape)].any()


def test_without_an_edit_the_photo_comes_back_bit_for_bit(picture_editor, scene):
    opened = start(picture_editor, picture_editor.open_photo(scene, box=BOX))
    np.testing.assert_array_equal(picture_editor.edit_photo(opened.photo, [opened.session]), scene)
    rested = picture_editor.edit(opened.session, {"smile": 0.0})
    np.testing.assert_array_equal(picture_editor.edit_photo(opened.photo, [rested]), scene)
    np.testing.assert_array_equal(decoded(encode(picture_editor, opened, "png")[0]), scene)


def test_the_padding_is_black_and_never_painted(picture_editor, scene):
    session = edited(picture_editor, scene).session
    for pixels in (session.crop, picture_editor.edit_crop(session), picture_editor.sample(3).crop):
        assert pixels.shape == (32, 32, 3)
        assert not pixels[:4].any()
        assert not pixels[28:].any()
    fields = picture_editor.painter.fields(session)
    inside = round(len(fields.region) / 8)
    assert not fields.region[:inside].any()
    assert not fields.region[-inside:].any()
    assert fields.region.max() == 1
    assert fields.uncovered is None


def test_towards_the_border_of_a_box_the_photo_is_kept():
    crop = np.zeros((256, 256, 3), np.uint8)
    region = ground_of_box(crop, Content(width=0.5)).region
    assert region.shape == (128, 128)
    assert region[64, 64] == 1
    row = region[64, 32:64]
    assert row[0] == 0
    assert (np.diff(row) >= 0).all()
    assert not region[:, :32].any()
    np.testing.assert_array_equal(region, region[::-1, ::-1])


def test_what_is_shown_and_saved_of_a_picture_is_its_content(picture_editor, scene):
    opened = edited(picture_editor, scene)
    crop = crop_of(picture_editor, opened.photo, opened.session)
    assert crop.shape == (150, 200, 3)
    inner = slice(4, -4), slice(4, -4)  # rows and columns at the border are rounded
    whole = picture_editor.edit_photo(opened.photo, [opened.session])[30:180, 40:240]
    assert np.abs(crop[inner].astype(int) - whole[inner]).mean() < 12
    lone = session_of_crop(picture_editor.edit(picture_editor.sample(3), STRONG))
    assert lone.pixels.shape == (24, 32, 3)
    assert patch(picture_editor, lone, lone.session).pixels.shape == (24, 32, 3)
    assert decoded(encode(picture_editor, lone)[0]).shape == (24, 32, 3)


def test_a_photo_without_a_face_can_be_edited_in_a_box_by_a_model_of_faces(tiny_editor, scene):
    with pytest.raises(NoFaceError, match="no face"):
        tiny_editor.open_photo(scene)
    opened = edited(tiny_editor, scene)
    assert opened.photo.faces[0].content == Content()
    painted = tiny_editor.edit_photo(opened.photo, opened.sessions.values())
    changed = (painted != scene).any(2)
    assert changed.any()
    changed[30:230, 40:240] = False  # as wide as it is high
    assert not changed.any()


def test_a_box_is_moved_and_the_edit_goes_along(picture_editor, scene, tmp_path):
    file = tmp_path / "scene.png"
    large = np.asarray(Image.fromarray(scene).resize((2000, 1200)))
    Image.fromarray(large).save(file)
    opened = start(picture_editor, picture_editor.open_photo(file, most_pixels=VIEW_PIXELS))
    assert opened.photo.file is None
    opened = opened.updated(picture_editor.edit(opened.session, STRONG))
    moved = choose_box(picture_editor, opened, PhotoBox(160, 120, 800))
    assert moved.session.strengths == STRONG
    assert moved.photo.box == PhotoBox(160, 120, 800)
    assert moved.photo.pixels.shape == opened.photo.pixels.shape
    direct = picture_editor.open_photo(file, box=PhotoBox(160, 120, 800))
    np.testing.assert_array_equal(moved.session.crop, direct.faces[0].cropped.crop)
    same = choose_box(picture_editor, moved, PhotoBox(160, 120, 800))
    assert same.session is moved.session  # nothing was inverted again
    with pytest.raises(BoxError, match="within the photo of 2000 x 1200"):
        choose_box(picture_editor, opened, PhotoBox(0, 0, 2400))


def test_a_picture_without_a_photo_has_no_box(picture_editor):
    with pytest.raises(ImageInputError, match="no photo"):
        choose_box(picture_editor, session_of_crop(picture_editor.sample(1)), BOX)


def test_a_saved_edit_repeats_the_box_bit_for_bit(picture_editor, scene):
    opened = edited(picture_editor, scene)
    recipe = read_recipe(recipe_of(picture_editor, opened).to_json())
    assert recipe.box == BOX
    fresh = start(picture_editor, picture_editor.open_photo(scene))
    again = repeat(picture_editor, fresh, recipe)
    assert encode(picture_editor, again, "png") == encode(picture_editor, opened, "png")
    assert again.photo.box == BOX
    words = as_command(recipe, "scene.png", "out.png", "edit.json")
    assert "--box 40,30,200 --set smile=2" in words
    assert "--face" not in words


def test_an_edited_picture_becomes_a_base_in_the_same_box(picture_editor, scene):
    based = as_new_base(picture_editor, edited(picture_editor, scene))
    assert based.photo.box == BOX
    based = based.updated(picture_editor.edit(based.session, {"age": 1.0}))
    recipe = read_recipe(recipe_of(picture_editor, based).to_json())
    again = repeat(picture_editor, start(picture_editor, picture_editor.open_photo(scene)), recipe)
    np.testing.assert_array_equal(again.photo.pixels, based.photo.pixels)
    assert again.session.strengths == {"age": 1.0}


def test_an_edit_of_faces_is_not_done_to_a_box(tiny_editor, scene, astronaut):
    faces = start(tiny_editor, tiny_editor.open_photo(astronaut))
    recipe = recipe_of(tiny_editor, faces.updated(tiny_editor.edit(faces.session, STRONG)))
    with pytest.raises(RecipeError, match="it is of faces"):
        repeat(tiny_editor, edited(tiny_editor, scene), recipe)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"box": [1, 2]}, "left, top and width"),
        ({"box": [1, 2, 3.5]}, "whole px"),
        ({"box": [True, 2, 3]}, "whole px"),
        ({"box": None}, "whole px"),
        ({"box": "1,2,3"}, "whole px"),
        ({"faces": {"2": {"space": "w", "strengths": {}}}, "chosen": 2}, "one face, number 1"),
    ],
)
def test_boxes_of_files_are_checked(picture_editor, scene, change, words):
    told = json.loads(recipe_of(picture_editor, edited(picture_editor, scene)).to_json())
    with pytest.raises(RecipeError, match=words):
        read_recipe(json.dumps({**told, **change}))


def test_a_box_is_edited_from_the_shell_and_its_edit_file_repeats_it(tiny_generator, scene, tmp_path, capsys):
    save_bundle(
        tmp_path / "toy",
        tiny_generator,
        name="toy",
        crop_config=CropConfig(),
        licence="own",
        content=Content(height=0.75),
    )
    file, out, crop = (tmp_path / name for name in ("scene.png", "out.png", "crop.png"))
    Image.fromarray(scene).save(file)
    flags = [str(file), "--model", str(tmp_path / "toy"), "--out", str(out)]
    edits = ["--box", "40,30,200", "--set", "component-1=3", "--steps", "1", "--crop", str(crop), "--json"]
    assert main([*flags, *edits]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [face["box"] for face in report["faces"]] == [[40, 30, 240, 180]]
    assert Image.open(crop).size == (200, 150)
    first = np.asarray(Image.open(out))
    changed = (first != scene).any(2)
    assert changed.any()
    assert not changed[outside(BOX, scene.shape)].any()
    stage = EditStage(
        faces={1: FaceEdit(strengths=report["strengths"], space=report["space"], steps=(1,))}, box=BOX
    )
    sha256 = file_sha256(tmp_path / "toy" / "generator.safetensors")
    (tmp_path / "edit.json").write_text(Recipe(model=sha256, stages=(stage,)).to_json())
    assert main([*flags, "--edit", str(tmp_path / "edit.json")]) == 0
    np.testing.assert_array_equal(np.asarray(Image.open(out)), first)
    capsys.readouterr()
    for wrong, words in (
        ("40,30", "must be LEFT,TOP,WIDTH"),
        ("400,30,200", "must lie within the photo of 500"),
    ):
        assert main([*flags, "--box", wrong, "--set", "component-1=3"]) == 2
        assert words in capsys.readouterr().err
    assert main([*flags, "--edit", str(tmp_path / "edit.json"), "--box", "1,2,100"]) == 2
    assert "--edit: says what to do by itself" in capsys.readouterr().err
