"""Sound and subtitles of a clip: copied as they are where the new file can hold them."""

from __future__ import annotations  # PyAV's packets are generic to mypy alone

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from editor.video.reading import decoding
from editor.video.tags import kept_tags

_AAC_BITS, _AAC_RATE = 192_000, 48_000  # per second, of sound that has to be encoded anew


@dataclass(frozen=True, eq=False)
class Track:
    """A track that goes along."""

    source: Stream
    target: Stream
    encoder: AudioStream | None = None  # `target`, where the sound is encoded anew; else packets are copied


def add_tracks(
    source: InputContainer, picture: int, target: OutputContainer
) -> tuple[list[Track], list[str]]:
    """Make room in a file for what a clip has besides its picture.

    Args:
        source: The clip.
        picture: Index of the stream that is edited.
        target: The file; its picture has a stream already, and nothing is written yet.

    Returns:
        The tracks that go along, and a sentence for each that does not, or does in another form. Other
        pictures do not: covers and thumbnails show the face as it was.
    """
    tracks, notes = [], []
    for stream in source.streams:
        if stream.index == picture:
            continue
        name = f"{stream.type} track {stream.index} ({_codec(stream)})"
        track = _copy(stream, target) if stream.type in ("audio", "subtitle") else None
        if track is None and isinstance(stream, AudioStream) and stream.codec_context is not None:
            track = _encoding(stream, target)
            notes.append(f"{name} was encoded anew, as AAC: {target.format.name} does not hold it")
        if track is None:
            notes.append(f"{name} was left out")
            continue
        track.target.metadata.update(kept_tags(stream.metadata))
        track.target.disposition = stream.disposition
        tracks.append(track)
    return tracks, notes


def track_packets(source: InputContainer, tracks: Sequence[Track], called: str) -> Iterator[Packet[Any]]:
    """Their packets, in the order of the clip.

    Args:
        source: The clip.
        tracks: Of `add_tracks`.
        called: What to call the clip in a message.

    Raises:
        VideoError: The clip is damaged there.
    """
    by_index = {track.source.index: track for track in tracks}
    if not tracks:
        return
    with decoding(called):
        for packet in source.demux([track.source for track in tracks]):
            track = by_index[packet.stream.index]  # those that flush decoders lack the number itself
            if track.encoder is not None:
                frames: list[Any] = packet.decode()
                for frame in frames:
                    yield from track.encoder.encode(frame)
            elif packet.size:
                if packet.dts is None:
                    packet.dts = packet.pts
                packet.stream = track.target
                yield packet
        for track in tracks:
            if track.encoder is not None:
                yield from track.encoder.encode(None)


def _codec(stream: Stream) -> str:
    return "unknown" if stream.codec_context is None else stream.codec_context.name


def _copy(stream: Stream, target: OutputContainer) -> Track | None:
    try:
        return Track(stream, target.add_stream_from_template(stream))
    except ValueError:  # such a file holds no such codec
        return None


def _encoding(stream: AudioStream, target: OutputContainer) -> Track:
    made = target.add_stream("aac", rate=_AAC_RATE)
    # By name: some files only say how many channels there are.
    made.codec_context.layout = "mono" if stream.layout.nb_channels == 1 else "stereo"
    made.codec_context.bit_rate = _AAC_BITS
    return Track(stream, made, made)
