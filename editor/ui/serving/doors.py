"""What stands before the app: who may ask, and how much they may send."""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from editor.batch.zipped import MOST_BYTES
from editor.ui.serving.asked import MAX_TEXT
from editor.ui.starting.addresses import is_local

MAX_BODY = MAX_TEXT + 1_000_000  # bytes of a request that is no upload
MAX_UPLOAD = MOST_BYTES + 1_000_000  # bytes of one that is; of each file in it Gradio's `max_file_size`
_UPLOAD = "/upload"
BAD_REQUEST, TOO_LARGE, MISDIRECTED = 400, 413, 421


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
    """Refuse requests larger than `limit` bytes, uploads than `uploads`, without keeping what is too much."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY, uploads: int = MAX_UPLOAD) -> None:
        self._app, self._limit, self._uploads = app, limit, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on while it is small enough, or refuse it with 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._uploads if scope["path"].rstrip("/").endswith(_UPLOAD) else self._limit
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            await refusal(TOO_LARGE, f"body: larger than {limit:,} bytes")(scope, receive, send)
            return
        taken, answered = 0, False

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
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
                await refusal(TOO_LARGE, f"body: larger than {limit:,} bytes")(scope, receive, send)


def middleware(allowed_hosts: Collection[str] | None) -> list[Middleware]:
    """What every request passes.

    Args:
        allowed_hosts: See `HostGuard`; None lets every name through, for an app that others may reach.
    """
    guards = [] if allowed_hosts is None else [Middleware(HostGuard, hosts=tuple(allowed_hosts))]
    return [*guards, Middleware(BodyLimit)]


def refusal(status: int, text: str) -> Response:
    """A mistake in one sentence, as programs are told it."""
    return JSONResponse({"error": text}, status_code=status)
