import json
import os

import pytest

from editor.model.card import describe_model
from editor.model.shelf import MOST_FOUND, MOST_RECENT, RECENT_FILE, KnownModel, ModelShelf
from editor.model.source import bundled_models, resolve_model
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle

BUNDLED = [KnownModel(name, name, "bundled") for name in bundled_models()]


@pytest.fixture
def place(tmp_path):
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def shelf(tmp_path, place):
    return ModelShelf([place], tmp_path / "cache")


def make_bundle(folder):
    folder.mkdir(parents=True)
    (folder / "bundle.yaml").write_text("no bundle at all: nobody may look")
    return folder


def test_every_bundled_model_goes_by_the_name_of_its_card(shelf):
    assert next(iter(bundled_models().values())) == DEFAULT_BUNDLE
    for name, path in bundled_models().items():
        card = describe_model(load_bundle(path), {}, spaces=())
        assert card.name == name
        assert resolve_model(name) == resolve_model(shelf.source_of(f" {name} ")) == path
    assert shelf.known() == BUNDLED


def test_models_are_found_by_their_names_alone(shelf, place):
    bundle = make_bundle(place / "bundle")
    weights = [place / name for name in ("a.pkl", "b.SAFETENSORS", "c.pt")]
    for file in weights:
        file.write_bytes(b"")
    (place / "notes.txt").write_text("no model")
    (place / ".hidden.pt").write_text("none either")
    (place / "folder.pt").mkdir()
    (place / "below").mkdir()
    (place / "below" / "deep.pt").write_bytes(b"")
    found = shelf.known()[len(BUNDLED) :]
    assert {(each.name, each.source) for each in found} == {(p.name, str(p)) for p in (bundle, *weights)}
    assert {each.origin for each in found} == {"found"}
    assert shelf.source_of("a.pkl") == str(weights[0])


def test_no_more_are_listed_than_somebody_would_read(shelf, place):
    for number in range(MOST_FOUND + 10):
        (place / f"{number}.pt").write_bytes(b"")
    assert len(shelf.known()) == len(BUNDLED) + MOST_FOUND


def test_recent_models_come_newest_first_each_once_and_last_beyond_the_process(shelf, place, tmp_path):
    for number in range(MOST_RECENT + 2):
        shelf.note(f"model {number}", f"owner/name{number}")
    shelf.note("model 5", "owner/name5")
    recent = [each.name for each in ModelShelf([place], tmp_path / "cache").known()[len(BUNDLED) :]]
    assert recent == ["model 5", "model 9", "model 8", "model 7", "model 6", "model 4", "model 3", "model 2"]
    assert shelf.source_of("model 5") == "owner/name5"
    assert shelf.source_of("model 0") == "model 0"  # forgotten


def test_a_recent_file_is_listed_while_it_is_there_and_not_again_as_found(shelf, place, monkeypatch):
    file = place / "own.pt"
    file.write_bytes(b"")
    monkeypatch.chdir(place)
    shelf.note("own", "own.pt")
    assert shelf.known()[len(BUNDLED) :] == [KnownModel("own", str(file), "recent")]
    monkeypatch.chdir("/")
    assert shelf.source_of("own") == str(file)
    file.unlink()
    assert shelf.known() == BUNDLED


def test_bundled_models_are_not_remembered_once_more(shelf):
    for source in ("bundled", "", str(DEFAULT_BUNDLE), DEFAULT_BUNDLE.name):
        shelf.note(DEFAULT_BUNDLE.name, source or "bundled")
    assert shelf.known() == BUNDLED


@pytest.mark.parametrize(
    "text", ["", "no JSON", "{}", "[1, 2]", '[["a"], ["a", 1], ["", "b"]]', json.dumps([["a", "b" * 5000]])]
)
def test_a_file_of_recent_models_that_is_none_is_passed_over(shelf, tmp_path, text):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / RECENT_FILE).write_text(text)
    assert shelf.known() == BUNDLED
    shelf.note("own", "owner/name")
    assert shelf.source_of("own") == "owner/name"


def test_where_nothing_can_be_kept_nothing_fails(tmp_path):
    (tmp_path / "file").write_text("no folder")
    shelf = ModelShelf([tmp_path / "nowhere"], tmp_path / "file")
    shelf.note("own", "owner/name")
    assert shelf.known() == BUNDLED


def test_what_is_on_the_disk_goes_before_a_name(shelf, tmp_path, monkeypatch):
    shelf.note("own", "owner/name")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").write_bytes(b"")
    assert shelf.source_of("own") == "own"
    assert shelf.source_of("something else") == "something else"


def test_downloads_open_by_the_name_of_their_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("CLCAE_CACHE_DIR", str(tmp_path / "ours"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    old = make_bundle(tmp_path / "ours" / "models" / "some--bundle" / "1")
    new = make_bundle(tmp_path / "ours" / "models" / "some--bundle" / "2")
    os.utime(old, (1, 1))
    snapshot = tmp_path / "hub" / "models--other--weights" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "g.pkl").write_bytes(b"")
    many = tmp_path / "hub" / "models--other--many" / "snapshots" / "abc"
    many.mkdir(parents=True)
    for name in ("a.pt", "b.pt"):
        (many / name).write_bytes(b"")
    (tmp_path / "hub" / "datasets--a--b" / "snapshots" / "c").mkdir(parents=True)
    found = {each.name: each.source for each in ModelShelf().known() if each.origin == "found"}
    assert found == {"some/bundle": str(new), "other/weights": str(snapshot / "g.pkl")}
