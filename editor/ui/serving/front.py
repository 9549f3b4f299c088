"""What the page says of itself before it runs: title, icon, preview, and how it is installed as an app."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FRONT = Path(__file__).parents[1] / "assets" / "front"
ICON = FRONT / "icon.png"
_SIDE = 512  # px of the icon
# What Gradio's own page says of itself, some of it with addresses of other hosts.
_THEIRS = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>|<link rel="manifest"[^>]*>')
_FILES = {
    "icon.png": "image/png",
    "preview.jpg": "image/jpeg",
    "worker.js": "text/javascript",
    "offline.html": "text/html",
}


class FrontPage:
    """Put the project's own words into the page that Gradio serves.

    Args:
        app: Answers with the page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._head = (FRONT / "head.html").read_bytes()
        self._noscript = (FRONT / "noscript.html").read_bytes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; of the page, the answer is changed."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"].rstrip("/") != "":
            await self._app(scope, receive, send)
            return
        start: Message = {}
        body = b""

        async def changed(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            headers = MutableHeaders(scope=start)
            if headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers:
                body = self._ours(body)
                headers["content-length"] = str(len(body))
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, changed)

    def _ours(self, page: bytes) -> bytes:
        page = _THEIRS.sub(b"", page)
        page = page.replace(b"</head>", self._head + b"</head>", 1)
        return re.sub(rb"<body[^>]*>", lambda tag: tag[0] + self._noscript, page, count=1)


def front_routes() -> list[BaseRoute]:
    """The files that the page names, and what an installed app is called."""
    return [
        Route("/manifest.json", _manifest),
        *(Route(f"/{name}", _file(FRONT / name, kind)) for name, kind in _FILES.items()),
    ]


def _file(path: Path, kind: str) -> Callable[[Request], Any]:
    async def answer(_: Request) -> Response:
        return FileResponse(path, media_type=kind)

    return answer


async def _manifest(_: Request) -> Response:
    icon = {"src": "./icon.png", "sizes": f"{_SIDE}x{_SIDE}", "type": "image/png"}
    told = {
        "name": "Live face editor",
        "short_name": "Face editor",
        "description": "Edit faces of a photo live, on the photo itself.",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#f8fafc",
        "theme_color": "#4f46e5",
        "icons": [{**icon, "purpose": "any"}, {**icon, "purpose": "maskable"}],
    }
    return JSONResponse(told, media_type="application/manifest+json")
