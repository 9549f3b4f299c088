from fractions import Fraction

import av
import numpy as np
import pytest

from editor.errors import VideoError
from editor.video import reading
from editor.video.reading import open_clip
from tests.editor.video.test_planes import coded
from tests.helpers.clips import MILLI, picture, write_clip

TAGS = {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}


@pytest.mark.parametrize(
    ("time_base", "pts"),
    [
        (MILLI, [0, 40, 41, 300, 1000]),
        (Fraction(1, 90000), [7, 3000, 3003, 90001]),
        (Fraction(1001, 30000), [3, 4, 6, 20]),
    ],
)
def test_every_frame_comes_at_its_own_time(tmp_path, time_base, pts):
    clip = open_clip(write_clip(tmp_path / "a.mp4", pts, time_base=time_base))
    frames = list(clip.frames())
    assert [frame.pts * clip.time_base for frame in frames] == [time * time_base for time in pts]
    assert [frame.seconds for frame in frames] == [float(time * time_base) for time in pts]
    assert clip.count == len(pts)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_containers_say_the_same(tmp_path, name):
    clip = open_clip(write_clip(tmp_path / name, tags=TAGS))
    assert (clip.width, clip.height, clip.orientation, clip.matrix) == (96, 64, 1, None)
    tags = clip.colours.tags
    assert (tags.matrix, tags.range, tags.primaries, tags.transfer) == (1, 1, 1, 1)
    assert [frame.pts * clip.time_base for frame in clip.frames()] == [Fraction(i, 25) for i in range(10)]


def test_webm_is_read(tmp_path):
    clip = open_clip(write_clip(tmp_path / "a.webm", [0, 40, 95], codec="libvpx-vp9"))
    assert [frame.seconds for frame in clip.frames()] == [0.0, 0.04, 0.095]


def test_frames_without_time_stamps_follow_each_other(tmp_path):
    """An AVI file has none, and with B frames FFmpeg's own are not even in order."""
    file = write_clip(tmp_path / "a.avi", range(8), time_base=Fraction(1, 25))
    with av.open(str(file)) as plain:
        made_up = [frame.pts for frame in plain.decode(video=0)]
    assert made_up != sorted(made_up)
    assert [frame.seconds for frame in open_clip(file).frames()] == [number / 25 for number in range(8)]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_pixels_are_those_that_the_samples_stand_for(tmp_path, matrix, full, pixel_format):
    clip = open_clip(
        write_clip(
            tmp_path / "a.mp4",
            [0, 40],
            pixel_format=pixel_format,
            tags={**TAGS, "colorspace": matrix, "color_range": 2 if full else 1},
            pictures=lambda number, width, height: np.full((height, width, 3), (200, 90, 40), np.uint8),
        )
    )
    frame = next(clip.frames()).frame
    planes = clip.colours.planes(frame)
    assert clip.colours.coding.full is full
    pixels = clip.colours.rgb(frame)
    assert pixels.shape == (64, 96, 3)
    found = [float(plane.mean()) for plane in planes]
    step = 2 ** (clip.colours.coding.bits - 8)
    wanted = coded(pixels, clip.colours.coding)[32, 48]
    assert np.abs(np.array(found) - wanted).max() <= 1.5 * step
    assert np.abs(pixels[32, 48].astype(int) - (200, 90, 40)).max() <= 4


def test_where_nothing_is_said_the_size_tells_the_matrix(tmp_path):
    small = open_clip(write_clip(tmp_path / "a.mp4", [0]))
    large = open_clip(write_clip(tmp_path / "b.mp4", [0], size=(1280, 720)))
    assert small.colours.tags.matrix == large.colours.tags.matrix == 2
    assert small.colours.coding.k_r == 0.299
    assert large.colours.coding.k_r == 0.2126


@pytest.mark.parametrize(
    ("name", "codec", "came", "wanted", "size"),
    [
        ("a.mp4", "libx264", "yuv422p10le", "yuv422p10le", (96, 64)),
        ("a.mkv", "ffv1", "yuv411p", "yuv444p", (96, 64)),
        ("a.mkv", "ffv1", "gray", "yuv420p", (96, 64)),
        ("a.mkv", "ffv1", "yuv420p12le", "yuv420p10le", (96, 64)),
        ("a.mkv", "ffv1", "bgra", "yuv444p", (96, 64)),
        ("a.mkv", "ffv1", "yuv420p", "yuv444p", (95, 63)),
        ("a.avi", "mjpeg", "yuvj422p", "yuvj422p", (96, 64)),
    ],
)
def test_other_formats_are_kept_or_converted_and_it_is_said(tmp_path, name, codec, came, wanted, size):
    file = write_clip(
        tmp_path / name,
        range(3),
        time_base=Fraction(1, 25),
        codec=codec,
        pixel_format=came,
        size=size,
    )
    clip = open_clip(file)
    assert (clip.colours.source, clip.colours.format) == (came, wanted)
    frame = next(clip.frames()).frame
    assert frame.format.name == wanted
    assert wanted in clip.colours.note
    assert ("converted" in clip.colours.note) == (came != wanted)
    drawn = picture(0, *size).astype(int)
    drawn = drawn if came != "gray" else (drawn @ (0.299, 0.587, 0.114))[..., None]
    assert np.abs(clip.colours.rgb(frame) - drawn).mean() < 6


def test_frames_are_not_forced_to_be_key_frames_again(tmp_path):
    clip = open_clip(write_clip(tmp_path / "a.mp4", options={"g": "2"}))
    assert {frame.frame.pict_type for frame in clip.frames()} == {0}


def check(path, text):
    with pytest.raises(VideoError, match=text):
        list(open_clip(path).frames())


def test_what_is_no_clip_is_refused_by_name(tmp_path):
    check(tmp_path / "none.mp4", "clip 'none.mp4': no such file")
    check(tmp_path / "a\0.mp4", "no such file")
    check(tmp_path, "is a folder; allowed are MP4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    check(tmp_path / "empty.mp4", r"is empty \(0 bytes\)")
    (tmp_path / "text.mp4").write_text("no clip at all\n" * 100)
    check(tmp_path / "text.mp4", "cannot be opened.*allowed are MP4")


def test_a_list_that_names_other_files_is_not_followed(tmp_path):
    inner = write_clip(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_text(f"ffconcat version 1.0\nfile '{inner}'\n")
    check(tmp_path / "b.mp4", "cannot be opened")
    (tmp_path / "c.mp4").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{inner}\n#EXT-X-ENDLIST\n"
    )
    check(tmp_path / "c.mp4", "cannot be opened")


def test_sound_alone_is_no_clip(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        track = out.add_stream("aac", rate=48000)
        heard = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), format="fltp", layout="stereo")
        heard.sample_rate = 48000
        out.mux(track.encode(heard))
        out.mux(track.encode(None))
    check(tmp_path / "a.mp4", r"has no moving picture \(found: audio\)")


def test_a_clip_without_frames_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream, track = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=48000)
        stream.width, stream.height = 96, 64
        heard = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), format="fltp", layout="stereo")
        heard.sample_rate = 48000
        out.mux(track.encode(heard))
        out.mux(track.encode(None))
    check(tmp_path / "a.mkv", "has no frames")
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        out.add_stream("libx264", rate=25)
        out.start_encoding()
    check(tmp_path / "a.mp4", r"no moving picture \(found: nothing\)")


def test_interlaced_clips_are_refused(tmp_path):
    check(write_clip(tmp_path / "a.mp4", options={"x264-params": "tff=1"}), "is interlaced.*deinterlace")


def test_sizes_are_bounded(tmp_path, monkeypatch):
    check(write_clip(tmp_path / "a.mp4", size=(64, 16)), "64x16 px; both sides must be at least 32 px")
    check(write_clip(tmp_path / "b.mp4", size=(320, 32)), "at most 8 times the shorter")
    monkeypatch.setattr(reading, "MAX_PIXELS", 6000)
    check(write_clip(tmp_path / "c.mp4"), "96x64 px, 0.0 megapixels a frame; at most 0.006 megapixels")


@pytest.mark.parametrize(("name", "flags"), [("a.mp4", "+faststart"), ("a.mp4", ""), ("a.mkv", "")])
def test_what_is_cut_off_is_refused(tmp_path, name, flags):
    options = {"movflags": flags} if flags else {}
    file = write_clip(tmp_path / name, range(0, 4000, 40), container_options=options)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    check(file, "cut off")


def test_what_cannot_be_decoded_is_said_with_its_place(tmp_path):
    file = write_clip(tmp_path / "a.mkv", codec="ffv1")
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = b"\xff" * 200
    file.write_bytes(data)
    check(file, r"is damaged: it cannot be decoded after 0\.\d\d s")


def test_a_clip_that_changes_its_size_is_refused(tmp_path):
    small = write_clip(tmp_path / "s.mkv", codec="mjpeg", pixel_format="yuvj420p")
    large = write_clip(tmp_path / "l.mkv", codec="mjpeg", pixel_format="yuvj420p", size=(128, 64))
    with av.open(str(small)) as a, av.open(str(large)) as b, av.open(str(tmp_path / "x.mkv"), "w") as out:
        stream = out.add_stream_from_template(a.streams.video[0], opaque=True)
        for shift, part in ((0, a), (400, b)):
            for packet in part.demux(video=0):
                if packet.size:
                    packet.pts = packet.dts = packet.pts + shift
                    packet.stream = stream
                    out.mux(packet)
    check(tmp_path / "x.mkv", "changes at .* s to 128x64 px")
