"""Tiny clips, made by PyAV itself, and edits of them that need no model."""

import time
from fractions import Fraction

import av
import numpy as np

from editor.transfer.paint import Patch
from editor.video import run as running
from editor.video.reading import open_clip

MILLI = Fraction(1, 1000)


def picture(number, width, height):
    """[H, W, 3] uint8: soft colours that move, with a bright square."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    red = 120 + 60 * np.sin((x + 3 * number) / 17)
    green = 110 + 50 * np.cos((y - 2 * number) / 13)
    pixels = np.dstack([red, green, (red + green) / 2])
    pixels[8:20, 8 + number : 20 + number] = 230
    return pixels.clip(0, 255).astype(np.uint8)


def write_clip(
    path,
    pts=range(0, 400, 40),
    *,
    time_base=MILLI,
    size=(96, 64),
    codec="libx264",
    pixel_format="yuv420p",
    sound=(),
    options=None,
    tags=None,
    prepare=lambda out, stream: None,
    container_options=None,
    pictures=picture,
):
    """Write a clip; `sound` names audio codecs, of a track each, as long as the clip."""
    pts = list(pts)
    width, height = size
    with av.open(str(path), "w", container_options=container_options or {}) as out:
        scale = {
            "video_track_timescale": str(time_base.denominator),
            "movie_timescale": str(time_base.denominator),
        }
        if out.format.name in ("mp4", "mov"):
            out.container_options.update(scale)
        stream = out.add_stream(codec, rate=25, time_base=time_base, options={"crf": "10", **(options or {})})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        tracks = [out.add_stream(name, rate=48000) for name in sound]
        prepare(out, stream)
        for number, time in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(pictures(number, width, height))
            matrix = (tags or {}).get("colorspace", 2)
            frame = frame.reformat(
                format=pixel_format,
                dst_colorspace={1: 1, 9: 9}.get(matrix, 5),
                dst_color_range=(tags or {}).get("color_range", 1) or 1,
            )
            frame.pts, frame.time_base = time, time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for number, track in enumerate(tracks):
            rng = np.random.default_rng(number)
            for _ in range(round(float((pts[-1] + 40) * time_base) * 50)):
                wave = rng.normal(0, 3000, (1, 2 * 960)).astype(np.int16)
                heard = av.AudioFrame.from_ndarray(wave, format="s16", layout="stereo")
                heard.sample_rate = 48000
                out.mux(track.encode(heard))
            out.mux(track.encode(None))
    return path


def shown(path):
    """Times in seconds, exact, and planes of all frames, as PyAV decodes them."""
    with av.open(str(path)) as clip:
        frames = list(clip.decode(video=0))
        times = [frame.pts * frame.time_base for frame in frames]
        planes = [[np.array(memoryview(plane)) for plane in frame.planes] for frame in frames]
    return times, planes


def packets(path, kind="audio"):
    """(track, time in seconds, bytes) of all packets of a kind of stream, in order of track and time."""
    with av.open(str(path)) as clip:
        streams = [stream for stream in clip.streams if stream.type == kind]
        order = {stream.index: number for number, stream in enumerate(streams)}
        found = [
            (order[packet.stream.index], packet.pts * packet.time_base, bytes(packet))
            for packet in clip.demux(streams)
            if packet.size
        ]
    return sorted(found, key=lambda each: each[:2])


class Inverts:
    """Turns part of every frame to its negative, by more with every frame; says so of its state."""

    def __init__(self, box=(9, 11, 30, 20), *, every=1):
        self.box, self.every, self.count, self.seen = box, every, 0, []

    def patches(self, pixels, seconds):
        self.seen.append(seconds)
        self.count += 1
        if self.count % self.every:
            return []
        left, top, width, height = self.box
        part = pixels[top : top + height, left : left + width].astype(np.int16)
        changed = part + (128 - part) * (self.count % 7) // 7
        return [Patch(left, top, changed.astype(np.uint8))]

    def remember(self):
        return {"count": self.count}

    def recall(self, state):
        self.count = state["count"]


def edit_slowly(path, out, segment):
    """Work for a second process: a clip with a pause after every frame."""
    running.SEGMENT_SECONDS = segment
    running.run_video(
        Inverts(), open_clip(path), out, settings={}, note="edited", tell=lambda progress: time.sleep(0.02)
    )
