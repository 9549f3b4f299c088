import json

import numpy as np
import pytest
from PIL import Image

from editor.__main__ import main
from editor.recipe import parse_edits
from inversion.directions.errors import StrengthError
from tests.helpers.pictures import two_faces


@pytest.fixture
def photo(astronaut, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.weights
def test_a_photo_is_edited_from_the_shell(photo, tmp_path, capsys):
    out, reconstruction = tmp_path / "out.png", tmp_path / "rec.png"
    edits = ["--set", "smile=1", "--set", "age=-1"]
    files = ["--out", str(out), "--reconstruction", str(reconstruction)]
    assert main([str(photo), *edits, *files, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["strengths"] == {"smile": 1.0, "age": -1.0}
    assert report["engine"].startswith("torch")
    assert "smile +1, age -1" in Image.open(out).text["Description"]
    assert Image.open(out).size == (512, 512)  # the whole photo
    assert Image.open(reconstruction).size == (128, 128)
    assert [face["number"] for face in report["faces"]] == [1]


@pytest.mark.weights
def test_faces_are_listed_and_edited_by_number(astronaut, tmp_path, capsys):
    pair = two_faces(astronaut)
    Image.fromarray(pair).save(tmp_path / "pair.png")
    assert main([str(tmp_path / "pair.png"), "--faces"]) == 0
    assert [line[:2] for line in capsys.readouterr().out.splitlines()] == ["1:", "2:"]
    out, crop = tmp_path / "out.png", tmp_path / "crop.png"
    edits = ["--set", "age=-1", "--face", "2", "--set", "smile=1"]
    assert main([str(tmp_path / "pair.png"), *edits, "--out", str(out), "--crop", str(crop)]) == 0
    changed = np.abs(np.asarray(Image.open(out)).astype(int) - pair).max(2) > 0
    assert changed[:, :500].any()
    assert changed[:, 520:].any()
    assert not changed[330:].any()  # below the faces, bit for bit
    assert "face 1 age -1, face 2 smile +1" in Image.open(out).text["Description"]
    assert "smile +1" in Image.open(crop).text["Description"]
    assert main([str(tmp_path / "pair.png"), "--face", "3", "--out", str(out)]) == 2
    assert "face: got 3; the photo has 2" in capsys.readouterr().err


@pytest.mark.weights
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "smlie=1"], "error: no direction 'smlie'; have: age, "),
        (["--set", "smile=99"], "error: strength of 'smile': 99 is outside ["),
        (["--set", "smile=nan"], "error: strength of 'smile': nan is not a number"),
        (["--set", "smile"], "error: --set 'smile': must be NAME=NUMBER"),
        (["--identity", "nobody.onnx"], "error: nobody.onnx: no such file; name an ONNX network"),
        (["--certificate", "chain.pem"], "error: --certificate and --key: one is missing"),
        (["--crop", "c.jpg"], "error: --crop: c.jpg; must end in .png"),
        (["--out", "o.gif"], "error: --out: o.gif; must end in one of .jpg"),
        (["--model", "nowhere"], "error: nowhere: no such file or folder; name one, or"),
    ],
)
def test_mistakes_are_named(photo, tmp_path, capsys, arguments, message):
    assert main([str(photo), "--out", str(tmp_path / "o.png"), *arguments]) == 2
    assert capsys.readouterr().err.startswith(message)
    assert not (tmp_path / "o.png").exists()


def test_edits_are_parsed():
    assert parse_edits(["smile=1.5", " age = -1 "]) == {"smile": 1.5, "age": -1.0}
    with pytest.raises(StrengthError, match="--set 'smile=much': must be NAME=NUMBER"):
        parse_edits(["smile=much"])
