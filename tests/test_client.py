import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from editor.photo.reading import load_photo
from tests.helpers.pictures import encoded, two_faces
from tests.helpers.running_app import ASTRONAUT, ROOT, files_in, running_app

pytestmark = pytest.mark.weights


def test_the_example_of_the_documents_runs(tmp_path):
    pair = two_faces(load_photo(ASTRONAUT))
    (tmp_path / "pair.png").write_bytes(encoded(pair, "PNG"))
    (tmp_path / "blank.png").write_bytes(encoded(np.full((300, 300, 3), 128, np.uint8), "PNG"))
    (tmp_path / "one.jpg").write_bytes(ASTRONAUT.read_bytes())
    uploads = tmp_path / "uploads"
    with running_app(uploads, tmp_path / "app.log") as address:
        done = subprocess.run(
            [sys.executable, ROOT / "docs" / "client.py", address, "pair.png", "blank.png", "one.jpg"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert files_in(uploads) == []  # nothing that was sent was written down
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["face 1", "face 2"]
    assert lines[2].startswith("reconstruction: ")
    assert [f" dB in {space}" in lines[2] for space in ("w", "w+", "f")] == [True] * 3
    assert lines[3:5] == ["wrote first-edited.png", "wrote pair-edited.png"]
    assert lines[5].startswith("blank.png: no face found in the 300x300 photo")
    assert lines[6:] == ["wrote one-edited.jpg"]
    edited = np.asarray(Image.open(io.BytesIO((tmp_path / "first-edited.png").read_bytes())))
    changed = (edited != pair).any(2)
    assert changed[:, : pair.shape[1] // 2].any() != changed[:, pair.shape[1] // 2 :].any()  # one face alone
