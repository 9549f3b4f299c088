"""Doorstep: who comes while the app starts is told so, and is let in when it has.

Light, like `addresses`: it answers while everything heavy is imported.
"""

import json
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

_FRONT = Path(__file__).parents[1] / "assets" / "front"
_FILES = {"/": ("starting.html", "text/html; charset=utf-8"), "/icon.png": ("icon.png", "image/png")}
_NEWS = "/starting"


class Doorstep:
    """A page at the app's address that says how far the start is; the app takes the address over.

    Args:
        host: Where the app will listen.
        port: As the host.

    Raises:
        OSError: Nobody can listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        self.words = "Starting."
        family, *_, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]

        class Server(ThreadingHTTPServer):
            address_family = family

        class Answer(_Answer):
            step = self

        self._server = Server((str(address[0]), port), Answer)
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="doorstep", daemon=True
        ).start()

    def close(self) -> None:
        """Make room for the app; may be called twice."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "Doorstep":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Answer(BaseHTTPRequestHandler):
    step: Doorstep

    def do_GET(self) -> None:
        """The page, what it asks for, or that it is too early."""
        path = self.path.partition("?")[0]
        if path == _NEWS:
            self._send(HTTPStatus.OK, "application/json", json.dumps({"words": self.step.words}).encode())
        elif path in _FILES:
            name, kind = _FILES[path]
            self._send(HTTPStatus.OK, kind, (_FRONT / name).read_bytes())
        else:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"The app is starting.")

    do_HEAD = do_POST = do_GET

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("Retry-After", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: who comes is nobody's business."""
