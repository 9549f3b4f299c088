import http.server
import subprocess
import threading
from urllib.parse import unquote

import numpy as np
import pytest
import torch

from tests.helpers.pictures import write_shard
from train.data.images import find_images, read_images
from train.data.shards import read_shard
from train.data.stream import RealImages
from train.errors import DatasetError

PER_SHARD = 9
MEMBER = 2 * 512  # bytes of a stored picture: these PNGs fit into the block behind their header's


class _Store(http.server.BaseHTTPRequestHandler):
    """Sends the files of `server.folder`, or what is left of them, as the first part of the path says."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        _, how, name = unquote(self.path.partition("?")[0]).split("/")
        file = self.server.folder / name
        if how == "moved":
            self.send_response(302)
            self.send_header("Location", f"/whole/{name}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if not file.is_file():
            self.send_error(404)
            return
        body = file.read_bytes()
        self.send_response(200)
        if how.startswith("chunked"):
            self.send_header("Transfer-Encoding", "chunked")
        elif not how.startswith("untold"):
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        kept = body[: self.server.kept] if how.endswith("broken") else body
        if how.startswith("chunked"):
            kept = b"%x\r\n%s\r\n" % (len(kept), kept) + (b"" if how.endswith("broken") else b"0\r\n\r\n")
        self.wfile.write(kept)
        self.close_connection = True


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Three shards in a folder, and a server of it; no program may be started."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(subprocess, "Popen", None)
    folder = tmp_path / "store"
    folder.mkdir()
    for shard in range(3):
        values = np.arange(shard * PER_SHARD, (shard + 1) * PER_SHARD, dtype=np.uint8)
        write_shard(folder / f"part-{shard}.tar", np.tile(values[:, None, None, None], (1, 16, 16, 3)))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Store)
    server.folder, server.asked, server.kept = folder, [], 0
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("how", ["whole", "chunked", "untold", "moved"])
def test_a_streamed_shard_is_the_stored_one(store, how):
    stored = list(read_shard(str(store.folder / "part-1.tar")))
    assert [key for key, _ in stored] == [f"part-1.tar/{number:04}.png" for number in range(PER_SHARD)]
    assert list(read_shard(f"{store.address}/{how}/part-1.tar")) == stored


def test_keys_do_not_tell_how_a_shard_came(store):
    stored = list(read_shard(str(store.folder / "part-1.tar")))
    assert list(read_shard(f"{store.address}/whole/part%2D1.tar?key=a/b.tar")) == stored
    assert store.asked == ["/whole/part%2D1.tar?key=a/b.tar"]


def test_a_pass_over_addresses_is_one_over_files_and_stores_nothing(store, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "empty"))
    streamed = find_images(f"{store.address}/whole/part-{{0..2}}.tar?version=7")
    assert store.asked == []
    stored = find_images(str(store.folder))
    first, second = (torch.cat(list(read_images(source, 16, 4))) for source in (streamed, stored))
    assert len(first) == 3 * PER_SHARD
    assert torch.equal(first, second)
    assert store.asked == [f"/whole/part-{shard}.tar?version=7" for shard in range(3)]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        f"part-{shard}.tar" for shard in range(3)
    ]


def test_a_limit_leaves_the_rest_of_a_shard_unread(store):
    source = find_images(f"{store.address}/whole/part-{{0..2}}.tar")
    assert len(torch.cat(list(read_images(source, 16, 4, limit=3)))) == 3
    assert store.asked == ["/whole/part-0.tar"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_from_addresses_is_one_from_files_and_resumes_at_the_exact_picture(store, workers):
    def stream(pattern):
        options = {"validation_fraction": 0.2, "buffer": 5, "seed": 1, "workers": workers}
        return RealImages(find_images(pattern), 16, 4, **options)

    streamed, stored = f"{store.address}/whole/part-{{0..2}}.tar", f"{store.folder}/part-{{0..2}}.tar"
    whole, broken, resumed = stream(stored), stream(streamed), stream(streamed)
    expected = [whole.next() for _ in range(18)]
    assert all(torch.equal(broken.next(), pixels) for pixels in expected[:7])
    resumed.load_state_dict(broken.state_dict())
    assert all(torch.equal(resumed.next(), pixels) for pixels in expected[7:])


@pytest.mark.parametrize("how", ["broken", "chunked-broken", "untold-broken"])
@pytest.mark.parametrize("kept", [100, 700, 2 * MEMBER, 2 * MEMBER + 100, PER_SHARD * MEMBER])
def test_a_transfer_that_breaks_off_is_an_error_of_its_shard(store, how, kept):
    store.kept = kept
    with pytest.raises(DatasetError, match=rf"^{store.address}/{how}/part-0\.tar: .* broke off") as caught:
        list(read_shard(f"{store.address}/{how}/part-0.tar?key=secret"))
    assert "secret" not in str(caught.value)


def test_pictures_before_a_break_are_none_of_a_pass_that_ends(store):
    store.kept = 6 * MEMBER  # between two pictures: what is there looks like a whole shard
    assert (store.folder / "part-0.tar").read_bytes()[store.kept :].startswith(b"0006.png\0")
    stream = RealImages(find_images(f"{store.address}/broken/part-0.tar"), 16, 2, buffer=1)
    stream.next()
    with pytest.raises(DatasetError, match=rf"broke off after {store.kept} of \d+ bytes"):
        [stream.next() for _ in range(2)]


def test_a_shard_without_an_end_mark_is_whole_where_its_length_is_known(store):
    file = store.folder / "part-0.tar"
    file.write_bytes(file.read_bytes()[: PER_SHARD * MEMBER])
    stored = list(read_shard(str(file)))
    assert len(stored) == PER_SHARD
    for how in ("whole", "chunked"):
        assert list(read_shard(f"{store.address}/{how}/part-0.tar")) == stored
    with pytest.raises(DatasetError, match=r"broke off after \d+ of an unknown number of bytes"):
        list(read_shard(f"{store.address}/untold/part-0.tar"))


def test_what_is_not_there_is_an_error(store):
    with pytest.raises(DatasetError, match=r"none\.tar: cannot be opened \(HTTP Error 404: Not Found\)"):
        list(read_images(find_images(f"{store.address}/whole/none.tar?key=secret"), 16, 4))
    store.shutdown()
    store.server_close()
    with pytest.raises(DatasetError, match=r"part-0\.tar: cannot be opened \(.*refused"):
        list(read_shard(f"{store.address}/whole/part-0.tar"))


def test_a_page_in_place_of_a_shard_is_an_error(store):
    (store.folder / "page.tar").write_text("<html>please log in</html>" * 100)
    with pytest.raises(DatasetError, match=r"page\.tar: damaged or unreadable shard"):
        list(read_shard(f"{store.address}/whole/page.tar"))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("https://faces.example/train.zip?a=.tar", r"expected a folder or \.tar shards, found train\.zip"),
        ("http://faces.example", r"found http://faces\.example"),
        ("http://[faces/train.tar", r"not an address"),
    ],
)
def test_an_address_of_something_else_is_refused(address, message):
    with pytest.raises(DatasetError, match=message):
        find_images(address)


def test_an_address_without_a_port_is_refused_when_it_is_read():
    with pytest.raises(DatasetError, match="cannot be opened"):
        list(read_shard("http://127.0.0.1:none/train.tar"))


@pytest.mark.parametrize(
    "pattern", ["pipe:cat train.tar", "ftp://faces.example/train.tar", "s3://faces/{0..3}.tar"]
)
def test_any_other_kind_of_address_is_refused(pattern):
    with pytest.raises(DatasetError, match="allowed: local paths, and http:// and https:// addresses"):
        find_images(pattern)


def test_a_file_with_the_name_of_a_command_is_a_file(store, monkeypatch):
    monkeypatch.chdir(store.folder)
    monkeypatch.setenv("GOPEN_REWRITE", "part=pipe:cat part")  # webdataset's own way to another address
    (store.folder / "part-0.tar").rename("pipe:cat part-1.tar")
    pixels = torch.cat(list(read_images(find_images("pipe:cat part-1.tar"), 16, 4)))
    assert pixels[:, 0, 0, 0].tolist() == list(range(PER_SHARD))


def test_braces_without_a_partner_are_refused():
    with pytest.raises(DatasetError, match="braces without a partner"):
        find_images("https://faces.example/part-{0..2.tar")
