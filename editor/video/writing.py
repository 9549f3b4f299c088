"""Segments of a clip, each encoded by itself, and the clip that they are joined to."""

from __future__ import annotations  # PyAV's packets are generic to mypy alone

import heapq
import io
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.video.frame import VideoFrame

from editor.errors import VideoError
from editor.video.reading import Clip, open_container
from editor.video.tags import kept_tags
from editor.video.tracks import add_tracks, track_packets
from stylegan2.aside import written_aside

SUFFIXES = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}  # how a clip may end that is written -> its muxer
# Leaves half the flicker of a still face with a camera's grain, and most of the grain: benchmarks/video.
CRF = 14
MAX_CRF = 51
_FORMAT = "nut"  # of a segment: has any unit of time
_THREADS = 4  # as many everywhere: x264's choices depend on it
_OPTIONS = {
    "bf": "0",
    "g": str(2**31 - 1),  # frames between key frames, at most: a segment has one, at its start
    # The macroblock tree reads memory that nobody wrote: what was encoded before in the process, in other
    # segments, changes what becomes of the same frames. Without it nothing looks ahead.
    "mbtree": "0",
    "rc-lookahead": "0",
}


class SegmentEncoder:
    """Frames -> the bytes of a segment: H.264, beginning with a key frame, in the clip's unit of time.

    Without frames that look ahead (B frames) every packet is decoded when it is shown, so that segments can
    be set one after the other; and still parts are copied from frame to frame.

    Args:
        clip: That the frames are of.
        crf: x264's constant rate factor: 0 is lossless at 8 bits, 51 worst.
    """

    def __init__(self, clip: Clip, crf: int) -> None:
        self._file = io.BytesIO()
        self._out = av.open(self._file, "w", format=_FORMAT)
        rate = clip.rate.limit_denominator(1001)
        stream = self._out.add_stream("libx264", rate=rate, time_base=clip.time_base)
        stream.options.update({**_OPTIONS, "crf": str(crf)})
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = clip.width, clip.height, clip.colours.format
        if clip.aspect is not None:
            context.sample_aspect_ratio = clip.aspect
        tags = clip.colours.tags
        context.colorspace, context.color_range = tags.matrix, tags.range
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        # Of itself PyAV has x264 cut every frame into slices, one for each core.
        context.thread_type, context.thread_count = "FRAME", _THREADS
        self._stream = stream

    def add(self, frame: VideoFrame) -> None:
        """Encode the next frame."""
        self._out.mux(self._stream.encode(frame))

    def finish(self) -> bytes:
        """The segment."""
        self._out.mux(self._stream.encode(None))
        self._out.close()
        return self._file.getvalue()


def join(clip: Clip, segments: Sequence[Path], out: Path, kind: str, note: str) -> list[str]:
    """Write a clip of encoded segments, with the sound and the tags of the clip that they were made of.

    Args:
        clip: That the frames are of.
        segments: Files that `SegmentEncoder` made, in order.
        out: File to write; it is written beside its place, and appears when it is whole.
        kind: A value of `SUFFIXES`.
        note: What was done to the picture, in one line; goes into the clip's comment.

    Returns:
        What of the clip is not in the file, or is there in another form, a sentence each.

    Raises:
        VideoError: The file cannot be written, or a segment or the clip's sound cannot be read.
    """
    scale = str(clip.time_base.denominator)
    options = {
        "movflags": "+faststart+use_metadata_tags",  # the second keeps tags by any name: camera, place
        "video_track_timescale": scale,
        "movie_timescale": scale,  # of the time at which the first frame is shown
    }
    try:
        with (
            written_aside(out, shared=True) as partial,
            open_container(clip.path, clip.called) as source,
            av.open(str(segments[0]), format=_FORMAT) as first,
            av.open(str(partial), "w", format=kind, container_options=options) as target,
        ):
            target.metadata.update(kept_tags(source.metadata, note))
            picture = target.add_stream_from_template(first.streams.video[0], opaque=True)
            picture.metadata.update(kept_tags(source.streams[clip.index].metadata))
            picture.set_display_matrix(clip.matrix)
            extradata = first.streams.video[0].codec_context.extradata
            tracks, notes = add_tracks(source, clip.index, target)
            if chapters := source.chapters():
                target.set_chapters(chapters)
            with closing(_packets(clip, segments, extradata)) as packets:
                own = _of_stream(packets, picture)
                for packet in heapq.merge(own, track_packets(source, tracks, clip.called), key=_seconds):
                    target.mux(packet)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{out.name} cannot be written ({error.strerror})") from error
    return notes


def _packets(
    clip: Clip, segments: Iterable[Path], extradata: bytes | None
) -> Generator[Packet[Any], None, None]:
    """The packets of all segments, each with the time until the next."""
    waiting: Packet[Any] | None = None
    for segment in segments:
        with av.open(str(segment), format=_FORMAT) as part:
            stream = part.streams.video[0]
            if stream.codec_context.extradata != extradata:
                raise VideoError(f"{segment.name}: was encoded otherwise than the first; begin anew")
            for packet in part.demux(stream):
                if not packet.size:
                    continue
                if waiting is not None:
                    waiting.duration = _in_units(packet, waiting.time_base) - (waiting.pts or 0)
                    yield waiting
                packet.dts, waiting = packet.pts, packet
    if waiting is not None:
        waiting.duration = round(clip.last_duration * clip.time_base / waiting.time_base)
        yield waiting


def _in_units(packet: Packet[Any], time_base: Fraction) -> int:
    return round((packet.pts or 0) * packet.time_base / time_base)


def _of_stream(packets: Iterable[Packet[Any]], stream: Any) -> Iterator[Packet[Any]]:  # noqa: ANN401
    for packet in packets:
        packet.stream = stream
        yield packet


def _seconds(packet: Packet[Any]) -> float:
    return float((packet.dts or 0) * packet.time_base)
