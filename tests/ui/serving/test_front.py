import io
import json

from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from editor.ui.serving.front import FrontPage, front_routes

PAGE = """<html><head><meta property="og:title" content="Theirs"><meta
 name="twitter:image" content="https://elsewhere.example/a.png">
<meta name="viewport" content="width=device-width"><link rel="manifest" href="/manifest.json"></head>
<body class="a"><main>the page</main></body></html>"""


def client():
    async def page(_):
        return StreamingResponse(iter([PAGE[:100], PAGE[100:]]), media_type="text/html")

    async def data(_):
        return JSONResponse({"head": "</head><body>"})

    async def other(_):
        return HTMLResponse(PAGE)

    paths = [Route("/", page), Route("/data", data), Route("/other", other), *front_routes()]
    return TestClient(Starlette(routes=paths, middleware=[Middleware(FrontPage)]))


def test_the_page_says_what_is_ours_and_nothing_of_other_hosts():
    reply = client().get("/")
    assert reply.headers["content-length"] == str(len(reply.content))
    text = reply.text
    assert "Theirs" not in text
    assert "elsewhere.example" not in text
    assert "http" not in text.split("<body")[0]
    assert '<meta property="og:title" content="Live face editor">' in text
    assert 'name="viewport"' in text  # what is not about the page itself stays
    assert text.count('rel="manifest"') == 1
    assert "<main>the page</main>" in text
    assert text.index('<body class="a">') < text.index("needs JavaScript") < text.index("<main>")


def test_all_other_answers_are_left_as_they_are():
    assert client().get("/data").json() == {"head": "</head><body>"}
    assert client().get("/other").text == PAGE


def test_what_an_installed_app_needs_is_there():
    manifest = client().get("/manifest.json").json()
    assert manifest["start_url"] == "./"
    assert manifest["display"] == "standalone"
    for icon in manifest["icons"]:
        reply = client().get(icon["src"].removeprefix("."))
        with Image.open(io.BytesIO(reply.content)) as image:
            assert f"{image.width}x{image.height}" == icon["sizes"]
    for name, kind in (("worker.js", "javascript"), ("offline.html", "html"), ("preview.jpg", "jpeg")):
        reply = client().get(f"/{name}")
        assert reply.status_code == 200
        assert kind in reply.headers["content-type"]
    assert "offline.html" in client().get("/worker.js").text
    assert json.dumps(manifest).count("http") == 0
