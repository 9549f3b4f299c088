import base64
import json

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from editor.ui.examples import ASTRONAUT
from editor.ui.serving import program_doors
from editor.ui.serving.api import ProgramAPI
from editor.ui.serving.doors import MAX_BODY, BodyLimit, middleware
from editor.ui.serving.gate import BusyError, Gate
from editor.ui.serving.program_doors import routes

RUN = "/gradio_api/run/edit"
FACES, METRICS, BATCH = (f"/gradio_api/run/{name}" for name in ("faces", "metrics", "batch"))
PHOTO = base64.b64encode(ASTRONAUT.read_bytes()).decode()


async def echo(request):
    return PlainTextResponse(str(len(await request.body())))


def client_of(allowed_hosts=None, api=None, **options):
    paths = [Route("/", echo, methods=["GET", "POST"]), Route("/gradio_api/upload", echo, methods=["POST"])]
    app = Starlette(
        routes=[*([] if api is None else routes(api)), *paths], middleware=middleware(allowed_hosts)
    )
    return TestClient(app, base_url="http://127.0.0.1:7860", **options)


@pytest.fixture
def client(tiny_editor):
    return client_of(api=ProgramAPI(lambda: tiny_editor, Gate(), Gate()))


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "[::1]:7860", "LOCALHOST:1", "127.8.8.8"])
def test_names_of_this_machine_are_answered(host):
    assert client_of([]).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "[::", "10.0.0.1"]
)
def test_other_names_are_refused_on_loopback(host):
    reply = client_of([]).get("/", headers={"Host": host})
    assert (reply.status_code, "--allow-host" in reply.text) == (421, True)
    assert client_of(None).get("/", headers={"Host": host}).status_code == 200  # where others may reach it


def test_a_page_of_another_site_is_refused_by_its_origin():
    client = client_of([])
    assert client.post("/", headers={"Origin": "https://evil.example"}).status_code == 421
    assert client.post("/", headers={"Origin": "http://localhost:7860"}).status_code == 200
    assert client.post("/", headers={"Origin": "null"}).status_code == 200


def test_a_name_can_be_allowed():
    client = client_of(["Faces.example"])
    headers = {"Host": "faces.example", "Origin": "https://faces.example"}
    assert client.post("/", headers=headers).status_code == 200
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 421


def test_bodies_are_bounded_whether_they_tell_their_length_or_not():
    app = Starlette(routes=[Route("/", echo, methods=["POST"]), Route("/upload", echo, methods=["POST"])])
    app.add_middleware(BodyLimit, limit=100, uploads=200)
    client = TestClient(app)
    assert client.post("/", content=b"x" * 100).text == "100"
    for content in (b"x" * 101, iter([b"x" * 60, b"y" * 60])):
        reply = client.post("/", content=content)
        assert reply.status_code == 413
        assert reply.json() == {"error": "body: larger than 100 bytes"}
    assert client.post("/", content=b"", headers={"Content-Length": "many"}).status_code == 413
    assert client.post("/upload", content=b"x" * 200).text == "200"
    for content in (b"x" * 201, iter([b"x" * 150, b"y" * 150])):
        assert client.post("/upload", content=content).status_code == 413


def test_programs_get_their_pictures_over_http(client):
    reply = client.post(RUN, json={"data": [PHOTO, {"smile": 1}]})
    assert reply.status_code == 200
    (answer,) = reply.json()["data"]
    assert answer["edited"].startswith("data:image/png;base64,")
    chosen = client.post(RUN, json={"data": [PHOTO, {"smile": -1}, "w", 2]}).json()["data"][0]
    assert chosen["edited"] != answer["edited"]
    assert chosen["reconstruction"] != answer["reconstruction"]  # two steps of optimisation


def test_programs_get_faces_metrics_and_batches_over_http(client):
    def asked(path, *data):
        reply = client.post(path, json={"data": data})
        assert reply.status_code == 200
        return reply.json()["data"][0]

    (face,) = asked(FACES, PHOTO)["faces"]
    assert (face["number"], face["usable"], face["refusal"]) == (1, True, "")
    assert abs(face["yaw"]) < 45
    assert set(asked(METRICS, PHOTO, None, "w")["psnr"]) == {"w"}
    first, second = asked(BATCH, [PHOTO, "secret"], {"smile": 1})["photos"]
    assert first == client.post(RUN, json={"data": [PHOTO, {"smile": 1}]}).json()["data"][0]
    assert list(second) == ["error"]


@pytest.mark.parametrize(
    ("path", "data", "words"),
    [
        (FACES, [], "data: got a list of 0; must be a list of photo"),
        (FACES, ["secret", 1], "data: got a list of 2; must be a list of photo"),
        (FACES, ["secret"], "photo is no picture"),
        (METRICS, [PHOTO, "secret"], "face: got str"),
        (METRICS, [PHOTO, 1, "secret"], "space: must be"),
        (BATCH, [["secret"]], "must be a list of photos, strengths, space, steps, the last 2 optional"),
        (BATCH, ["secret", {}], "photos: got str; must be a list of 1 to 32"),
        (BATCH, [["secret"], {"secret": 1}], "no such direction"),
    ],
)
def test_mistakes_at_the_other_doors_are_told_alike(client, path, data, words, capfd, caplog):
    reply = client.post(path, json={"data": data})
    assert reply.status_code == 422
    assert words in reply.json()["error"]
    printed = capfd.readouterr()
    for text in (reply.text, printed.out, printed.err, caplog.text):
        assert "secret" not in text


def test_no_list_of_photos_gets_past_the_bound_of_a_body(client):
    reply = client.post(BATCH, json={"data": [["x" * (MAX_BODY // 2)] * 2, {}]})
    assert (reply.status_code, "body: larger" in reply.json()["error"]) == (413, True)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"secret", 400, "body: no JSON"),
        (b"[" * 100_000, 400, "body: no JSON"),
        (b"[]", 422, "data: got NoneType"),
        (b'{"data": "secret"}', 422, "data: got str"),
        (json.dumps({"data": ["secret"]}).encode(), 422, "data: got a list of 1"),
        (json.dumps({"data": ["secret", {}, "w", 0, 1, None, 1]}).encode(), 422, "data: got a list of 7"),
        (json.dumps({"data": [None, {}]}).encode(), 422, "photo: got NoneType"),
        (json.dumps({"data": ["s", {"secret": 1}]}).encode(), 422, "photo"),
        (json.dumps({"data": [PHOTO, {"secret": 1}]}).encode(), 422, "no such direction"),
    ],
)
def test_a_callers_mistake_is_one_sentence_and_in_no_log(client, body, status, words, capfd, caplog):
    reply = client.post(RUN, content=body)
    assert reply.status_code == status
    assert words in reply.json()["error"]
    assert "\n" not in reply.json()["error"]
    printed = capfd.readouterr()
    for text in (reply.text, printed.out, printed.err, caplog.text):
        assert "secret" not in text
        assert PHOTO[:64] not in text


def test_a_busy_server_says_so(tiny_editor, monkeypatch):
    class Busy(ProgramAPI):
        def faces(self, photo):
            raise BusyError("try again")

    busy = Busy(lambda: tiny_editor, Gate(), Gate())
    assert client_of(api=busy).post(FACES, json={"data": [None]}).status_code == 503
    monkeypatch.setattr(program_doors, "MOST_BODIES", 0)
    reply = client_of(api=busy).post(RUN, content=b"anything")
    assert (reply.status_code, "try again" in reply.json()["error"]) == (503, True)
