"""The door for programs, before Gradio's own: that answers 500 to a caller's mistake, and logs it."""

import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from editor.ui.serving.api import Endpoint, ProgramAPI, spoken
from editor.ui.serving.doors import BAD_REQUEST, refusal
from editor.ui.serving.gate import BusyError
from stylegan2.errors import StyleGANError

MOST_BODIES = 4  # held at once: each may take a hundred megabytes
UNPROCESSABLE, BUSY = 422, 503
_PATHS = ("/gradio_api/run/{name}", "/gradio_api/api/{name}")


def routes(api: ProgramAPI) -> list[BaseRoute]:
    """A POST route, and one under Gradio's former name of it, for all that programs may ask for."""
    places = threading.BoundedSemaphore(MOST_BODIES)

    def door(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if not places.acquire(blocking=False):
                return refusal(BUSY, "The server has too much to do at the moment; try again in a minute.")
            try:
                return await _answered(endpoint, request)
            finally:
                places.release()

        return answer

    return [
        Route(path.format(name=endpoint.name), door(endpoint), methods=["POST"])
        for endpoint in api.endpoints()
        for path in _PATHS
    ]


async def _answered(endpoint: Endpoint, request: Request) -> Response:
    names, needed = endpoint.arguments, endpoint.needed
    try:
        asked: Any = json.loads(await request.body())
    except (ValueError, RecursionError):
        return refusal(BAD_REQUEST, f'body: no JSON; send {{"data": [{", ".join(names[:needed])}]}}')
    data = asked.get("data") if isinstance(asked, dict) else None
    del asked
    if not isinstance(data, list) or not needed <= len(data) <= len(names):
        found = f"a list of {len(data)}" if isinstance(data, list) else type(data).__name__
        optional = f", the last {len(names) - needed} optional" if len(names) > needed else ""
        return refusal(UNPROCESSABLE, f"data: got {found}; must be a list of {', '.join(names)}{optional}")
    try:
        answer = await run_in_threadpool(endpoint.answer, data)
    except BusyError as error:
        return refusal(BUSY, spoken(error))
    except StyleGANError as error:
        return refusal(UNPROCESSABLE, spoken(error))
    return JSONResponse({"data": [answer]})
