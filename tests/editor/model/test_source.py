from pathlib import Path

import pytest

from editor.errors import ModelSourceError
from editor.model.source import resolve_model
from stylegan2.bundle.opening import DEFAULT_BUNDLE
from tests.helpers.hub_server import hub

DATA = bytes(range(256)) * 4000


@pytest.fixture
def fetch(tmp_path):
    """`resolve_model` into a folder of the test's own; what it tells is kept in `fetch.told`."""

    def fetched(name, endpoint):
        fetched.told.clear()
        return resolve_model(name, fetched.told.append, endpoint=endpoint, folder=tmp_path / "models")

    fetched.told = []
    return fetched


def sent(asked, ending):
    return [part for command, path, part in asked if command == "GET" and path.endswith(ending)]


@pytest.mark.parametrize("text", ["", "bundled", "  bundled "])
def test_the_bundled_model_needs_no_path(text):
    assert resolve_model(text) == DEFAULT_BUNDLE


def test_what_lies_on_the_disk_goes_before_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "owner" / "name"
    file.parent.mkdir()
    file.touch()
    assert resolve_model("owner/name").resolve() == file
    assert resolve_model(file) == file


@pytest.mark.parametrize(
    "text",
    ["/no/such/file.pt", "./owner/name", "~/nothing.pkl", "model.pt", "a/../b/c", "C:\\a.pkl", "a b/c"],
)
def test_what_is_no_repository_is_not_looked_up(text):
    with pytest.raises(ModelSourceError, match="no such file or folder; name one, or a Hugging Face"):
        resolve_model(text, endpoint="http://127.0.0.1:9")


def test_the_only_weights_file_of_a_repository_is_fetched_once(fetch):
    with hub({"owner/name": {"README.md": b"text", "model.pkl": DATA}}) as (endpoint, asked):
        file = fetch("owner/name", endpoint)
        assert file.read_bytes() == DATA
        assert fetch.told[0] == "Asking Hugging Face for owner/name"
        assert fetch.told[-1] == "Downloading: 1 of 1 MB"
        assert fetch("owner/name", endpoint) == file
    assert sent(asked, ".pkl") == [None]
    assert not sent(asked, ".md")


def test_a_bundle_is_fetched_whole_and_nothing_else_of_its_repository(fetch):
    files = {"bundle.yaml": b"name: x", "generator.safetensors": b"1", "photos.zip": b"2", "model.pt": b"3"}
    with hub({"owner/name": files}) as (endpoint, _):
        folder = fetch("owner/name", endpoint)
    assert sorted(file.name for file in folder.iterdir()) == ["bundle.yaml", "generator.safetensors"]


def test_a_broken_download_goes_on_where_it_stopped(fetch):
    with hub({"owner/name": {"a/model.pt": DATA}}) as (endpoint, asked):
        file = fetch("owner/name/a/model.pt", endpoint)
        partial = file.with_name("model.pt.partial")
        file.unlink()
        partial.write_bytes(DATA[:500_000])
        assert fetch("owner/name/a/model.pt", endpoint).read_bytes() == DATA
    assert sent(asked, ".pt") == [None, "bytes=500000-"]
    assert not partial.exists()


def test_what_arrives_damaged_is_thrown_away(fetch):
    with hub({"owner/name": {"model.pt": DATA}}) as (endpoint, _):
        file = fetch("owner/name", endpoint)
        file.unlink()
        file.with_name("model.pt.partial").write_bytes(b"x" * 500_000)  # another file's beginning
        with pytest.raises(ModelSourceError, match=r"model\.pt arrived damaged; try again"):
            fetch("owner/name", endpoint)
        assert fetch("owner/name", endpoint).read_bytes() == DATA


def test_the_users_key_stays_with_the_hub(fetch, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    files, at_hub, at_store = {"owner/name": {"model.pt": DATA}}, [], []
    with hub(files, keys=at_store) as (store, _), hub(files, store=store, keys=at_hub) as (endpoint, _):
        assert fetch("owner/name", endpoint).read_bytes() == DATA
    assert "Bearer hf_secret" in at_hub
    assert at_store
    assert set(at_store) == {None}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("owner/two", r"has 2 weights files \(a.pt, b.pkl\); name one as owner/two/FILE"),
        ("owner/none", r"has 0 weights files \(none that ends in .safetensors, .pt"),
        ("owner/two/c.pt", "owner/two: has no file 'c.pt'"),
        ("nobody/nothing", "neither a file here nor a repository of Hugging Face that is open to you"),
    ],
)
def test_what_a_repository_lacks_is_named(fetch, name, words):
    repositories = {"owner/two": {"a.pt": b"1", "b.pkl": b"2"}, "owner/none": {"README.md": b"text"}}
    with hub(repositories) as (endpoint, _), pytest.raises(ModelSourceError, match=words):
        fetch(name, endpoint)


def test_a_repository_cannot_name_a_place_outside_its_folder(fetch, tmp_path):
    files = {"../../../up.pt": DATA}
    with hub({"owner/name": files}) as (endpoint, _), pytest.raises(ModelSourceError, match="has no file"):
        fetch("owner/name", endpoint)
    assert not list(Path(tmp_path).rglob("up.pt*"))


def test_without_a_network_the_refusal_is_one_sentence(fetch):
    with pytest.raises(ModelSourceError) as refusal:
        fetch("owner/name", "http://127.0.0.1:9")
    text = str(refusal.value)
    assert text.startswith("owner/name: no such file here, and Hugging Face cannot be reached (")
    assert "\n" not in text
