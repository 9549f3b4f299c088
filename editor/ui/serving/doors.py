"""What stands before the app: who may ask, how much they may send, and the door for programs."""

import json
import threading
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from editor.ui.serving.addresses import is_local
from editor.ui.serving.api import ARGUMENTS, MAX_TEXT, EditAPI, spoken
from editor.ui.serving.gate import BusyError
from stylegan2.errors import StyleGANError

MOST_BODIES = 4  # of programs, held at once: each may take a hundred megabytes
MAX_BODY = MAX_TEXT + 1_000_000  # bytes of a request that is no upload
_UPLOAD = "/upload"  # Gradio bounds these itself, by `max_file_size`
_EDIT = ("/gradio_api/run/edit", "/gradio_api/api/edit")
BAD_REQUEST, TOO_LARGE, MISDIRECTED, UNPROCESSABLE, BUSY = 400, 413, 421, 422, 503
_NEEDED = 2  # arguments of `edit` that have no default


class BodyTooLargeError(Exception):
    """A request went on beyond `MAX_BODY`."""


class HostGuard:
    """Answer only those who call the app by one of its names.

    A page of another site can make the name of its own server lead to this machine (DNS rebinding), and its
    scripts then reach what listens on loopback. Their requests still say the other name, in Host and Origin.

    Args:
        app: What is guarded.
        hosts: Names without a port, besides those of loopback.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app, self._hosts = app, {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 421."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        names = [f"//{headers.get(b'host', '')}"]
        if (origin := headers.get(b"origin", "null")) != "null":
            names.append(origin)
        if all(self._is_ours(name) for name in names):
            await self._app(scope, receive, send)
            return
        text = (
            "This app answers on this computer only. --allow-host NAME lets it be called by another name.\n"
        )
        await PlainTextResponse(text, status_code=MISDIRECTED)(scope, receive, send)

    def _is_ours(self, address: str) -> bool:
        try:
            name = (urlsplit(address).hostname or "").lower()
        except ValueError:
            return False
        return name in self._hosts or is_local(name)


class BodyLimit:
    """Refuse requests that are no uploads and larger than `limit` bytes, without keeping what is too much."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on while it is small enough, or refuse it with 413."""
        if scope["type"] != "http" or scope["path"].rstrip("/").endswith(_UPLOAD):
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limit:
            await _refusal(TOO_LARGE, f"body: larger than {self._limit:,} bytes")(scope, receive, send)
            return
        taken, answered = 0, False

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._limit:
                raise BodyTooLargeError
            return message

        async def watched(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, bounded, watched)
        except BodyTooLargeError:
            if not answered:
                await _refusal(TOO_LARGE, f"body: larger than {self._limit:,} bytes")(scope, receive, send)


def middleware(allowed_hosts: Collection[str] | None) -> list[Middleware]:
    """What every request passes.

    Args:
        allowed_hosts: See `HostGuard`; None lets every name through, for an app that others may reach.
    """
    guards = [] if allowed_hosts is None else [Middleware(HostGuard, hosts=tuple(allowed_hosts))]
    return [*guards, Middleware(BodyLimit)]


def routes(api: EditAPI) -> list[BaseRoute]:
    """The door for programs, before Gradio's own: that answers 500 to a caller's mistake, and logs it."""
    places = threading.BoundedSemaphore(MOST_BODIES)

    async def edit(request: Request) -> Response:
        if not places.acquire(blocking=False):
            return _refusal(BUSY, "The server has too much to do at the moment; try again in a minute.")
        try:
            return await _edited(api, request)
        finally:
            places.release()

    return [Route(path, edit, methods=["POST"]) for path in _EDIT]


async def _edited(api: EditAPI, request: Request) -> Response:
    try:
        asked: Any = json.loads(await request.body())
    except (ValueError, RecursionError):
        return _refusal(BAD_REQUEST, 'body: no JSON; send {"data": [photo, strengths]}')
    data = asked.get("data") if isinstance(asked, dict) else None
    del asked
    if not isinstance(data, list) or not _NEEDED <= len(data) <= len(ARGUMENTS):
        found = f"a list of {len(data)}" if isinstance(data, list) else type(data).__name__
        wanted = ", ".join(ARGUMENTS)
        text = f"data: got {found}; must be a list of {wanted}, the last three optional"
        return _refusal(UNPROCESSABLE, text)
    try:
        answer = await run_in_threadpool(_answer, api, data)
    except BusyError as error:
        return _refusal(BUSY, spoken(error))
    except StyleGANError as error:
        return _refusal(UNPROCESSABLE, spoken(error))
    return JSONResponse({"data": [answer]})


def _answer(api: EditAPI, data: Sequence[Any]) -> dict[str, Any]:
    given = {name: value for name, value in zip(ARGUMENTS, data, strict=False) if value is not None}
    return api.edit(**{"photo": None, "strengths": None, **given})


def _refusal(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status_code=status)
