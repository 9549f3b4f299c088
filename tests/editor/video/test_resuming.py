"""Runs that are broken off, and go on."""

import multiprocessing
import signal
import time
from fractions import Fraction

import numpy as np
import pytest

from editor.errors import VideoError
from editor.video import run as running
from editor.video.reading import open_clip
from editor.video.run import parts_folder, run_video
from tests.helpers.clips import Inverts, edit_slowly, packets, shown, write_clip


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """Three segments of 11 frames, the last shorter."""
    monkeypatch.setattr(running, "SEGMENT_SECONDS", Fraction(11, 25))
    return open_clip(write_clip(tmp_path / "a.mp4", range(0, 1200, 40), sound=("aac",)))


def go(clip, name, edits=None, *, settings=(), **more):
    out = clip.path.with_name(name)
    report = run_video(edits or Inverts(), clip, out, settings=dict(settings), note="edited", **more)
    return out, report


def same(a, b):
    assert shown(a)[0] == shown(b)[0]
    for old, new in zip(shown(a)[1], shown(b)[1], strict=True):
        for before, after in zip(old, new, strict=True):
            np.testing.assert_array_equal(before, after)
    assert packets(a) == packets(b)


def stop_at(frame):
    def tell(progress):
        if progress.frame == frame:
            raise KeyboardInterrupt

    return tell


@pytest.mark.parametrize("frame", [1, 11, 12, 13, 25, 30])
def test_a_run_that_goes_on_makes_the_same_clip(clip, frame):
    whole, report = go(clip, "whole.mp4")
    assert (report.frames, report.before) == (30, 0)
    with pytest.raises(KeyboardInterrupt):
        go(clip, "parts.mp4", tell=stop_at(frame))
    assert not clip.path.with_name("parts.mp4").exists()
    edits = Inverts()
    parts, rest = go(clip, "parts.mp4", edits)
    same(whole, parts)
    assert rest.before == 11 * ((frame - 1) // 11)  # a segment ends with the first frame of the next
    # Nothing is done twice: only frames of the segment that was not whole.
    assert len(edits.seen) == 30 - rest.before
    assert rest.changed == report.changed
    assert not parts_folder(parts).exists()


def test_it_may_be_broken_off_again_and_again(clip):
    whole, _ = go(clip, "whole.mp4")
    for frame in (5, 14, 20, 28, 30):
        with pytest.raises(KeyboardInterrupt):
            go(clip, "parts.mp4", tell=stop_at(frame))
    same(whole, go(clip, "parts.mp4")[0])


def test_it_goes_on_after_half_a_line_and_half_a_segment(clip):
    whole, _ = go(clip, "whole.mp4")
    out = clip.path.with_name("parts.mp4")
    with pytest.raises(KeyboardInterrupt):
        go(clip, "parts.mp4", tell=stop_at(25))
    folder = parts_folder(out)
    journal = folder / "video-0.jsonl"
    journal.write_text(journal.read_text() + '{"name": "0000')
    second = folder / "000001.nut"
    second.write_bytes(second.read_bytes()[:-50])
    parts, rest = go(clip, "parts.mp4")
    assert rest.before == 11
    same(whole, parts)


@pytest.mark.parametrize(("lost", "before"), [(("000001.json",), 11), (("000000.json", "000001.json"), 0)])
def test_it_goes_on_from_the_last_state_that_is_there(clip, lost, before):
    whole, _ = go(clip, "whole.mp4")
    out = clip.path.with_name("parts.mp4")
    with pytest.raises(KeyboardInterrupt):
        go(clip, "parts.mp4", tell=stop_at(25))
    for name in lost:
        (parts_folder(out) / name).unlink()
    parts, rest = go(clip, "parts.mp4")
    assert rest.before == before
    same(whole, parts)


def test_states_do_not_pile_up(clip):
    with pytest.raises(KeyboardInterrupt):
        go(clip, "parts.mp4", tell=stop_at(30))
    folder = parts_folder(clip.path.with_name("parts.mp4"))
    assert sorted(each.name for each in folder.glob("0*.json")) == ["000000.json", "000001.json"]


def test_it_goes_on_when_only_the_joining_was_left(clip, monkeypatch):
    whole, _ = go(clip, "whole.mp4")

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "join", killed)
        with pytest.raises(KeyboardInterrupt):
            go(clip, "parts.mp4")
    edits = Inverts()
    parts, rest = go(clip, "parts.mp4", edits)
    assert (edits.seen, rest.before) == ([], 30)
    same(whole, parts)


def test_a_process_that_is_killed_leaves_nothing_but_its_parts(clip):
    whole, _ = go(clip, "whole.mp4")
    out = clip.path.with_name("parts.mp4")
    # Not forked: threads of PyAV and OpenCV would be missing in the child.
    process = multiprocessing.get_context("spawn").Process(
        target=edit_slowly, args=(clip.path, out, running.SEGMENT_SECONDS)
    )
    process.start()
    journal = parts_folder(out) / "video-0.jsonl"
    while process.is_alive() and not (journal.is_file() and journal.read_bytes()):
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not out.exists()
    parts, rest = go(clip, "parts.mp4")
    assert rest.before in (11, 22)
    same(whole, parts)
    assert not list(out.parent.glob(".*.partial"))


def test_parts_are_of_one_work(clip, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        go(clip, "parts.mp4", settings={"strengths": {"smile": 1.0}}, tell=stop_at(15))
    with pytest.raises(VideoError, match=r"other settings \(strengths\); name another --out, or delete"):
        go(clip, "parts.mp4", settings={"strengths": {"smile": 2.0}})
    with pytest.raises(VideoError, match=r"other settings \(crf\)"):
        go(clip, "parts.mp4", settings={"strengths": {"smile": 1.0}}, crf=20)
    other = open_clip(write_clip(tmp_path / "b.mp4", range(0, 1200, 40), size=(64, 64)))
    with pytest.raises(VideoError, match=r"other settings \(clip\)"):
        go(other, "parts.mp4", settings={"strengths": {"smile": 1.0}})
    go(clip, "parts.mp4", settings={"strengths": {"smile": 1.0}})


def test_progress_counts_frames_and_tells_what_is_left(clip):
    told = []
    with pytest.raises(KeyboardInterrupt):
        go(clip, "parts.mp4", tell=stop_at(15))
    go(clip, "parts.mp4", tell=told.append)
    assert [each.frame for each in told] == list(range(12, 31))
    assert {each.frames for each in told} == {30}
    assert told[-1].left == 0
    assert all(each.left == pytest.approx((30 - each.frame) / each.per_second) for each in told)


def test_frames_are_counted(clip):
    _, report = go(clip, "out.mp4", Inverts(every=3))
    assert (report.frames, report.changed) == (30, 10)
    assert report.per_second == pytest.approx(30 / report.seconds)


def test_an_earlier_result_is_replaced_when_the_new_one_is_whole(clip):
    out = clip.path.with_name("out.mp4")
    out.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        go(clip, "out.mp4", tell=stop_at(29))
    assert out.read_bytes() == b"before"
    go(clip, "out.mp4")
    assert len(shown(out)[0]) == 30
