"""LiveEdit: the face before a camera, edited while it moves."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from editor.errors import LiveError
from editor.face.choice import MAX_YAW
from editor.face.mesh import Face
from editor.face.tiles import Box, same_face
from editor.face.warp import Matrix
from editor.motion.moving import check_moving
from editor.motion.moving_face import MovingFace, look
from editor.motion.placing import Placing
from editor.photo.colour import Pixels
from editor.pipeline import Editor
from editor.transfer.fields import EditFields
from editor.transfer.paint import Patch, paint
from inversion.directions.bank import DirectionBank

PARSE_EVERY = 3  # edits of which one looks for the head before, and one for the head after
HOLD = 0.01  # of latents, see `MovingFace`: within it, pictures of the bundled model differ by 44 dB
STALE = 0.7  # seconds after which an edit that was computed is of another moment


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How the face is to be edited."""

    strengths: Mapping[str, float]  # direction -> strength, in its unit
    own: DirectionBank = field(default_factory=lambda: DirectionBank({}))  # further edits

    @property
    def edits(self) -> bool:
        """Whether anything is to be changed."""
        return any(self.strengths.values())


@dataclass(frozen=True, kw_only=True)
class LiveFrame:
    """What becomes of a frame."""

    patch: Patch | None  # what the edit changes of it; None where nothing
    found: bool  # whether there is a face that can be edited
    behind: float  # seconds since the frame that the edit was computed from; 0 where nothing is painted
    edits_per_second: float  # edits computed, lately


@dataclass(frozen=True, kw_only=True)
class _Task:
    pixels: Pixels
    face: Face
    others: tuple[Face, ...]
    to_frame: Matrix
    wish: Wish
    seconds: float
    anew: bool  # the face is not that of the task before


class LiveEdit:
    """Edits the largest face of frame after frame, as quickly as the machine can.

    Finding the face and painting take a few ms and are done for every frame. What is painted, a far longer
    work, is computed in a thread of its own, from the newest frame whenever it is done with one before: so
    every frame shows the present pixels, edited as they were a moment ago, in the place where the face is
    now. Nothing waits in line, and slow machines have fewer edits a second, not later frames.

    Args:
        editor: Does the work.
        clock: Seconds from any start.

    Raises:
        ConfigError: As `check_moving`.
    """

    def __init__(self, editor: Editor, clock: Callable[[], float] = time.monotonic) -> None:
        check_moving(editor)
        self.editor, self._clock = editor, clock
        self._placing = Placing(editor.crop_config)
        self._box: Box | None = None  # of the face in the last frame
        self._order = threading.Lock()  # of frames
        self._news = threading.Condition()
        self._task: _Task | None = None
        self._done: tuple[EditFields | None, float] | None = None  # with the time of its frame
        self._times: list[float] = []  # of the last edits
        self._anew = self._closed = self._ended = False
        self._thread = threading.Thread(target=self._work, name="live edits", daemon=True)
        self._thread.start()

    def frame(self, pixels: Pixels, wish: Wish) -> LiveFrame:
        """Edit the newest frame; calls come one at a time.

        Args:
            pixels: [H, W, 3] uint8 RGB; not changed, nor to be changed later.
            wish: How to edit; counts from the next edit that is computed.

        Raises:
            DirectionError: An unknown edit.
            StrengthError: A strength beyond its range.
            LiveError: The thread has ended.
        """
        if self._ended:
            raise LiveError("live: it has ended; begin anew")
        self.editor.directions.joined(wish.own).check(wish.strengths)
        with self._order:
            seconds = self._clock()
            placed = self._place(pixels, seconds)
            if placed is None or not wish.edits:
                with self._news:
                    self._task = self._done = None
                return LiveFrame(patch=None, found=placed is not None, behind=0.0, edits_per_second=0.0)
            face, others, to_frame = placed
            with self._news:
                self._task = _Task(
                    pixels=pixels, face=face, others=others, to_frame=to_frame, wish=wish, seconds=seconds,
                    anew=self._anew,
                )  # fmt: skip
                self._news.notify()
                done = self._done
            if done is None or seconds - done[1] > STALE:
                return LiveFrame(patch=None, found=True, behind=0.0, edits_per_second=self._rate(seconds))
            fields, then = done
            patch = None if fields is None else paint(pixels, to_frame, fields)
            return LiveFrame(
                patch=patch, found=True, behind=seconds - then, edits_per_second=self._rate(seconds)
            )

    def close(self) -> None:
        """End the thread; frames that come later are refused."""
        with self._news:
            self._closed = True
            self._task = self._done = None
            self._news.notify()
        self._thread.join()

    def _place(self, pixels: Pixels, seconds: float) -> tuple[Face, tuple[Face, ...], Matrix] | None:
        """The face that was edited before, or the largest; None where there is none to be edited."""
        faces = self.editor.detector.detect(pixels, small_faces=False)
        usable = [face for face in faces if abs(face.yaw) < MAX_YAW]
        before = self._box
        same = [face for face in usable if before is not None and same_face(before, Box(*face.box))]
        if not usable:
            self._box = None
            return None
        face = (same or usable)[0]
        if not same:
            self._placing.forget()
            with self._news:
                self._anew, self._done = True, None
        self._box = Box(*face.box)
        others = tuple(other for other in faces if other is not face)
        return face, others, self._placing(face, seconds)

    def _rate(self, seconds: float) -> float:
        with self._news:
            lately = [time for time in self._times if seconds - time < 1.0]
        return float(len(lately))

    def _work(self) -> None:
        try:
            moving = MovingFace(self.editor, parse_every=PARSE_EVERY, hold=HOLD)
            while (task := self._next()) is not None:
                if task.anew:
                    moving.forget()
                seen = look(self.editor, task.pixels, task.face, task.to_frame, "w")
                fields = moving.fields(seen, task.others, task.wish.strengths, task.seconds, task.wish.own)
                with self._news:
                    if not self._anew:  # the face has not gone meanwhile
                        self._done = (fields, task.seconds)
                        self._times = [*self._times[-60:], self._clock()]
        finally:
            self._ended = True

    def _next(self) -> _Task | None:
        """The newest frame, when there is one; None at the end."""
        with self._news:
            while self._task is None and not self._closed:
                self._news.wait()
            if self._closed:
                return None
            task, self._task = self._task, None
            if task is not None and task.anew:
                self._anew = False
            return task
