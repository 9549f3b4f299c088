"""Clip: a file with moving pictures, looked through and found allowed, and its frames."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from editor.errors import VideoError
from editor.photo.reading import MAX_ASPECT, MIN_SIDE
from editor.video.colours import Colours
from editor.video.turning import orientation_of_matrix

MAX_PIXELS = 16_000_000  # of a frame: "5.3K"; decoder and encoder hold some thirty of them
# Each demuxer is attack surface, and some open other files or addresses.
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
_ALLOWED = "allowed are MP4, MOV, MKV, WebM and AVI"
_READING = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
_MADE_UP = 0x1  # AVFMT_FLAG_GENPTS: invent time stamps that are missing
_MISSING = 1.0  # s that may be missing at the end: headers are not that exact
_STILLS = Disposition.attached_pic | Disposition.timed_thumbnails


@dataclass(frozen=True, eq=False)
class TimedFrame:
    """A frame in the format that is edited."""

    frame: VideoFrame
    pts: int  # in the clip's time base; later than that of the frame before
    seconds: float


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip that can be edited."""

    path: Path
    called: str
    """What to call it in messages."""
    index: int
    """Of its video stream."""
    width: int
    """px, as it lies in the file."""
    height: int
    matrix: tuple[int, ...] | None
    """How it is to be turned: FFmpeg's display matrix."""
    aspect: Fraction | None
    """Of a pixel, width to height."""
    colours: Colours
    time_base: Fraction
    """s that one unit of time stamps is."""
    rate: Fraction
    """Frames per second, on average."""
    count: int
    """Frames, as the file says."""
    last_duration: int
    """Of the last frame, in the time base."""

    @property
    def orientation(self) -> int:
        """EXIF orientation that turns its frames upright, 1..8."""
        return orientation_of_matrix(self.matrix)

    def frames(self) -> Iterator[TimedFrame]:
        """Its frames, in the order in which they are shown, each with a time stamp of its own.

        A frame without a time stamp, or with one that is not later than the last, is shown one usual duration
        after it.

        Raises:
            VideoError: It is damaged, or changes its kind on the way.
        """
        last, seconds = None, 0.0
        with open_container(self.path, self.called) as container:
            usual = max(1, round(1 / (self.rate * self.time_base)))
            try:
                for frame in container.decode(_stream_of(container, self.index)):
                    pts = frame.pts
                    if pts is None or (last is not None and pts <= last):
                        pts = 0 if last is None else last + usual
                    last, seconds = pts, float(pts * self.time_base)
                    self.check(frame, seconds)
                    yield TimedFrame(self._prepared(frame, pts), pts, seconds)
            except av.FFmpegError as error:
                raise VideoError(
                    f"{self.called} is damaged: it cannot be decoded after {seconds:.2f} s ({error.strerror})"
                ) from error

    def _prepared(self, frame: VideoFrame, pts: int) -> VideoFrame:
        prepared = self.colours.prepared(frame)
        prepared.pts, prepared.time_base = pts, self.time_base
        prepared.pict_type = 0  # the encoder would follow the decoder's choice of key frames
        return prepared

    def check(self, frame: VideoFrame, seconds: float) -> None:
        """Raise `VideoError` unless a decoded frame, shown at `seconds`, is of the clip's kind."""
        found = (frame.width, frame.height, frame.format.name)
        if found != (self.width, self.height, self.colours.source):
            raise VideoError(
                f"{self.called} changes at {seconds:.2f} s to {found[0]}x{found[1]} px {found[2]}; it began "
                f"as {self.width}x{self.height} px {self.colours.source}, and has to stay so"
            )
        if frame.interlaced_frame:
            raise VideoError(
                f"{self.called} is interlaced (at {seconds:.2f} s); only whole frames are edited: "
                "deinterlace it first"
            )


def open_clip(path: str | Path) -> Clip:
    """Look through a file: all its packets are read, and its first frame is decoded.

    Args:
        path: Of an MP4, MOV, MKV, WebM or AVI file.

    Raises:
        VideoError: There is no such file, it is of another kind, has no moving picture or an interlaced one,
            is damaged or cut off, or its frames are too small, too narrow or too large.
    """
    path = Path(path)
    called = f"clip '{path.name or path}'"
    _check_file(path, called)
    with open_container(path, called) as container, decoding(called):
        stream = _moving_picture(container, called)
        _check_size(called, stream)
        times, durations = _survey(container, stream, called)
        index, aspect = stream.index, stream.sample_aspect_ratio
        time_base, rate = stream.time_base, stream.average_rate
    if time_base is None or not time_base:
        raise VideoError(f"{called} has no unit of time; it is damaged")
    with open_container(path, called) as container, decoding(called):
        first = next(container.decode(_stream_of(container, index)), None)
    if first is None:
        raise VideoError(f"{called} has no frame that can be decoded")
    usual = _usual(times)
    matrix: Any = first.side_data.get("DISPLAYMATRIX")
    clip = Clip(
        path=path,
        called=called,
        index=index,
        width=first.width,
        height=first.height,
        matrix=None if matrix is None else tuple(np.frombuffer(matrix, np.int32).tolist()),
        aspect=aspect or None,
        colours=Colours(first, called),
        time_base=time_base,
        rate=rate if rate else 1 / (usual * time_base),
        count=len(times),
        last_duration=durations[max(times)] or usual if times else usual,
    )
    clip.check(first, 0.0)
    return clip


@contextmanager
def open_container(path: Path, called: str) -> Iterator[InputContainer]:
    """Open a clip's file.

    Raises:
        VideoError: It is of no allowed kind, or its header is damaged.
    """
    try:
        # Absolute, so that no name is taken for an address.
        container = av.open(str(path.absolute()), options=_READING, metadata_errors="replace")
    except av.FFmpegError as error:
        found = f"it begins as no clip does, or is damaged or cut off ({error.strerror})"
        raise VideoError(f"{called} cannot be opened: {found}; {_ALLOWED}") from error
    with container:
        # What FFmpeg makes up for stamps that are missing has the wrong order.
        container.flags &= ~_MADE_UP
        yield container


@contextmanager
def decoding(called: str) -> Iterator[None]:
    """Turn what FFmpeg says of damaged data into a `VideoError`."""
    try:
        yield
    except av.FFmpegError as error:
        raise VideoError(f"{called} is damaged: it cannot be decoded ({error.strerror})") from error


def _check_file(path: Path, called: str) -> None:
    if "\0" in str(path):  # the system functions raise a bare ValueError
        raise VideoError(f"{called}: no such file")
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        raise VideoError(f"{called}: no such file") from error
    except OSError as error:
        raise VideoError(f"{called} cannot be opened ({error.strerror})") from error
    if not stat.S_ISREG(found.st_mode):  # a pipe or a device could block or never end
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise VideoError(f"{called} is {kind}; {_ALLOWED}")
    if not found.st_size:
        raise VideoError(f"{called} is empty (0 bytes); {_ALLOWED}")


def _moving_picture(container: InputContainer, called: str) -> VideoStream:
    """The first video stream that is no cover or thumbnail."""
    for stream in container.streams.video:
        if not stream.disposition & _STILLS:
            if stream.codec_context is None:
                raise VideoError(f"{called} has a picture of a codec that cannot be decoded here")
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise VideoError(f"{called} has no moving picture (found: {kinds})")


def _stream_of(container: InputContainer, index: int) -> VideoStream:
    return next(stream for stream in container.streams.video if stream.index == index)


def _check_size(called: str, stream: VideoStream) -> None:
    width, height = stream.width, stream.height
    found = f"{called} is {width}x{height} px"
    if width * height > MAX_PIXELS:
        limit = f"at most {MAX_PIXELS / 1e6:g} megapixels are allowed"
        raise VideoError(f"{found}, {width * height / 1e6:.1f} megapixels a frame; {limit}")
    if min(width, height) < MIN_SIDE:
        raise VideoError(f"{found}; both sides must be at least {MIN_SIDE} px")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise VideoError(f"{found}; the longer side may be at most {MAX_ASPECT} times the shorter")


def _survey(container: InputContainer, stream: VideoStream, called: str) -> tuple[list[int], dict[int, int]]:
    """Time stamps of the packets that are shown, sorted, and what these say of their durations."""
    durations: dict[int, int] = {}
    count, end = 0, 0.0
    for packet in container.demux():
        time = packet.dts if packet.pts is None else packet.pts
        if not packet.size or packet.is_discard:
            continue
        if packet.stream_index == stream.index:
            count += 1
            durations[count if time is None else time] = packet.duration or 0
        if time is not None:
            end = max(end, float((time + (packet.duration or 0)) * packet.time_base))
    there, size = container.size, _reach(container)
    if size > there:
        raise VideoError(f"{called} is cut off: of the {size} bytes that it says it has, {there} are there")
    whole = (container.duration or 0) / 1e6
    if not count:
        raise VideoError(f"{called} has no frames")
    if end < whole - _MISSING:
        raise VideoError(
            f"{called} is cut off: it says that it has {whole:.1f} s, and ends after {end:.1f} s"
        )
    return sorted(durations), durations


def _reach(container: InputContainer) -> int:
    """Bytes up to the end of the last sample that the file's index names."""
    entries = (entry for stream in container.streams for entry in stream.index_entries)
    return max((entry.pos + entry.size for entry in entries), default=0)


def _usual(times: list[int]) -> int:
    """The middle one of the gaps between time stamps."""
    gaps = sorted(b - a for a, b in pairwise(times))
    return gaps[len(gaps) // 2] if gaps else 1
