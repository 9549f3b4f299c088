import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("stylegan2", "inversion", "editor", "train", "benchmarks")
SOURCES = [ROOT / "app.py", *sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))]

# Package -> first parties that it may import, besides itself. A command, which nothing imports, stands on top
# of what is built upon its package.
ALLOWED = {
    "stylegan2": set(),
    "stylegan2.__main__": {"inversion", "stylegan2"},
    "inversion": {"stylegan2"},
    "editor": {"inversion", "stylegan2"},
    "editor.ui": {"editor", "inversion", "stylegan2"},
    "train": {"editor", "inversion", "stylegan2"},
    "benchmarks": {"editor", "inversion", "stylegan2", "train"},
    "app": {"editor.ui", "editor", "stylegan2"},
}


def package_of(module):
    if module == "stylegan2.__main__":
        return module
    if module.startswith("editor.ui"):
        return "editor.ui"
    return module.split(".")[0]


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_one_way(path):
    owner = package_of(name_of(path))
    for module in imports_of(path):
        if module.split(".")[0] in {name.split(".")[0] for name in ALLOWED}:
            target = package_of(module)
            assert target == owner or target in ALLOWED[owner], f"{path} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


ROOMS = sorted({path.parent for path in SOURCES} - {ROOT})


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: ".".join(room.relative_to(ROOT).parts))
def test_rooms_are_small_and_say_what_they_are_for(room):
    assert len(list(room.glob("*.py"))) <= 14
    tree = ast.parse((room / "__init__.py").read_text(encoding="utf-8"))
    assert (ast.get_docstring(tree) or "").splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("gradio", {"editor.ui"}),
        ("mediapipe", {"editor"}),
        ("openvino", {"stylegan2"}),
        ("webdataset", {"train"}),
        ("onnx", {"train"}),
        ("onnxruntime", set()),  # by name only, where it is there: see `stylegan2.onnx.files`
    ],
)
def test_libraries_stay_in_their_homes(library, homes):
    importers = [path for path in SOURCES if library in {m.split(".")[0] for m in imports_of(path)}]
    users = {package_of(name_of(path)) for path in importers}
    assert users <= homes


def test_no_checkpoint_can_run_code():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            assert ast.unparse(node.func) not in ("pickle.load", "pickle.loads", "eval", "exec"), path
            if ast.unparse(node.func) == "torch.load":
                arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert arguments.get("weights_only") == "True", f"{path}: torch.load without weights_only"


def test_only_one_place_names_the_bundled_model():
    naming = [name_of(path) for path in SOURCES if "faces128" in path.read_text(encoding="utf-8")]
    assert naming == ["stylegan2.bundle.opening"]
