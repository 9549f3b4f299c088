"""The door for a camera's frames: a JPEG in, and out what an edit changes of it."""

import io
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from editor.errors import ImageInputError, LiveError
from editor.motion.live import LiveEdit, LiveFrame, Wish
from editor.photo.colour import Pixels
from editor.pipeline import Editor
from editor.ui.serving.api import spoken
from editor.ui.serving.asked import check_strengths
from editor.ui.serving.doors import TOO_LARGE, refusal
from editor.ui.serving.program_doors import BUSY, UNPROCESSABLE
from editor.ui.store import Visit, VisitStore
from stylegan2.errors import StyleGANError

PATH = "/gradio_api/live"
MOST_LIVE = 2  # cameras at once: each keeps a core busy
IDLE = 5.0  # seconds without a frame after which a camera counts as switched off
MAX_FRAME = 2_000_000  # bytes of a frame
MOST_PIXELS = 1280 * 720  # of a frame
MAX_EDIT = 20_000  # characters of its edits
JPEG_QUALITY = 92
GONE = 410


@dataclass
class _Camera:
    live: LiveEdit
    used: float
    lock: threading.Lock = field(default_factory=threading.Lock)  # one frame at a time


class LiveRoom:
    """The cameras of visitors. Nothing of a frame is kept once it is answered, and nothing is stored.

    Args:
        store: Visits.
        editor: Answers with the one in use.
        clock: Seconds from any start.
    """

    def __init__(
        self, store: VisitStore, editor: Callable[[], Editor], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._editor, self._clock = store, editor, clock
        self._cameras: dict[str, _Camera] = {}
        self._lock = threading.Lock()

    def frame(self, token: object, data: bytes, strengths: object) -> LiveFrame | None:
        """Edit a visitor's newest frame; None where the one before is being worked on still.

        Args:
            token: Of the visit.
            data: The frame, a JPEG file.
            strengths: Direction -> strength, in its unit.

        Raises:
            LiveError: There are too many cameras.
            ImageInputError: `data` is no JPEG file, or too large.
            StyleGANError: Strengths are not as they should be.
        """
        visit = self._store.find(token)
        if visit is None:
            raise VisitGoneError("live: this visit is over; load the page again")
        camera = self._camera(visit)
        if not camera.lock.acquire(blocking=False):
            return None
        try:
            directions = camera.live.editor.directions.joined(visit.own)
            wish = Wish(strengths=check_strengths(directions, strengths), own=visit.own)
            return camera.live.frame(read_frame(data), wish)
        finally:
            camera.used = self._clock()
            camera.lock.release()

    def stop(self, token: object) -> None:
        """A visitor's camera is switched off."""
        with self._lock:
            camera = self._cameras.pop(token, None) if isinstance(token, str) else None
        if camera is not None:
            camera.live.close()

    def close(self) -> None:
        """Switch every camera off: the server ends."""
        for token in list(self._cameras):
            self.stop(token)

    def sweep(self) -> None:
        """Switch off cameras that have sent nothing for a while, and those of visits that are over."""
        with self._lock:
            now = self._clock()
            old = [token for token, each in self._cameras.items() if now - each.used > IDLE]
        for token in old:
            self.stop(token)

    def _camera(self, visit: Visit) -> _Camera:
        editor = self._editor()
        known = self._cameras.get(visit.token)
        if known is not None and known.live.editor is not editor:  # the model was changed
            self.stop(visit.token)
        self.sweep()
        with self._lock:
            if visit.token not in self._cameras:
                if len(self._cameras) >= MOST_LIVE:
                    raise LiveError(f"live: {MOST_LIVE} cameras are in use already; try again in a minute")
                self._cameras[visit.token] = _Camera(LiveEdit(editor), self._clock())
            return self._cameras[visit.token]


class VisitGoneError(StyleGANError):
    """The visit of a camera is over."""


def read_frame(data: bytes) -> Pixels:
    """A JPEG file's pixels [H, W, 3] uint8 RGB.

    Raises:
        ImageInputError: It is none, or has too many pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:  # reads no more than its head
            width, height = image.size
    except (OSError, ValueError, SyntaxError):
        raise ImageInputError("frame: it is no JPEG file") from None
    if width * height > MOST_PIXELS:
        raise ImageInputError(f"frame: {width}x{height} px; at most {MOST_PIXELS:,} pixels are taken")
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if found is None or found.shape[:2] != (height, width):
        raise ImageInputError("frame: the JPEG file is damaged")
    return np.asarray(found, np.uint8)


def live_route(room: LiveRoom) -> Route:
    """`POST /gradio_api/live?visit=TOKEN`: a JPEG in the body, strengths as JSON in the header `x-edit`.

    Answers with what the edit changes of the frame as a JPEG, and in headers where it lies (`x-left`,
    `x-top`), whether there is a face (`x-found`), how old its edit is (`x-behind`, ms), edits a second
    (`x-rate`) and what all took (`x-took`, ms); 204 where nothing changes, and, with `x-dropped`, where the
    frame before is being worked on still. An empty body switches the camera off.
    """

    async def answer(request: Request) -> Response:
        data = await request.body()
        if len(data) > MAX_FRAME:
            return refusal(TOO_LARGE, f"frame: larger than {MAX_FRAME:,} bytes")
        token = request.query_params.get("visit")
        if not data:
            await run_in_threadpool(room.stop, token)
            return Response(status_code=204)
        try:
            return await run_in_threadpool(_answered, room, token, data, request.headers.get("x-edit", ""))
        except VisitGoneError as error:
            return refusal(GONE, spoken(error))
        except LiveError as error:
            return refusal(BUSY, spoken(error))
        except StyleGANError as error:
            return refusal(UNPROCESSABLE, spoken(error))

    return Route(PATH, answer, methods=["POST"])


def _answered(room: LiveRoom, token: str | None, data: bytes, edit: str) -> Response:
    start = time.perf_counter()
    try:
        strengths: Any = json.loads(edit) if 0 < len(edit) <= MAX_EDIT else {}
    except (ValueError, RecursionError):
        strengths = None
    found = room.frame(token, data, strengths)
    if found is None:
        return Response(status_code=204, headers={"x-dropped": "1"})
    body = b""
    headers = {"x-found": str(int(found.found)), "cache-control": "no-store"}
    if found.patch is not None:
        headers |= {"x-left": str(found.patch.left), "x-top": str(found.patch.top)}
        pixels = cv2.cvtColor(found.patch.pixels, cv2.COLOR_RGB2BGR)
        body = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    headers["x-behind"] = f"{found.behind * 1e3:.0f}"
    headers["x-rate"] = f"{found.edits_per_second:.0f}"
    headers["x-took"] = f"{(time.perf_counter() - start) * 1e3:.1f}"
    kind = "image/jpeg" if body else None
    return Response(body, status_code=200 if body else 204, headers=headers, media_type=kind)
