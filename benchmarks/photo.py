"""Edits on the photo itself: a frame against the model's own picture, and a large photo from file to file.

`python -m benchmarks.photo` prints medians of calls that take turns, and of a 24-megapixel JPEG the time and
the memory above rest, in a process of its own.
"""

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.machine import describe
from editor.photo_editing import encode, start
from editor.photo_session import PhotoSession
from editor.pipeline import Editor, open_editor
from inversion.chain.steps import FeatureSynthesis
from inversion.directions.bank import DirectionBank
from inversion.networks.checkpoint import load_refiners
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from stylegan2.engines.live import LiveEngine
from stylegan2.image import to_uint8

ASTRONAUT = Path(__file__).parents[1] / "editor/ui/assets/astronaut.jpg"
LARGE = (4240, 5660)  # px: 24 megapixels
CROP = 512  # px
EDIT = "--edit"  # be the process that edits the large photo


class _FeaturePixels(FeatureSynthesis):
    """F alone, as a frame was before edits were painted onto the photo."""

    def forward(self, ws_hat: torch.Tensor, code: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return to_uint8(super().forward(ws_hat, code, a))


def large_photo(folder: Path) -> Path:
    """The example portrait, enlarged, with grain, and more around it."""
    pixels = cv2.imread(str(ASTRONAUT))
    width, height = LARGE
    large = cv2.resize(pixels, (width, width), interpolation=cv2.INTER_CUBIC)
    large = cv2.copyMakeBorder(large, 0, height - width, 0, 0, cv2.BORDER_REFLECT)
    grain = np.random.default_rng(0).normal(0, 4, (height // 4, width // 4, 1)).astype(np.float32)
    noisy = large + cv2.resize(grain, (width, height))[..., None]
    file = folder / "large.jpg"
    cv2.imwrite(str(file), noisy.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return file


def median_ms(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Times of calls that take turns, in ms."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 3):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if turn >= 3:
                times[name].append((time.perf_counter() - begin) * 1e3)
    return times


def ready_editor() -> Editor:
    """The bundled model by its fastest engines."""
    editor = open_editor(engine="openvino")
    editor.prepare()
    editor.decoder.wait()
    editor.inverter.wait()
    editor.painter.transfer.wait()
    return editor


def frames(rounds: int) -> None:
    """Compare frames."""
    editor = ready_editor()
    photo = editor.open_photo(ASTRONAUT)
    large = cv2.resize(photo.pixels, (1000, 1000), interpolation=cv2.INTER_CUBIC)
    view = editor.open_photo(large)
    opened = start(editor, view)
    session = editor.edit(opened.session, {"smile": 1.0})
    crop = cv2.resize(session.ground.parsed, (CROP, CROP), interpolation=cv2.INTER_CUBIC)
    bundle = load_bundle(DEFAULT_BUNDLE)
    assert bundle.refiners_path is not None
    assert session.inversion.f is not None
    refiners = load_refiners(bundle.refiners_path).fold_attention()
    f = session.inversion.f
    example = (f.ws.contiguous(), f.code, f.a)
    alone = LiveEngine(
        _FeaturePixels(editor.decoder.renderer.synthesis, refiners).eval(), example, engine="openvino"
    )

    everywhere = DirectionBank({name: replace(edit, zones={}) for name, edit in editor.directions.items()})

    def before() -> object:
        ws_hat = everywhere.apply(f.ws, session.strengths).contiguous()
        return alone(ws_hat, f.code, f.a)[0].numpy()

    times = median_ms(
        {
            "before: the model's picture in F, 128 px": before,
            f"the edited {CROP} px crop": lambda: editor.edit_crop(session, crop),
            "the edited part of a 1-megapixel view": lambda: editor.painter.on_photo(view, session),
        },
        rounds,
    )
    base = statistics.median(next(iter(times.values())))
    for name, values in times.items():
        low, *_, high = sorted(values)
        median = statistics.median(values)
        print(f"{name:45s} {median:6.1f} ms ({low:.1f} to {high:.1f})  {median / base:.2f} x")


def edit_large(file: str) -> None:
    """Edit one photo from file to file, and print time and memory above rest."""
    editor = ready_editor()
    small = editor.open_photo(ASTRONAUT)
    encode(editor, start(editor, small))  # what the first call pays for
    rest, begin = _resident("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    photo = editor.open_photo(file)
    found = time.perf_counter()
    session = editor.edit(editor.invert(photo), {"smile": 1.0, "age": 1.0})
    inverted = time.perf_counter()
    data, _ = encode(editor, PhotoSession(photo=photo, sessions={1: session}))
    done = time.perf_counter()
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (photo.width, photo.height)
    print(
        f"{photo.width * photo.height / 1e6:.0f} megapixels, face of {photo.faces[0].face.size:.0f} px: "
        f"{done - begin:.2f} s (read and find {found - begin:.2f}, invert {inverted - found:.2f}, "
        f"edit and write {done - inverted:.2f}), {_resident('VmHWM') - rest:.0f} MB above rest"
    )


def _resident(name: str) -> float:
    """A line of this process's memory, in MB."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument(EDIT, metavar="FILE", help="edit one photo, and say what that took")
    args = parser.parse_args()
    if args.edit:
        edit_large(args.edit)
        return
    print(f"machine: {describe()}")
    frames(args.rounds)
    with tempfile.TemporaryDirectory() as folder:
        file = large_photo(Path(folder))
        for _ in range(3):
            subprocess.run([sys.executable, "-m", "benchmarks.photo", EDIT, str(file)], check=True)


if __name__ == "__main__":
    main()
