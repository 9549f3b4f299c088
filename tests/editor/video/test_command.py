import json
import os
import signal
import sys
import types
from contextlib import nullcontext

import pytest

from editor.__main__ import main
from editor.video import __main__ as command
from inversion.directions.bank import DirectionBank
from stylegan2 import GeneratorConfig
from tests.helpers.clips import Inverts, shown, write_clip


class FakeEditor:
    """What the command asks of an editor, without a model."""

    sha256 = "0" * 64
    generator = types.SimpleNamespace(config=GeneratorConfig(img_resolution=32))

    def __init__(self, directions):
        self.directions, self.detector = directions, nullcontext()

    def prepare(self):
        pass

    wait = prepare


@pytest.fixture
def moving(monkeypatch, tiny_directions):
    """Stands in for the model; gathers what the command asks for."""
    asked = []

    def moving_edit(editor, strengths, *, every_face=False, space="w"):
        asked.append((dict(strengths), every_face, space))
        return Inverts()

    module = types.ModuleType("editor.motion.moving")
    module.MovingEdit = moving_edit
    monkeypatch.setitem(sys.modules, "editor.motion.moving", module)
    monkeypatch.setattr(command, "open_editor", lambda model, **how: FakeEditor(tiny_directions))
    assert isinstance(tiny_directions, DirectionBank)
    return asked


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "a.mp4", sound=("aac",))


def video(clip, *flags, out="out.mp4"):
    return main(["video", str(clip), "--set", "smile=1", "--out", str(clip.with_name(out)), *flags])


def test_a_clip_is_edited(clip, moving, capsys):
    assert video(clip) == 0
    assert len(shown(clip.with_name("out.mp4"))[0]) == 10
    assert moving == [({"smile": 1.0}, False, "w")]
    assert "10 frames, 10 of them edited" in capsys.readouterr().out


def test_what_happened_is_told_as_json(clip, moving, capsys):
    assert video(clip, "--json", "--every-face", "--space", "f", "--set", "age=-1") == 0
    assert moving == [({"smile": 1.0, "age": -1.0}, True, "f")]
    told = json.loads(capsys.readouterr().out)
    assert told.pop("seconds") > 0
    assert told.pop("frames_per_second") > 0
    assert told == {
        "out": str(clip.with_name("out.mp4")),
        "frames": 10,
        "frames_with_face": 10,
        "frames_done_before": 0,
        "notes": [],
    }


def test_the_clip_says_that_it_was_edited(clip, moving):
    import av

    assert video(clip) == 0
    with av.open(str(clip.with_name("out.mp4"))) as out:
        assert out.metadata["comment"] == "Video edited with a generative model: smile +1"


@pytest.mark.parametrize(
    ("flags", "out", "said"),
    [
        (("--crf", "52"), "out.mp4", "--crf: 52; must be from 0 to 51"),
        ((), "out.avi", "must end in one of .mp4"),
        ((), "a.mp4", "is the clip itself"),
        (("--set", "nothing=1"), "out.mp4", "nothing"),
        (("--set", "age=99"), "out.mp4", "99"),
        (("--set", "age"), "out.mp4", "NAME=NUMBER"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(clip, moving, capsys, flags, out, said):
    before = clip.read_bytes()
    assert video(clip, *flags, out=out) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1
    assert clip.read_bytes() == before
    assert [each.name for each in clip.parent.iterdir()] == ["a.mp4"]


def test_clips_that_cannot_be_edited_are_exit_code_2(tmp_path, moving, capsys):
    assert video(tmp_path / "none.mp4") == 2
    assert "no such file" in capsys.readouterr().err
    assert main(["video", str(write_clip(tmp_path / "a.mp4"))]) == 2
    assert "--out: missing" in capsys.readouterr().err
    assert moving == []


@pytest.fixture
def interruptible():
    """As shells start programs; the app, which other tests end in this process, ignores SIGINT at its end."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_says_how_it_goes_on(clip, moving, monkeypatch, capsys, number, code):
    def stop(progress):
        if progress.frame == 5:
            os.kill(os.getpid(), number)

    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        patch.setattr(command, "show_progress", stop)
        assert video(clip) == code
    assert "the same command goes on" in capsys.readouterr().err
    assert sorted(each.name for each in clip.parent.iterdir()) == ["a.mp4", "out.mp4.parts"]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert video(clip) == 0
    assert sorted(each.name for each in clip.parent.iterdir()) == ["a.mp4", "out.mp4"]


def test_other_strengths_do_not_go_on_with_it(clip, moving, monkeypatch, capsys):
    def stop(progress):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "show_progress", stop)
        assert video(clip) == 130
    capsys.readouterr()
    assert video(clip, "--set", "age=1") == 2
    assert "other settings (strengths)" in capsys.readouterr().err


def test_a_terminal_shows_how_far_it_is(clip, moving, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert video(clip) == 0
    lines = capsys.readouterr().err.split("\r")
    assert len(lines) == 11
    assert lines[-1].startswith("frame 10/10, ")
    assert lines[-1].endswith(" 0:00 left \n")
