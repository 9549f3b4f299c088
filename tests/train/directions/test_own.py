import csv

import numpy as np
import pytest
from PIL import Image

from editor.measure.attributes import MEASURED
from editor.own import maker
from inversion.directions.sharing import read_shared_edit
from tests.helpers.measured import colours
from train.__main__ import main
from train.directions import own


@pytest.fixture
def commands(tiny_editor, monkeypatch):
    monkeypatch.setattr(maker, "measure", colours)
    monkeypatch.setattr(own, "open_editor", lambda model: tiny_editor)
    tiny_editor.sha256 = "a" * 64
    return tiny_editor


def test_faces_are_written_rated_and_become_a_file(commands, tmp_path, capsys):
    folder = tmp_path / "faces"
    assert main(["directions", "--own", "faces", str(folder)]) == 0
    assert f"{folder}: 20 faces; fill in ratings.csv" in capsys.readouterr().out
    with (folder / "ratings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows[:2]] == ["01.png", "02.png"]
    red = [np.asarray(Image.open(folder / row["file"]))[..., 0].mean() for row in rows]
    lines = [f"{row['file']},{value}" for row, value in zip(rows, red, strict=True)]
    (folder / "ratings.csv").write_text("file,rating\n" + "\n".join(lines))
    out = tmp_path / "redder.edit.safetensors"
    words = ["--own", "list", str(folder / "ratings.csv"), "--name", "Redder", "--out", str(out)]
    assert main(["directions", *words]) == 0
    assert f"{out}: Redder, " in capsys.readouterr().out
    edit = read_shared_edit(out, "a" * 64, 32, 8)
    assert (edit.label, set(edit.effects)) == ("Redder", set(MEASURED))
    assert main(["directions", "--own", "faces", str(folder)]) == 2
    assert "there already; name a new folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["factor", "2"], "factor-2"),
        (["component", "1"], "component-1"),
        (["channel", "0.4", "0.5"], "channel"),
    ],
)
def test_what_the_model_offers_is_written_under_its_own_name(commands, tmp_path, monkeypatch, words, name):
    monkeypatch.chdir(tmp_path)
    assert main(["directions", "--own", *words]) == 0
    (file,) = tmp_path.glob("*.edit.safetensors")
    assert file.name.startswith(name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["beauty"], "--own: 'beauty'; must be one of faces, list"),
        (["factor"], "--own factor: 0 words; must be followed by NUMBER"),
        (["factor", "one"], "--own factor: 'one'; must be followed by NUMBER"),
        (["folders", "a"], "--own folders: 1 words; must be followed by MORE LESS"),
        (["list", "none.csv"], "none.csv: no list of ratings"),
    ],
)
def test_other_words_are_refused(commands, capsys, words, message):
    assert main(["directions", "--own", *words]) == 2
    assert message in capsys.readouterr().err


def test_settings_or_own_are_wanted(capsys):
    assert main(["directions"]) == 2
    assert "--config: missing; or --own" in capsys.readouterr().err
