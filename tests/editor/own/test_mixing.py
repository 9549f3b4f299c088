from dataclasses import replace

import pytest
import torch

from editor.own.mixing import SCALES, layers_of, mixed_edit
from inversion.directions.bank import DirectionBank
from inversion.directions.errors import DirectionError, StrengthError
from inversion.directions.sharing import read_shared_edit, shared_edit


def faces(editor):
    return editor.sample(1), editor.sample(2)


def mixed(editor, session, edit, strength):
    return editor.edit(replace(session, own=DirectionBank({edit.name: edit})), {edit.name: strength})


@pytest.mark.parametrize("space", ["w", "w+"])
def test_all_of_the_other_on_all_layers_is_the_other(tiny_editor, space):
    one, other = (tiny_editor.enter(face, space) for face in faces(tiny_editor))
    edit = mixed_edit(tiny_editor, other, layers_of(tiny_editor, "Everything"), "the other")
    there = tiny_editor.render(mixed(tiny_editor, one, edit, 1.0))
    assert (there == tiny_editor.reconstruct(other)).all()
    assert (tiny_editor.render(mixed(tiny_editor, one, edit, 0.0)) == tiny_editor.reconstruct(one)).all()


def test_layers_outside_the_range_stay(tiny_editor):
    one, other = faces(tiny_editor)
    edit = mixed_edit(tiny_editor, other, (2, 5), "middle")
    ws, target = one.inversion.ws, other.inversion.ws
    moved = DirectionBank({"own-mix": edit}).apply(ws, {"own-mix": 0.25})
    torch.testing.assert_close(moved[:, 2:5], 0.75 * ws[:, 2:5] + 0.25 * target[:, 2:5])
    assert torch.equal(moved[:, :2], ws[:, :2])
    assert torch.equal(moved[:, 5:], ws[:, 5:])


def test_mixing_starts_from_the_unedited_face_so_that_edits_commute(tiny_editor, tiny_directions):
    one, other = faces(tiny_editor)
    edit = mixed_edit(tiny_editor, other, (0, 8), "all")
    bank = tiny_directions.joined(DirectionBank({"own-mix": edit}))
    ws = one.inversion.ws
    a = bank.apply(ws, {"own-mix": 0.5, "smile": 1.0})
    b = bank.apply(ws, {"smile": 1.0, "own-mix": 0.5})
    torch.testing.assert_close(a, b)


def test_zones_are_all_mixed(tiny_editor):
    one, other = faces(tiny_editor)
    edit = mixed_edit(tiny_editor, other, (0, 8), "all")
    zones = one.inversion.ws[:, None].repeat(1, 3, 1, 1)
    moved = DirectionBank({"own-mix": edit}).apply(zones, {"own-mix": 1.0}, measured=one.inversion.ws)
    torch.testing.assert_close(moved, other.inversion.ws[:, None].expand_as(zones))


def test_a_mix_is_passed_on_as_a_file(tiny_editor, tmp_path):
    one, other = faces(tiny_editor)
    edit = mixed_edit(tiny_editor, other, (1, 4), "the other")
    file = tmp_path / "mix.safetensors"
    file.write_bytes(shared_edit(edit, "sha"))
    again = read_shared_edit(file, "sha", 32, 8)
    assert again.rule == "mix"
    bank = [DirectionBank({"own-mix": each}) for each in (edit, again)]
    found = [each.apply(one.inversion.ws, {"own-mix": 0.7}) for each in bank]
    torch.testing.assert_close(found[0], found[1])


def test_scales_cover_the_layers_once(tiny_editor):
    parts = [layers_of(tiny_editor, scale) for scale in ("Pose and shape", "Features")]
    assert parts == [(0, 4), (4, 8)]  # of 32 px: nothing of 64 px
    assert layers_of(tiny_editor, "Everything") == (0, 8)


def test_what_is_not_there_is_refused(tiny_editor):
    _, other = faces(tiny_editor)
    with pytest.raises(DirectionError, match="must be one of"):
        layers_of(tiny_editor, "Hair")
    with pytest.raises(DirectionError, match="draws nothing of"):
        layers_of(tiny_editor, "Colours")
    for layers in ((3, 3), (-1, 2), (0, 9)):
        with pytest.raises(DirectionError, match="must lie within 0 to 8"):
            mixed_edit(tiny_editor, other, layers, "x")
    edit = mixed_edit(tiny_editor, other, (0, 8), "x")
    with pytest.raises(StrengthError, match=r"outside \[0, 1\]"):
        DirectionBank({"own-mix": edit}).apply(other.inversion.ws, {"own-mix": 1.5})
    assert set(SCALES) == {"Pose and shape", "Features", "Colours", "Everything"}
