"""`pip install .`, and the lists of what has to be installed."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OWN = {"app", "stylegan2", "inversion", "editor", "train"}
OPTIONAL = {
    "onnxruntime",
    "spaces",
    "tokenizers",
    "_typeshed",
}  # by name only where it is there; for type checkers alone


def listed(name):
    """Distributions that a file of requirements names, in pip's spelling."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = {re.match(r"[\w.-]+", line) for line in lines}
    return {normal(match.group()) for match in found if match}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(*folders):
    files = [ROOT / "app.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module.split(".")[0]


@pytest.mark.parametrize(
    ("folders", "lists"),
    [
        (("stylegan2", "inversion", "editor"), ["requirements.txt"]),
        (("train",), ["requirements.txt", "requirements-train.txt"]),
    ],
)
def test_everything_that_is_imported_is_listed(folders, lists):
    have = set().union(*map(listed, lists))
    homes = packages_distributions()
    for module in set(imported(*folders)) - OWN - OPTIONAL - set(sys.stdlib_module_names):
        owners = {normal(name) for name in homes.get(module, [module])}
        assert owners & have, f"{module}, of {', '.join(owners)}, is in none of {', '.join(lists)}"


def test_the_project_installs_with_all_it_needs_at_run_time(tmp_path):
    """Without its weights' tensors, which would take long to copy: their folders have to come along."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("app.py", "pyproject.toml", "README.md", "requirements.txt"):
        shutil.copy(ROOT / name, source)
    for name in ("stylegan2", "inversion", "editor", "train", "directions", "weights"):
        skipped = shutil.ignore_patterns("*.safetensors", "__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=skipped)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    built = [*pip, "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", tmp_path, source]
    subprocess.run(built, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        told = file.read(metadata).decode()
    wanted = {
        path.relative_to(source).as_posix()
        for name in ("stylegan2", "inversion", "editor", "train", "directions", "weights")
        for path in (source / name).rglob("*")
        if path.is_file()
    }
    assert not {name for name in wanted if ".egg-info" not in name} - names
    needs = {normal(need) for need in re.findall(r"^Requires-Dist: ([\w.-]+)", told, flags=re.M)}
    assert needs == listed("requirements.txt")
    place = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", place, wheel], check=True)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import app; print(app.__file__); app.main(['--help'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(place)], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert ran.stdout.startswith(str(place))
    assert "--model" in ran.stdout
