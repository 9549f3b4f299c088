"""What a clip is after a run: its times, tags, sound and samples."""

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from editor.errors import VideoError
from editor.photo.reading import upright
from editor.video.reading import open_clip
from editor.video.run import edit_frame, run_video
from editor.video.tags import kept_tags
from editor.video.tracks import Track, track_packets
from tests.helpers.clips import MILLI, Inverts, packets, shown, write_clip

NOTE = "Video edited with a generative model: smile +1"


def edited(file, name="out.mp4", edits=None, **more):
    out = file.with_name(name)
    report = run_video(edits or Inverts(), open_clip(file), out, settings={}, note=NOTE, **more)
    return out, report


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.M4V"])
@pytest.mark.parametrize(
    ("time_base", "pts"),
    [
        (MILLI, [0, 40, 41, 300, 1000, 6000, 6001, 9000]),
        (Fraction(1, 90000), [7, 3000, 3003, 90001, 500000, 500001]),
        (Fraction(1001, 30000), [3, 4, 6, 20, 200, 201, 500]),
    ],
)
def test_every_frame_keeps_its_time(tmp_path, name, time_base, pts):
    file = write_clip(tmp_path / "a.mp4", pts, time_base=time_base, options={"bf": "0"})
    out, report = edited(file, name)
    assert shown(out)[0] == [time * time_base for time in pts]
    assert report.frames == len(pts)
    with av.open(str(file)) as before, av.open(str(out)) as after:
        old, new = before.streams.video[0], after.streams.video[0]
        assert new.time_base.denominator == old.time_base.denominator
        # The last frame is shown as long as it was.
        assert new.duration * new.time_base == old.duration * old.time_base


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.webm"])
def test_clips_in_other_containers_keep_theirs(tmp_path, name):
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    base = Fraction(1, 25) if name == "a.avi" else MILLI
    file = write_clip(tmp_path / name, range(6), time_base=base, codec=codec)
    wanted = [frame.pts * base for frame in open_clip(file).frames()]
    assert shown(edited(file)[0])[0] == wanted


@pytest.mark.parametrize(
    "tags",
    [
        {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1},
        {"colorspace": 6, "color_range": 2, "color_primaries": 6, "color_trc": 6},
        {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": 14},
        {},
    ],
)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p10le"])
def test_colour_tags_and_the_shape_of_pixels_are_kept(tmp_path, tags, pixel_format):
    file = write_clip(
        tmp_path / "a.mp4",
        [0, 40],
        pixel_format=pixel_format,
        tags={**tags, "sample_aspect_ratio": Fraction(4, 3)},
    )
    out, _ = edited(file)
    with av.open(str(file)) as before, av.open(str(out)) as after:
        old, new = before.streams.video[0], after.streams.video[0]
        for name in ("colorspace", "color_range", "color_primaries", "color_trc", "pix_fmt"):
            assert getattr(new.codec_context, name) == getattr(old.codec_context, name)
        for name, value in tags.items():
            assert getattr(new.codec_context, name) == value
        assert new.sample_aspect_ratio == old.sample_aspect_ratio == Fraction(4, 3)
        assert new.codec_context.name == "h264"


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_a_turned_clip_stays_turned_and_is_edited_upright(tmp_path, degrees, mirrored):
    file = write_clip(
        tmp_path / "a.mp4",
        [0, 40],
        prepare=lambda out, stream: stream.set_display_rotation(degrees, hflip=mirrored),
    )
    clip = open_clip(file)
    box = (5, 3, 20, 10)
    out, _ = edited(file, edits=Inverts(box), crf=1)
    assert open_clip(out).matrix == clip.matrix
    before, after = next(clip.frames()), next(open_clip(out).frames())
    moved = np.abs(
        clip.colours.rgb(after.frame).astype(np.int16) - clip.colours.rgb(before.frame).astype(np.int16)
    )
    where = upright((moved.max(2) > 4).astype(np.uint8)[..., None], clip.orientation)[..., 0]
    y, x = np.nonzero(where)
    # Chroma of a sample more on each side may move along.
    assert box[0] - 2 <= x.min()
    assert x.max() < box[0] + box[2] + 2
    assert box[1] - 2 <= y.min()
    assert y.max() < box[1] + box[3] + 2
    assert where[3:13, 5:25].mean() > 0.25  # a seventh of the way to the negative, and grey has none


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuv420p10le"])
def test_samples_outside_the_patches_are_the_clips_own(tmp_path, pixel_format):
    clip = open_clip(write_clip(tmp_path / "a.mp4", pixel_format=pixel_format))
    edits = Inverts((9, 11, 30, 20))
    plain = [[plane.copy() for plane in clip.colours.planes(timed.frame)] for timed in clip.frames()]
    for timed, before in zip(clip.frames(), plain, strict=True):
        edit_frame(edits, clip, timed)
        for number, (old, new) in enumerate(zip(before, clip.colours.planes(timed.frame), strict=True)):
            across = clip.colours.coding.across if number else 1
            down = clip.colours.coding.down if number else 1
            inside = np.zeros(old.shape, bool)
            inside[11 // down : -(-31 // down), 9 // across : -(-39 // across)] = True
            np.testing.assert_array_equal(old[~inside], new[~inside])
            if not number and edits.count % 7:
                assert (old != new)[inside].any()


def test_patches_that_overlap_are_laid_over_each_other(tmp_path):
    class Two(Inverts):
        def patches(self, pixels, seconds):
            (first,) = super().patches(pixels, seconds)
            onto = pixels.copy()
            first.put(onto)
            second = onto[15:40, 20:60]
            self.wanted = onto
            self.wanted[15:40, 20:60] = 255 - second
            return [first, type(first)(20, 15, self.wanted[15:40, 20:60].copy())]

    clip = open_clip(write_clip(tmp_path / "a.mp4", pixel_format="yuv444p"))
    for timed in clip.frames():
        edits = Two((9, 11, 30, 20))
        edit_frame(edits, clip, timed)
        found = clip.colours.rgb(timed.frame).astype(np.int16)
        assert np.abs(found - edits.wanted)[11:40, 9:60].mean() < 3


def test_frames_without_a_patch_go_through_as_they_are(tmp_path):
    class Nothing(Inverts):
        def patches(self, pixels, seconds):
            return []

    file = write_clip(tmp_path / "a.mp4")
    out, report = edited(file, edits=Nothing(), crf=0)  # lossless
    for old, new in zip(shown(file)[1], shown(out)[1], strict=True):
        for a, b in zip(old, new, strict=True):
            np.testing.assert_array_equal(a, b)
    assert report.changed == 0
    assert report.notes == ("no frame was changed",)


def test_quality_is_chosen(tmp_path):
    file = write_clip(tmp_path / "a.mp4")
    sizes = [edited(file, f"{crf}.mp4", crf=crf)[0].stat().st_size for crf in (10, 30)]
    assert sizes[0] > sizes[1]


@pytest.mark.parametrize(
    ("name", "sound"),
    [("a.mp4", ("aac",)), ("a.mp4", ("aac", "libmp3lame")), ("a.mkv", ("libopus", "aac"))],
)
def test_sound_is_copied_byte_for_byte(tmp_path, name, sound):
    def say(out, stream):
        for track, language in zip(out.streams.audio, ("deu", "fra", "ita"), strict=False):
            track.metadata["language"] = language

    file = write_clip(tmp_path / name, range(0, 1000, 40), sound=sound, prepare=say)
    out, report = edited(file)
    old, new = packets(file), packets(out)
    assert [data for _, _, data in new] == [data for _, _, data in old]
    assert len(old) > 20 * len(sound)
    rate = 48000 if name == "a.mp4" else 1000  # Matroska counts in milliseconds
    for (track, before, _), (same, after, _) in zip(old, new, strict=True):
        assert track == same
        assert abs(before - after) <= Fraction(1, rate) * (name != "a.mp4")
    with av.open(str(out)) as clip:
        assert [track.codec_context.name for track in clip.streams.audio] == [
            {"libmp3lame": "mp3float", "libopus": "opus"}.get(each, each) for each in sound
        ]
        assert [track.language for track in clip.streams.audio] == ["deu", "fra", "ita"][: len(sound)]
    assert report.notes == ()


def test_sound_that_the_file_cannot_hold_is_encoded_anew_and_it_is_said(tmp_path):
    file = write_clip(tmp_path / "a.avi", range(25), time_base=Fraction(1, 25), sound=("pcm_mulaw",))
    out, report = edited(file)
    seconds = []
    for path, codec in ((file, "pcm_mulaw"), (out, "aac")):
        with av.open(str(path)) as clip:
            assert clip.streams.audio[0].codec_context.name == codec
            seconds.append(sum(frame.samples for frame in clip.decode(audio=0)) / 48000)
    assert seconds[1] == pytest.approx(seconds[0], abs=2048 / 48000)
    assert report.notes == ("audio track 1 (pcm_mulaw) was encoded anew, as AAC: mp4 does not hold it",)


def test_damaged_sound_is_the_clips_fault():
    def demux(streams):
        raise av.error.InvalidDataError(1094995529, "Invalid data")

    track = Track(SimpleNamespace(index=1), SimpleNamespace(index=1))
    with pytest.raises(VideoError, match=r"clip 'a\.mkv' is damaged"):
        list(track_packets(SimpleNamespace(demux=demux), [track], "clip 'a.mkv'"))


def test_covers_and_other_pictures_go_for_they_show_the_face(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream, extra = out.add_stream("libx264", rate=25), out.add_stream("mjpeg", rate=1)
        stream.width, stream.height = 96, 64
        extra.width, extra.height, extra.pix_fmt = 64, 64, "yuvj420p"
        extra.disposition = av.stream.Disposition.attached_pic
        grey = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 99, np.uint8)).reformat(format="yuv420p")
        for packet in (*stream.encode(grey), *stream.encode(None)):
            out.mux(packet)
        out.mux(extra.encode(grey.reformat(width=64, format="yuvj420p")))
    file = tmp_path / "a.mp4"
    with av.open(str(file)) as clip:
        assert len(clip.streams.video) == 2
    out, report = edited(file)
    with av.open(str(out)) as clip:
        assert [stream.type for stream in clip.streams] == ["video"]
    assert report.notes == ("video track 1 (mjpeg) was left out",)


def test_title_date_place_and_camera_stay_and_the_edit_is_said(tmp_path):
    said = {
        "title": "A walk",
        "date": "2024-05-06",
        "location": "+47.0000+008.0000/",
        "com.apple.quicktime.model": "Phone 9",
        "comment": "by the lake",
    }

    def say(out, stream):
        out.metadata.update({**said, "creation_time": "2024-05-06T07:08:09.000000Z"})

    file = write_clip(tmp_path / "a.mp4", prepare=say, container_options={"movflags": "+use_metadata_tags"})
    for name in ("out.mp4", "out.mov"):
        with av.open(str(edited(file, name)[0])) as clip:
            for key, value in said.items():
                assert clip.metadata[key] == (f"by the lake; {NOTE}" if key == "comment" else value)
            assert clip.metadata["creation_time"].startswith("2024-05-06T07:08:09")


def test_a_comment_is_added_to_or_made():
    assert kept_tags({"COMMENT": "x", "encoder": "y", "Rotate": "90"}, "z") == {"comment": "x; z"}
    assert kept_tags({"location-eng": "here", "major_brand-eng": "b"}, "z") == {
        "location-eng": "here",
        "comment": "z",
    }
    assert kept_tags({"comment": "x"}) == {"comment": "x"}


def test_chapters_stay(tmp_path):
    chapters = [{"id": 1, "start": 0, "end": 200, "time_base": MILLI, "metadata": {"title": "One"}}]
    file = write_clip(tmp_path / "a.mkv", prepare=lambda out, stream: out.set_chapters(chapters))
    with av.open(str(edited(file)[0])) as clip:
        (chapter,) = clip.chapters()
    assert chapter["metadata"]["title"] == "One"
    assert chapter["end"] * chapter["time_base"] == Fraction(1, 5)


def test_segments_begin_at_key_frames_and_only_they(tmp_path):
    out, _ = edited(write_clip(tmp_path / "a.mp4", range(0, 10000, 100)))
    with av.open(str(out)) as clip:
        stream = clip.streams.video[0]
        keys = [float(p.pts * p.time_base) for p in clip.demux(stream) if p.size and p.is_keyframe]
    assert keys == pytest.approx([0, 4, 8])


def test_what_cannot_be_written_is_said(tmp_path):
    file = write_clip(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match=r"out\.gif: ends in '\.gif'; allowed are \.mp4"):
        edited(file, "out.gif")
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(VideoError, match=r"out\.mp4"):
        edited(file)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.mp4", "out.mp4", "out.mp4.parts"]
