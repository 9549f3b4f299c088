"""run_video: edit a clip, segment by segment, so that a run that was broken off goes on."""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from editor.batch.journal import Journal
from editor.errors import BatchError, VideoError
from editor.photo.reading import turned_back, upright
from editor.video.edits import EditsFrames
from editor.video.planes import paint_planes
from editor.video.reading import Clip, TimedFrame
from editor.video.turning import box_in_file
from editor.video.writing import CRF, SUFFIXES, SegmentEncoder, join
from stylegan2.aside import write_whole
from stylegan2.bundle.checkpoint import file_sha256

SEGMENT_SECONDS = 4  # of the clip; a run that is killed does so much again
SEGMENT_FRAMES = 250  # at most, where there are many frames a second


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    frame: int  # that is done, from 1
    frames: int  # that the clip has, as far as its file says
    per_second: float  # frames of this run
    left: float  # s until all are done, as it goes now


@dataclass(frozen=True)
class VideoReport:
    """How a run went."""

    frames: int  # of the clip
    changed: int  # frames with a face that was edited
    before: int  # frames that an earlier run had done
    seconds: float  # of computing, in this run
    notes: tuple[str, ...]  # what a person should know of the result

    @property
    def per_second(self) -> float:
        """Frames per second of computing, in this run."""
        return (self.frames - self.before) / self.seconds if self.seconds else 0.0


def parts_folder(out: Path) -> Path:
    """Where the segments of a clip lie until it is whole."""
    return out.with_name(f"{out.name}.parts")


def run_video(
    edits: EditsFrames,
    clip: Clip,
    out: Path,
    *,
    settings: Mapping[str, Any],
    note: str,
    crf: int = CRF,
    tell: Callable[[Progress], object] = lambda progress: None,
) -> VideoReport:
    """Edit a clip; it appears whole or not at all.

    Segments are kept in `parts_folder`, with a journal, until the clip is whole. A run that was killed, or
    whose `tell` raised, is gone on with by the same call, and gives the same clip.

    Args:
        edits: Edits the frames.
        clip: To be edited.
        out: File to write; replaced where there is one.
        settings: All that decides what `edits` does, of what JSON has.
        note: What is done, in one line, for the clip's comment.
        crf: x264's constant rate factor.
        tell: Told after every frame.

    Raises:
        VideoError: The clip is damaged, `out` cannot be written, or its parts are of other work.
    """
    kind = SUFFIXES.get(out.suffix.lower())
    if kind is None:
        raise VideoError(
            f"{out.name}: ends in {out.suffix or 'nothing'!r}; allowed are {', '.join(SUFFIXES)}"
        )
    begun = time.perf_counter()
    try:
        work = _Work(edits, clip, parts_folder(out), {**settings, "crf": crf}, crf)
        before, damaged = work.frames, 0
        for number, timed in enumerate(clip.frames()):
            damaged += timed.frame.is_corrupt
            if number < before:
                continue
            work.do(timed)
            took = (time.perf_counter() - begun) / (work.frames - before)
            left = max(0, clip.count - work.frames) * took
            tell(Progress(work.frames, max(clip.count, work.frames), 1 / took, left))
        work.end_segment()
        lost = join(clip, work.segments, out, kind, note)
        shutil.rmtree(work.folder)
    except (BatchError, OSError) as error:
        raise VideoError(str(error)) from error
    notes = [
        clip.colours.note,
        *lost,
        f"{damaged} frames are damaged in the clip, and are as the decoder showed them" if damaged else None,
        None if work.changed else "no frame was changed",
    ]
    seconds = time.perf_counter() - begun
    return VideoReport(work.frames, work.changed, before, seconds, tuple(text for text in notes if text))


class _Work:
    """Segments of a clip: those that an earlier run wrote, and the one that is being encoded."""

    def __init__(
        self, edits: EditsFrames, clip: Clip, folder: Path, settings: Mapping[str, Any], crf: int
    ) -> None:
        self._edits, self._clip, self._crf, self.folder = edits, clip, crf, folder
        told = {"clip": file_sha256(clip.path), "PyAV": av.__version__, **settings}
        self._journal = Journal(
            folder, told, work="video", advice="name another --out, or delete that folder"
        )
        self.segments: list[Path] = []
        self.frames = self.changed = 0
        self._encoder: SegmentEncoder | None = None
        self._began = (0, 0)  # the segment: frames before it, and the time stamp of its first
        known = {entry["name"]: entry for entry in self._journal.entries}  # the last word on each
        whole: list[dict[str, Any]] = []
        while (entry := known.get(_name(len(whole)))) and _is_whole(folder / entry["name"], entry["bytes"]):
            whole.append(entry)
        # What was lost with a machine's power may have been written about: then from further back.
        while whole and not _state(folder, len(whole) - 1).is_file():
            whole.pop()
        if whole:
            self.frames, self.changed = whole[-1]["frames"], whole[-1]["changed"]
            self.segments = [folder / entry["name"] for entry in whole]
            edits.recall(json.loads(_state(folder, len(whole) - 1).read_text(encoding="utf-8")))

    def do(self, timed: TimedFrame) -> None:
        """Edit the next frame and encode it."""
        first, since = self._began
        long = (timed.pts - since) * self._clip.time_base >= SEGMENT_SECONDS
        if long or self.frames - first >= SEGMENT_FRAMES:
            self.end_segment()
        if self._encoder is None:
            self._encoder = SegmentEncoder(self._clip, self._crf)
            self._began = (self.frames, timed.pts)
        self.changed += edit_frame(self._edits, self._clip, timed)
        self._encoder.add(timed.frame)
        self.frames += 1

    def end_segment(self) -> None:
        """Write the segment that is being encoded, if there is one, and then that it is done."""
        if self._encoder is None:
            return
        number, data = len(self.segments), self._encoder.finish()
        file = self.folder / _name(number)
        write_whole(file, data)
        state = json.dumps(self._edits.remember())
        write_whole(_state(self.folder, number), state.encode())
        self._journal.note(
            {"name": file.name, "bytes": len(data), "frames": self.frames, "changed": self.changed}
        )
        _state(self.folder, number - 2).unlink(missing_ok=True)  # large, and the last is enough
        self.segments.append(file)
        self._encoder = None


def _name(number: int) -> str:
    return f"{number:06d}.nut"


def _state(folder: Path, number: int) -> Path:
    """What `EditsFrames.remember` said after a segment."""
    return folder / f"{number:06d}.json"


def _is_whole(segment: Path, size: int) -> bool:
    return segment.is_file() and segment.stat().st_size == size


def edit_frame(edits: EditsFrames, clip: Clip, timed: TimedFrame) -> bool:
    """Edit the samples of a frame in place; all others stay bit for bit.

    Returns:
        Whether anything of it was changed.
    """
    pixels = upright(clip.colours.rgb(timed.frame), clip.orientation)
    patches = edits.patches(pixels, timed.seconds)
    if not patches:
        return False
    planes, shown = clip.colours.planes(timed.frame), pixels.copy()
    back, size = turned_back(clip.orientation), (clip.width, clip.height)
    for patch in patches:
        height, width = patch.pixels.shape[:2]
        before = shown[patch.top : patch.top + height, patch.left : patch.left + width]
        left, top = box_in_file(patch.left, patch.top, width, height, clip.orientation, size)
        paint_planes(
            planes, upright(before, back), upright(patch.pixels, back), left, top, clip.colours.coding
        )
        patch.put(shown)
    return True
