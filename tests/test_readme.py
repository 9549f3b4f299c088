import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from app import build_parser as app_parser
from editor.__main__ import main as editor_main
from inversion.__main__ import build_parser as inversion_parser
from inversion.published.__main__ import build_parser as published_parser
from stylegan2.__main__ import build_parser as stylegan2_parser
from train.__main__ import build_parser as train_parser

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def commands(text=README):
    lines = "\n".join(blocks("sh", text)).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def test_the_space_is_described():
    front = yaml.safe_load(README.split("---")[1])
    assert front["sdk"] == "gradio"
    assert f"gradio=={front['sdk_version']}" in (ROOT / "requirements.txt").read_text()
    assert (ROOT / front["app_file"]).is_file()
    assert front["python_version"] in ("3.10", "3.11", "3.12")


def test_every_file_that_is_linked_exists():
    links = re.findall(r"\]\(([^)#]+?)\)", README)
    assert links
    for link in links:
        if "://" not in link:
            assert (ROOT / link).exists(), link


def test_make_runs_the_lines_for_people_without_make():
    makefile = (ROOT / "Makefile").read_text()
    assert "pip install -r requirements.txt" in "\n".join(commands())
    assert "pip install -r requirements.txt" in makefile
    assert "python app.py" in "\n".join(commands())
    assert "python app.py" in makefile
    for target in re.findall(r"^make (\w+)", "\n".join(commands()), flags=re.M):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


@pytest.mark.weights
def test_the_python_block_runs(tmp_path, astronaut):
    (code,) = blocks("python")
    assert len(code.strip().splitlines()) <= 10
    Image.fromarray(astronaut).save(tmp_path / "photo.jpg")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "edited.png").size == (128, 128)


@pytest.mark.weights
def test_the_editor_command_runs(tmp_path, astronaut, monkeypatch):
    (line,) = [c for c in commands() if c.startswith("python -m editor PHOTO") or "-m editor photo" in c]
    Image.fromarray(astronaut).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    assert editor_main(shlex.split(line)[3:]) == 0
    assert (tmp_path / "out.png").is_file()


@pytest.mark.parametrize(("file", "fewest"), [("README.md", 20), ("docs/new-domain.md", 6)])
def test_every_other_command_parses(file, fewest):
    seen = 0
    for line in commands((ROOT / file).read_text(encoding="utf-8")):
        words = shlex.split(re.sub(r"^(?:[A-Z]+=\w+ )+", "", line))  # without variables set before it
        words[0] = words[0].removeprefix(".venv/bin/")
        if words[:2] == ["python", "app.py"]:
            app_parser().parse_args(words[2:])
        elif words[:3] == ["python", "-m", "train"]:
            train_parser().parse_args(words[3:])
            configs = [words[i + 1] for i, word in enumerate(words) if word == "--config"]
            assert all((ROOT / config).is_file() for config in configs)
        elif words[:3] == ["python", "-m", "stylegan2"]:
            stylegan2_parser().parse_args(words[3:])
        elif words[:3] == ["python", "-m", "inversion"]:
            inversion_parser().parse_args(words[3:])
        elif words[:2] == ["python", "-m"] and words[2].startswith(("benchmarks.", "editor.")):
            assert (ROOT / (words[2].replace(".", "/") + ".py")).is_file()
        elif words[:3] == ["python", "-m", "inversion.published"]:
            published_parser().parse_args(words[3:])
        elif words[0] == "bash":
            assert (ROOT / words[1]).is_file()
        else:
            continue
        seen += 1
    assert seen >= fewest
