import json

import cv2
import numpy as np
import pytest

from editor.face.choice import MAX_YAW
from editor.face.mesh import Face
from editor.motion.moving import MovingEdit
from editor.motion.moving_face import FADE_YAW, MovingFace, look
from editor.motion.placing import Placing, square_of
from editor.pipeline import open_editor
from inversion.directions.errors import DirectionError, StrengthError
from stylegan2.errors import ConfigError
from tests.helpers.pictures import two_faces

FPS = 25


def shifted(portrait, x, y=0.0):
    return cv2.warpAffine(portrait, np.float32([[1, 0, x], [0, 1, y]]), (640, 512), borderValue=(90, 90, 90))


def film(portrait, frames=6):
    return [(shifted(portrait, 10 + 9 * k, 4 * k), k / FPS) for k in range(frames)]


def edit(editor, **options):
    return MovingEdit(editor, {"smile": 1.5}, **options)


def test_the_face_is_edited_where_it_is(tiny_editor, astronaut):
    moving = edit(tiny_editor)
    for pixels, seconds in film(astronaut):
        before = pixels.copy()
        (patch,) = moving.patches(pixels, seconds)
        np.testing.assert_array_equal(pixels, before)
        (face,) = tiny_editor.detector.detect(pixels, small_faces=False)
        height, width = patch.pixels.shape[:2]
        x0, y0, x1, y1 = face.box
        assert patch.left < (x0 + x1) / 2 < patch.left + width
        assert patch.top < (y0 + y1) / 2 < patch.top + height
        assert not np.array_equal(patch.pixels, pixels[patch.top :, patch.left :][:height, :width])


def test_no_edit_and_no_face_change_nothing(tiny_editor, astronaut):
    assert MovingEdit(tiny_editor, {"smile": 0.0}).patches(astronaut, 0.0) == []
    assert edit(tiny_editor).patches(np.full((240, 320, 3), 90, np.uint8), 0.0) == []


def test_the_first_person_alone_or_everybody(tiny_editor, astronaut):
    both = two_faces(astronaut)
    (main,) = edit(tiny_editor).patches(both, 0.0)
    assert main.left < 400
    left, right = sorted(edit(tiny_editor, every_face=True).patches(both, 0.0), key=lambda each: each.left)
    assert left.left < 400 < right.left + right.pixels.shape[1]


def test_a_person_who_comes_back_elsewhere_is_edited_again(tiny_editor, astronaut):
    moving = edit(tiny_editor)
    assert len(moving.patches(shifted(astronaut, 0), 0.0)) == 1
    assert moving.patches(np.full((512, 640, 3), 90, np.uint8), 0.04) == []
    (patch,) = moving.patches(shifted(astronaut, 120), 0.08)
    assert patch.left > 150


def test_a_remembered_state_goes_on_bit_for_bit(tiny_editor, astronaut):
    frames = film(astronaut)
    whole = edit(tiny_editor)
    expected = [whole.patches(*frame) for frame in frames]
    first, second = edit(tiny_editor), edit(tiny_editor)
    for frame in frames[:3]:
        first.patches(*frame)
    second.recall(json.loads(json.dumps(first.remember())))
    for frame, (wanted,) in zip(frames[3:], expected[3:], strict=True):
        (found,) = second.patches(*frame)
        assert (found.left, found.top) == (wanted.left, wanted.top)
        np.testing.assert_array_equal(found.pixels, wanted.pixels)


@pytest.mark.parametrize("space", ["w", "w+", "f"])
def test_every_space_is_edited(refined_editor, astronaut, space):
    (patch,) = edit(refined_editor, space=space).patches(astronaut, 0.0)
    assert patch.pixels.any()


def test_an_edit_gives_way_before_the_face_is_a_profile(tiny_editor, astronaut):
    (face,) = tiny_editor.detector.detect(astronaut, small_faces=False)
    square = square_of(face, tiny_editor.crop_config)

    def added(yaw):
        turned = Face(points=face.points, box=face.box, size=face.size, yaw=yaw)
        seen = look(tiny_editor, astronaut, turned, square, "w")
        found = MovingFace(tiny_editor).fields(seen, [], {"smile": 1.5}, 0.0)
        return 0.0 if found is None else float(np.abs(found.added).mean())

    frontal, half = added(0.0), added(MAX_YAW - FADE_YAW / 2)
    assert 0 < half < frontal
    assert added(MAX_YAW) == added(-MAX_YAW) == 0


def test_a_crop_at_rest_trembles_less_than_its_landmarks(tiny_editor, astronaut):
    (face,) = tiny_editor.detector.detect(astronaut, small_faces=False)
    rng, placing, found, raw = np.random.default_rng(0), Placing(tiny_editor.crop_config), [], []
    for k in range(60):
        points = face.points + rng.normal(0, 1.0, face.points.shape).astype(np.float32)
        trembling = Face(points=points, box=face.box, size=face.size)
        raw.append(square_of(trembling, tiny_editor.crop_config)[:2, 2])
        found.append(placing(trembling, k / FPS)[:2, 2])
    assert np.std(found[20:], axis=0).mean() < 0.6 * np.std(raw[20:], axis=0).mean()


def test_a_crop_follows_a_fast_face(tiny_editor, astronaut):
    (face,) = tiny_editor.detector.detect(astronaut, small_faces=False)
    placing = Placing(tiny_editor.crop_config)
    for k in range(40):
        way = 2 * face.size / FPS * max(0, k - 10)  # its own height in half a second
        moved = Face(points=face.points + np.float32([way, 0]), box=face.box, size=face.size)
        steady, wanted = placing(moved, k / FPS), square_of(moved, tiny_editor.crop_config)
        if k > 16:
            side = np.hypot(*wanted[:2, 0])
            assert np.abs(steady[:2, 2] - wanted[:2, 2]).max() < 0.06 * side


def test_what_cannot_be_done_is_refused(tiny_editor, lone_editor, picture_editor):
    with pytest.raises(ConfigError, match="draws no faces"):
        MovingEdit(picture_editor, {})
    with pytest.raises(ConfigError, match="no encoder"):
        MovingEdit(lone_editor, {})
    with pytest.raises(DirectionError, match="no direction 'grimace'"):
        MovingEdit(tiny_editor, {"grimace": 1.0})
    with pytest.raises(StrengthError, match="outside"):
        MovingEdit(tiny_editor, {"smile": 9.0})


def test_a_face_at_rest_is_not_drawn_again_and_one_that_changes_is(tiny_editor, astronaut, monkeypatch):
    draws, plain = [], tiny_editor.decoder.draw_ways

    def counted(*arguments):
        draws.append(arguments)
        return plain(*arguments)

    monkeypatch.setattr(tiny_editor.decoder, "draw_ways", counted)
    (face,) = tiny_editor.detector.detect(astronaut, small_faces=False)
    square = square_of(face, tiny_editor.crop_config)
    seen = look(tiny_editor, astronaut, face, square, "w")
    moving = MovingFace(tiny_editor, hold=1e-9)  # the tiny encoder hardly tells faces apart
    first = moving.fields(seen, [], {"smile": 1.5}, 0.0)
    again = moving.fields(seen, [], {"smile": 1.5}, 0.1)
    assert len(draws) == 2  # without and with the edit
    np.testing.assert_array_equal(first.added, again.added)
    moving.fields(seen, [], {"smile": 1.0}, 0.2)
    assert len(draws) == 3  # another edit of the same face
    other = look(tiny_editor, 255 - astronaut, face, square, "w")
    moving.fields(other, [], {"smile": 1.0}, 9.0)
    assert len(draws) == 5
    plainly = MovingFace(tiny_editor)
    for k in range(3):
        plainly.fields(seen, [], {"smile": 1.0}, k / FPS)
    assert len(draws) == 11


@pytest.mark.weights
def test_a_person_is_known_again_after_a_cut_to_somebody_else(astronaut):
    """By the bundled model: the other one stands at the same place, and is left alone."""
    editor = open_editor(engine="torch")
    others = [
        cv2.resize(editor.sample(seed).crop, (300, 300), interpolation=cv2.INTER_CUBIC) for seed in (3, 21)
    ]
    frames = [shifted(astronaut, 40 + 3 * k) for k in range(2)]
    for face in others:
        frame = np.full((512, 640, 3), 90, np.uint8)
        frame[20:320, 110:410] = face
        frames.append(frame)
    frames.append(shifted(np.ascontiguousarray(astronaut[:, 40:]), 120, 30))
    with editor.detector:
        assert all(editor.detector.detect(frame, small_faces=False) for frame in frames)
        moving = MovingEdit(editor, {"smile": 1.0})
        edited = [len(moving.patches(frame, k / FPS)) for k, frame in enumerate(frames)]
    assert edited == [1, 1, 0, 0, 1]
