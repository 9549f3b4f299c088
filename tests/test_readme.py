import base64
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import yaml
from PIL import Image

from app import build_parser as app_parser
from editor.__main__ import main as editor_main
from editor.ui.serving.api import ProgramAPI
from editor.ui.serving.asked import decode_photo
from editor.ui.serving.gate import Gate
from editor.ui.serving.program_doors import routes
from inversion.__main__ import build_parser as inversion_parser
from inversion.directions.bank import find_directions
from inversion.published.__main__ import build_parser as published_parser
from stylegan2.__main__ import build_parser as stylegan2_parser
from stylegan2.bundle.opening import load_bundle
from stylegan2.settings import read_settings
from tests.helpers.clips import write_clip
from train.__main__ import build_parser as train_parser
from train.attributes.config import AttributesConfig
from train.contrastive.config import ContrastiveConfig
from train.directions.config import DirectionsConfig
from train.directions.own import KINDS
from train.encoder.config import InversionConfig
from train.evaluate.command import read_config
from train.evaluate.photo.calibrate import CalibrateConfig
from train.gan.config import GeneratorTrainingConfig
from train.growth.config import GrowthConfig
from train.parts.config import PartsConfig
from train.refiners.config import RefinementConfig
from train.transfer.config import TransferTrainingConfig

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "findings/README.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "weights").glob("*/README.md")),
]
SETTINGS = {
    "generator": GeneratorTrainingConfig,
    "contrastive": ContrastiveConfig,
    "inversion": InversionConfig,
    "refiners": RefinementConfig,
    "directions": DirectionsConfig,
    "parts": PartsConfig,
    "attributes": AttributesConfig,
    "calibrate": CalibrateConfig,
    "transfer": TransferTrainingConfig,
}
COMMANDS = {  # page -> how many of its commands are checked, at least
    "README.md": 1,
    "CONTRIBUTING.md": 4,
    "findings/README.md": 1,
    "docs/app.md": 2,
    "docs/directions.md": 5,
    "docs/measurements.md": 9,
    "docs/new-domain.md": 8,
    "docs/other-models.md": 9,
    "docs/training.md": 8,
}


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(language, *pages):
    return [block for page in pages for block in re.findall(rf"```{language}\n(.*?)```", read(page), re.S)]


def commands(*pages):
    """Every command of the `sh` blocks of `pages`, of all pages where none is named."""
    lines = "\n".join(blocks("sh", *(pages or PAGES))).replace("\\\n", " ").splitlines()
    bare = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
    return [line for line in bare if line]


def heading_anchors(page):
    """As GitHub makes them of headings: small letters, digits and hyphens."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", read(page), flags=re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_space_is_described():
    front = yaml.safe_load(README.split("---")[1])
    assert front["sdk"] == "gradio"
    assert f"gradio=={front['sdk_version']}" in (ROOT / "requirements.txt").read_text()
    assert (ROOT / front["app_file"]).is_file()
    assert front["python_version"] in ("3.10", "3.11", "3.12")


def test_the_readme_is_short():
    assert len(README.split()) < 900


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_linked_exists(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in heading_anchors(target.resolve().relative_to(ROOT).as_posix()), link


@pytest.mark.parametrize("page", PAGES)
def test_every_python_file_that_is_named_exists(page):
    """Named in full, from the repository; NAME stands for what somebody will add."""
    tops = "stylegan2|inversion|editor|train|benchmarks|tests"
    named = re.findall(rf"`((?:{tops})/[\w/]+\.(?:py|sh|yaml|js))`", read(page))
    assert [name for name in named if "NAME" not in name and not (ROOT / name).is_file()] == []


def test_every_page_can_be_reached_from_the_readme():
    seen, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for link in re.findall(r"\]\(([^)\s#]+\.md)", read(page)):
            if "://" not in link:
                found = ((ROOT / page).parent / link).resolve().relative_to(ROOT).as_posix()
                waiting += [found] if found not in seen else []
    assert set(PAGES) <= seen


def test_every_finding_is_listed():
    scripts = {path.name for path in (ROOT / "findings").glob("*.sh")}
    assert set(re.findall(r"\]\(([\w.]+\.sh)\)", read("findings/README.md"))) == scripts


def test_make_runs_the_lines_for_people_without_make():
    makefile = (ROOT / "Makefile").read_text()
    assert "pip install -r requirements.txt" in "\n".join(commands())
    assert "pip install -r requirements.txt" in makefile
    assert "python app.py" in "\n".join(commands())
    assert "python app.py" in makefile
    targets = re.findall(r"^make (\w+)", "\n".join(commands()), flags=re.M)
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


@pytest.mark.weights
def test_the_python_block_runs(tmp_path, astronaut):
    (code,) = blocks("python", "README.md")
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
    assert Image.open(tmp_path / "edited.jpg").size == (512, 512)  # the whole photo


@pytest.mark.weights
def test_the_editor_command_runs(tmp_path, astronaut, monkeypatch):
    (line,) = [c for c in commands("README.md") if "-m editor photo" in c]
    Image.fromarray(astronaut).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    assert editor_main(shlex.split(line)[3:]) == 0
    assert Image.open(tmp_path / "out.jpg").size == (512, 512)
    assert (tmp_path / "face.png").is_file()


@pytest.mark.weights
def test_the_batch_command_runs(tmp_path, monkeypatch, astronaut):
    (line,) = [c for c in commands("README.md") if "-m editor batch" in c]
    (tmp_path / "photos").mkdir()
    Image.fromarray(astronaut).save(tmp_path / "photos" / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    assert editor_main(shlex.split(line)[3:]) == 0
    assert Image.open(tmp_path / "edited" / "photo.jpg").size == (512, 512)
    assert len(list((tmp_path / "latents").glob("*.safetensors"))) == 1


@pytest.mark.weights
def test_the_video_command_runs(tmp_path, monkeypatch, astronaut):
    (line,) = [c for c in commands("README.md") if "-m editor video" in c]
    write_clip(tmp_path / "clip.mp4", range(0, 80, 40), size=(512, 512), pictures=lambda *_: astronaut)
    monkeypatch.chdir(tmp_path)
    assert editor_main(shlex.split(line)[3:]) == 0
    frames = [frame.to_ndarray(format="rgb24") for frame in av.open("edited.mp4").decode(video=0)]
    assert [frame.shape for frame in frames] == [(512, 512, 3)] * 2
    assert np.abs(frames[1].astype(int) - astronaut).max() > 30  # the face
    assert np.abs(frames[1][400:].astype(int) - astronaut[400:]).mean() < 4  # and no more


@pytest.mark.weights
def test_the_http_command_sends_what_the_app_understands(tmp_path):
    (line,) = [c for c in commands("README.md") if "curl" in c]
    address = re.search(r"http://[\w.]+:7860(/\S+)", line)
    assert address is not None
    api = ProgramAPI(lambda: SimpleNamespace(directions={}), Gate(), Gate())
    assert address[1] in [route.path for route in routes(api)]
    photo = os.urandom(300_000)  # more than a program's argument may be long
    (tmp_path / "photo.jpg").write_bytes(photo)
    stand_in = tmp_path / "curl"  # which takes line breaks out of what `-d @-` reads, as curl does
    stand_in.write_text('#!/bin/sh\n[ "$1 $2" = "-d @-" ] && tr -d "\\r\\n" >sent\n')
    stand_in.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", "-c", line], cwd=tmp_path, env={**os.environ, "PATH": path}, check=True)
    sent, strengths = json.loads((tmp_path / "sent").read_text())["data"]
    assert base64.b64decode(sent) == decode_photo(sent) == photo
    assert find_directions(load_bundle().generator_sha256, 512, 12).check(strengths) == strengths


def check_training(words):
    """Settings too are read, as the command reads them."""
    options = train_parser().parse_args(words)
    if words[0] == "evaluate":
        read_config(options)
    elif getattr(options, "own", None):
        assert options.own[0] in KINDS
    else:
        settings = GrowthConfig if getattr(options, "block", False) else SETTINGS[words[0]]
        read_settings(ROOT / options.config, settings, options.set)


def check_recipe(words):
    assert (ROOT / words[0]).is_file()
    if words[0] == "train/recipes/ablation.sh":
        changes = [change for change in words[1:] if change != "--set"]
        read_settings(ROOT / "train/configs/ablation.yaml", RefinementConfig, changes)


def check_tests(words):
    for word in words:
        file, _, function = word.partition("::")
        assert (ROOT / file).exists(), word
        assert not function or f"def {function}(" in (ROOT / file).read_text(encoding="utf-8"), word


def check_module(words):
    module = ROOT / words[0].replace(".", "/")
    assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()


CHECKS = {  # how a command begins -> what checks the rest of it; the first that fits decides
    "python app.py": lambda words: app_parser().parse_args(words),
    "python -m train": check_training,
    "python -m stylegan2": lambda words: stylegan2_parser().parse_args(words),
    "python -m inversion.published": lambda words: published_parser().parse_args(words),
    "python -m inversion": lambda words: inversion_parser().parse_args(words),
    "python -m pytest": check_tests,
    "python -m venv": lambda words: None,
    "python3 -m venv": lambda words: None,
    "python -m": check_module,
    "pip install -r": lambda words: [(ROOT / word).stat() for word in words if word != "-r"],
    "bash": check_recipe,
}


@pytest.mark.parametrize("page", COMMANDS)
def test_every_other_command_parses(page):
    seen = 0
    for line in commands(page):
        words = shlex.split(re.sub(r"^(?:[A-Z_]+=\w+ )+", "", line))  # without variables set before it
        words[0] = words[0].removeprefix(".venv/bin/")
        for beginning, check in CHECKS.items():
            length = len(beginning.split())
            if words[:length] == beginning.split():
                check(words[length:])
                seen += 1
                break
    assert seen >= COMMANDS[page]


def test_no_page_shows_commands_that_are_not_checked():
    assert {page for page in PAGES if commands(page)} == set(COMMANDS)
