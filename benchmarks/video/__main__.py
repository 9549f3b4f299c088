"""Clips from file to file: how long it takes, and how steady face and background are.

`python -m benchmarks.video` makes two clips of the example portrait, one that moves and one still,
with the grain of a camera; `--clip` measures another in the place of the first. A still face should change
no more than 1.2 times as much from frame to frame as it did before, and nothing outside the patches.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.machine import describe
from benchmarks.photo import ASTRONAUT, ready_editor
from editor.motion.moving import MovingEdit
from editor.photo.colour import Pixels
from editor.recipe import parse_edits
from editor.transfer.paint import Patch
from editor.video.edits import EditsFrames
from editor.video.reading import Clip, open_clip
from editor.video.run import edit_frame, run_video
from editor.video.writing import CRF

WIDTH, HEIGHT, RATE = 640, 480, 25
GRAIN = 2.0  # levels, standard deviation
QUALITY = "10"  # crf: cameras write many bits
SHOWN = 2.0  # levels of change on average over the clip, where an edit shows


class Recorded:
    """Passes on what changes of each frame, and keeps it."""

    def __init__(self, edits: EditsFrames) -> None:
        self._edits = edits
        self.kept: list[Sequence[Patch]] = []

    def patches(self, pixels: Pixels, seconds: float) -> Sequence[Patch]:
        """As the edits say."""
        self.kept.append(self._edits.patches(pixels, seconds))
        return self.kept[-1]

    def remember(self) -> dict[str, Any]:
        """As the edits say."""
        return self._edits.remember()

    def recall(self, state: Mapping[str, Any]) -> None:
        """As the edits say."""
        self._edits.recall(state)


class Repeated:
    """Gives once more what another kept."""

    def __init__(self, kept: Sequence[Sequence[Patch]]) -> None:
        self._left = iter(kept)

    def patches(self, pixels: Pixels, seconds: float) -> Sequence[Patch]:
        """The next."""
        return next(self._left)

    def remember(self) -> dict[str, Any]:
        """Nothing: it is for runs that nobody breaks off."""
        return {}

    def recall(self, state: Mapping[str, Any]) -> None:
        """Nothing."""


def make_clip(file: Path, seconds: float, *, moves: bool) -> None:
    """A clip of the example portrait, moved and scaled smoothly or still, as a camera would encode it."""
    photo = cv2.cvtColor(cv2.imread(str(ASTRONAUT)), cv2.COLOR_BGR2RGB)
    rng = np.random.default_rng(0)
    with av.open(str(file), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"crf": QUALITY})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(round(seconds * RATE)):
            turn = 2 * np.pi * number / (4 * RATE) * moves
            scale = HEIGHT / len(photo) * (1.3 + 0.2 * np.sin(turn))
            x = WIDTH / 2 - scale * (len(photo) / 2 - 30 * np.sin(2 * turn) - 20)
            y = 20 * np.sin(turn)
            place = np.array([[scale, 0, x], [0, scale, y]])
            frame = cv2.warpAffine(photo, place, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
            noisy = frame + rng.normal(0, GRAIN, frame.shape)
            pixels = np.rint(noisy).clip(0, 255).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        out.mux(stream.encode(None))


def luma(file: Path) -> np.ndarray:
    """[T, H, W] float32 of all frames."""
    clip = open_clip(file)
    return np.stack([clip.colours.planes(timed.frame)[0].astype(np.float32) for timed in clip.frames()])


def masks(kept: Sequence[Sequence[Patch]], shape: tuple[int, ...]) -> np.ndarray:
    """[T, H, W] bool: where the patches of each frame are, grown to whole chroma samples."""
    found = np.zeros(shape, bool)
    for frame, patches in zip(found, kept, strict=True):
        for patch in patches:
            height, width = patch.pixels.shape[:2]
            frame[patch.top & ~1 : patch.top + height + 1, patch.left & ~1 : patch.left + width + 1] = True
    return found


def changed_outside(clip: Clip, kept: Sequence[Sequence[Patch]]) -> int:
    """Luma and chroma samples outside the patches that differ before the clip is encoded."""
    again, count = Repeated(kept), 0
    for timed, patches in zip(clip.frames(), kept, strict=True):
        before = [plane.copy() for plane in clip.colours.planes(timed.frame)]
        edit_frame(again, clip, timed)
        inside = masks([patches], (1, *before[0].shape))[0]
        for old, new in zip(before, clip.colours.planes(timed.frame), strict=True):
            step = len(before[0]) // len(old)
            count += int(((old != new) & ~inside[::step, ::step]).sum())
    return count


def change(frames: np.ndarray, where: np.ndarray) -> float:
    """Mean absolute change from frame to frame, in levels, where both frames say so."""
    both = where[1:] & where[:-1]
    return float(np.abs(np.diff(frames, axis=0))[both].mean())


def measure_speed(edits: EditsFrames, file: Path, out: Path, crf: int) -> dict[str, Any]:
    """Edit a clip, and say how long that took."""
    clip = open_clip(file)
    report = run_video(edits, clip, out, settings={}, note="measured", crf=crf)
    return {
        "size": f"{clip.width}x{clip.height}",
        "frames": report.frames,
        "frames with a face": report.changed,
        "s a second of video": round(report.seconds * float(clip.rate) / report.frames, 2),
        "frames a second": round(report.per_second, 1),
        "bytes, of the clip's": round(out.stat().st_size / file.stat().st_size, 2),
    }


def measure_steadiness(file: Path, out: Path, kept: Sequence[Sequence[Patch]], crf: int) -> dict[str, Any]:
    """Paint patches onto a still clip, and compare its changes from frame to frame with those that it had."""
    clip = open_clip(file)
    run_video(Repeated(kept), clip, out, settings={}, note="measured", crf=crf)
    before, after = luma(file), luma(out)
    patch = masks(kept, before.shape)
    # Only where the edit shows, so that what it leaves does not thin the flicker.
    shown = patch & (np.abs((after - before).mean(0)) > SHOWN)
    return {
        "flicker, of the clip's": round(change(after, shown) / change(before, shown), 3),
        "in the whole patch": round(change(after, patch) / change(before, patch), 3),
        "background, of the clip's": round(change(after, ~patch) / change(before, ~patch), 3),
        "samples changed outside the patches": changed_outside(clip, kept),
        "flicker of the clip, levels": round(change(before, shown), 2),
        "bytes, of the clip's": round(out.stat().st_size / file.stat().st_size, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, help="measure the time that this one takes")
    parser.add_argument("--set", action="append", metavar="NAME=STRENGTH", help="default smile=1")
    parser.add_argument("--seconds", type=float, default=4.0, help="of the clips that are made")
    parser.add_argument("--crf", type=int, nargs="+", default=[CRF], help="of x264; several are compared")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    strengths = parse_edits(args.set or ["smile=1"])
    editor = ready_editor()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, editor.detector:
        folder = Path(name)
        moving, still = folder / "moving.mp4", folder / "still.mp4"
        make_clip(moving, args.seconds, moves=True)
        make_clip(still, args.seconds, moves=False)
        edits = MovingEdit(editor, strengths)
        found["moving"] = measure_speed(edits, args.clip or moving, folder / "moving-out.mp4", args.crf[0])
        recorded = Recorded(MovingEdit(editor, strengths))
        found["still"] = measure_speed(recorded, still, folder / "still-out.mp4", args.crf[0])
        for crf in args.crf:
            found[f"still, crf {crf}"] = measure_steadiness(still, folder / f"{crf}.mp4", recorded.kept, crf)
    if args.json:
        print(json.dumps(found))
        return
    print(f"machine: {describe()}, PyAV {av.__version__}")
    for name, values in found.items():
        print(f"{name}: ", ", ".join(f"{key} {value}" for key, value in values.items()))


if __name__ == "__main__":
    main()
