from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from editor.ui.page import Page
from editor.ui.serving import uploads
from editor.ui.serving.doors import BodyLimit
from editor.ui.serving.uploads import real_path, upload_route
from editor.ui.store import VisitStore


@pytest.fixture
def client(tmp_path):
    app = Starlette(routes=[upload_route()])
    app.uploaded_file_dir = str(tmp_path / "uploads")
    return TestClient(app)


def send(client, data, name="me.jpg"):
    return client.post(uploads.PATH, files={"files": (name, data, "image/jpeg")})


def sent(client, data, name="me.jpg"):
    """Where the server keeps what was sent."""
    (found,) = send(client, data, name).json()
    return Path(real_path(found, Path(client.app.uploaded_file_dir)))


def test_who_leaves_takes_no_equal_file_of_another_along(client):
    store = VisitStore()
    first, second = store.open("page one"), store.open("page two")
    mine, theirs = (sent(client, b"the same photo") for _ in range(2))
    store.add_upload(first, mine)
    store.close_page("page one")  # before anybody has read what the second page sent
    assert not mine.exists()
    assert theirs.read_bytes() == b"the same photo"
    store.add_upload(second, theirs)
    store.close_page("page two")
    assert not any(path.is_file() for path in theirs.parents[2].rglob("*"))


def test_the_name_stays_and_leads_nowhere_else(client, tmp_path):
    path = sent(client, b"x", name="../../a b.jpg")
    assert path.name == "a b.jpg"
    assert tmp_path / "uploads" in path.parents


def test_no_answer_says_where_uploads_lie(client, tmp_path):
    reply = send(client, b"x")
    assert str(tmp_path) not in reply.text
    assert reply.json()[0].startswith(uploads.ALIAS)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "uploaded:../secret", "uploaded:", "uploaded:/etc/passwd", "x"]
)
def test_what_is_no_upload_stays_what_it_is(tmp_path, name):
    assert real_path(name, tmp_path / "uploads") == name


def test_the_page_finds_uploads_wherever_they_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    name, path = "uploaded:a/b/me.jpg", str(tmp_path / "a" / "b" / "me.jpg")
    inputs = [{"path": name}, [{"path": name}, {"path": 7}], {"value": {"path": name}}, name, None]
    with Page() as page:
        page.validate_inputs(SimpleNamespace(inputs=inputs), inputs)
    assert inputs == [{"path": path}, [{"path": path}, {"path": 7}], {"value": {"path": path}}, name, None]


def test_what_is_too_large_is_refused_and_gone(client, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_BYTES", 1000)
    assert send(client, bytes(1000)).status_code == 200
    kept = sorted(tmp_path.rglob("*"))
    assert send(client, bytes(1001)).status_code == 413
    assert sorted(tmp_path.rglob("*")) == kept


def test_an_upload_that_goes_on_for_too_long_leaves_nothing(client, tmp_path):
    client.app.add_middleware(BodyLimit, uploads=100_000)
    edge = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    parts = iter([edge + bytes(60_000), b"\r\n" + edge + bytes(60_000), b"\r\n--x--\r\n"])
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    reply = client.post(uploads.PATH, content=parts, headers=headers)
    assert (reply.status_code, "larger than 100,000 bytes" in reply.text) == (413, True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"no boundary"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\nno\r\n--x--\r\n',
        ),
    ],
)
def test_what_is_no_upload_is_a_mistake_of_the_caller(client, kind, content):
    assert client.post(uploads.PATH, content=content, headers={"Content-Type": kind}).status_code == 400
