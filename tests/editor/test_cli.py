import json

import pytest
from PIL import Image

from editor.__main__ import main, parse_edits
from inversion.directions.errors import StrengthError


@pytest.fixture
def photo(astronaut, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.weights
def test_a_photo_is_edited_from_the_shell(photo, tmp_path, capsys):
    out, reconstruction = tmp_path / "out.png", tmp_path / "rec.png"
    edits = ["--set", "smile=1.5", "--set", "age=-1"]
    files = ["--out", str(out), "--reconstruction", str(reconstruction)]
    assert main([str(photo), *edits, *files, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["strengths"] == {"smile": 1.5, "age": -1.0}
    assert report["engine"].startswith("torch")
    assert "smile +1.5, age -1" in Image.open(out).text["Description"]
    assert Image.open(out).size == Image.open(reconstruction).size


@pytest.mark.weights
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "smlie=1"], "error: no direction 'smlie'; have: age, "),
        (["--set", "smile=99"], "error: strength of 'smile': 99 is outside ["),
        (["--set", "smile=nan"], "error: strength of 'smile': nan is not a number"),
        (["--set", "smile"], "error: --set 'smile': must be NAME=NUMBER"),
        (["--identity", "nobody.onnx"], "error: nobody.onnx: no such file; name an ONNX network"),
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
