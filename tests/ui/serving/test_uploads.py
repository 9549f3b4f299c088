from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from editor.ui.serving import uploads
from editor.ui.serving.doors import BodyLimit
from editor.ui.serving.uploads import upload_route
from editor.ui.store import VisitStore


@pytest.fixture
def client(tmp_path):
    app = Starlette(routes=[upload_route()])
    app.uploaded_file_dir = str(tmp_path / "uploads")
    return TestClient(app)


def send(client, data, name="me.jpg"):
    return client.post(uploads.PATH, files={"files": (name, data, "image/jpeg")})


def test_who_leaves_takes_no_equal_file_of_another_along(client):
    store = VisitStore()
    first, second = store.open("page one"), store.open("page two")
    (mine,), (theirs,) = (send(client, b"the same photo").json() for _ in range(2))
    store.add_upload(first, Path(mine))
    store.close_page("page one")  # before anybody has read what the second page sent
    assert not Path(mine).exists()
    assert Path(theirs).read_bytes() == b"the same photo"
    store.add_upload(second, Path(theirs))
    store.close_page("page two")
    assert not any(path.is_file() for path in Path(theirs).parents[2].rglob("*"))


def test_the_name_stays_and_leads_nowhere_else(client, tmp_path):
    (path,) = send(client, b"x", name="../../a b.jpg").json()
    assert Path(path).name == "a b.jpg"
    assert tmp_path / "uploads" in Path(path).parents


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
