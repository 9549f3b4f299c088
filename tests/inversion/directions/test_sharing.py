import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save

from inversion.directions.errors import DirectionError
from inversion.directions.linear import EditDirection, apply_direction
from inversion.directions.sharing import MOST_BYTES, read_shared_edit, shared_edit
from stylegan2.errors import CheckpointError

SHA = "a" * 64


def edit(**changes):
    rows = torch.nn.functional.normalize(torch.arange(12.0).reshape(3, 4) + 1, dim=1)
    fields = {
        "name": "own-sunny", "label": "Sunny", "group": "Your own", "low": "less", "high": "more",
        "direction": rows, "sigma": 0.7, "range": (-2.0, 1.5), "layers": (0, 3), "effects": {"smile": 0.9},
        "attribute": "smile", "unit": "degrees", "unit_size": 5.0, "bend": 0.1 * rows,
    }  # fmt: skip
    return EditDirection(**{**fields, **changes})


@pytest.mark.parametrize("changes", [{}, {"bend": None, "direction": torch.eye(4)[1], "unit": ""}])
def test_an_edit_comes_back_as_it_went(tmp_path, changes):
    sent = edit(**changes)
    file = tmp_path / "sunny.edit.safetensors"
    file.write_bytes(shared_edit(sent, SHA))
    found = read_shared_edit(file, SHA, 4, 3)
    ws = torch.randn(2, 3, 4)
    assert torch.equal(apply_direction(ws, found, 1.2), apply_direction(ws, sent, 1.2))
    plain = {"direction": None, "bend": None}
    assert replace(found, **plain) == replace(sent, **plain)


def test_the_edit_of_another_generator_is_refused(tmp_path):
    file = tmp_path / "sunny.edit.safetensors"
    file.write_bytes(shared_edit(edit(), SHA))
    with pytest.raises(DirectionError, match=r"sunny.*made for generator aaaaaaaaaaaa\.\.\., not for bbbb"):
        read_shared_edit(file, "b" * 64, 4, 3)
    with pytest.raises(CheckpointError, match=r"shape \[3, 4\].*must be \[5\] or \[3, 5\]"):
        read_shared_edit(file, SHA, 5, 3)


def damaged(what):
    data = shared_edit(edit(), SHA)
    entry = {"label": "x", "group": "x", "low": "x", "high": "x", "sigma": 1.0, "range": [-1, 1]}
    about = {"name": "x", "generator_sha256": SHA, "entry": entry}
    rows = {"x": torch.eye(4)[0]}
    return {
        "text": b"hello",
        "cut": data[:-9],
        "no metadata": save(rows),
        "no json": save(rows, {"edit": "{"}),
        "a list": save(rows, {"edit": "[]"}),
        "no entry": save(rows, {"edit": json.dumps({**about, "entry": {}})}),
        "another name": save({"y": torch.eye(4)[0]}, {"edit": json.dumps(about)}),
        "no numbers": save({"x": torch.full((4,), float("nan"))}, {"edit": json.dumps(about)}),
        "too long": save({"x": torch.full((4,), 9.0)}, {"edit": json.dumps(about)}),
        "range": save(rows, {"edit": json.dumps({**about, "entry": {**entry, "range": [1, 2]}})}),
        "huge": bytes(MOST_BYTES + 1),
    }[what]


@pytest.mark.parametrize(
    "what",
    ["text", "cut", "no metadata", "no json", "a list", "no entry", "another name", "no numbers", "too long",
     "range", "huge"],
)  # fmt: skip
def test_what_is_no_edit_is_refused_by_name(tmp_path, what):
    file = tmp_path / "theirs.safetensors"
    file.write_bytes(damaged(what))
    with pytest.raises(CheckpointError, match=r"theirs\.safetensors"):
        read_shared_edit(file, SHA, 4, 3)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        read_shared_edit(tmp_path / "none", SHA, 4, 3)
