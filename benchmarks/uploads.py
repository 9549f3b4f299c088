"""What the largest pictures that are taken cost to read: `python -m benchmarks.uploads`.

Every picture is read in a process of its own: time, and resident memory above what the process had before.
"""

import argparse
import io
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import describe
from editor.photo.reading import COSTLY_PIXELS, MAX_PIXELS, load_photo

TIME_BAR, MEMORY_BAR = 2.0, 600.0  # seconds, MB
RUNS = 3


def _noise(pixels: int, mode: str) -> Image.Image:
    side = int(pixels**0.5)
    tile = np.random.default_rng(0).integers(0, 256, (256, 256, 4), np.uint8)
    times = -(-side // 256)
    whole = np.tile(tile, (times, times, 1))[:side, :side]
    if mode == "I;16":
        return Image.fromarray(np.ascontiguousarray(whole).view(np.uint16)[..., 0])
    return Image.fromarray(whole, "RGBA").convert(mode)


def _plain(pixels: int, mode: str) -> Image.Image:
    side = int(pixels**0.5)
    return Image.new(mode, (side, side))


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


PICTURES: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: _encoded(_noise(MAX_PIXELS, "RGB"), "JPEG", quality=60),
    "JPEG, progressive": lambda: _encoded(_noise(MAX_PIXELS, "RGB"), "JPEG", quality=60, progressive=True),
    "JPEG, CMYK": lambda: _encoded(_noise(MAX_PIXELS, "CMYK"), "JPEG", quality=60),
    "PNG": lambda: _encoded(_plain(MAX_PIXELS, "RGB"), "PNG", compress_level=1),
    "PNG with alpha": lambda: _encoded(_plain(MAX_PIXELS, "RGBA"), "PNG", compress_level=1),
    "PNG, 16-bit grey": lambda: _encoded(_noise(MAX_PIXELS, "I;16"), "PNG", compress_level=1),
    "BMP": lambda: _encoded(_plain(MAX_PIXELS, "RGB"), "BMP"),
    "TIFF, 32-bit float": lambda: _encoded(_plain(MAX_PIXELS, "F"), "TIFF"),
    "WebP": lambda: _encoded(_plain(COSTLY_PIXELS, "RGB"), "WEBP", quality=10, method=0),
    "WebP with alpha": lambda: _encoded(_plain(COSTLY_PIXELS, "RGBA"), "WEBP", quality=10, method=0),
    "GIF": lambda: _encoded(_plain(COSTLY_PIXELS, "P"), "GIF"),
}


def _measure(data: bytes, end: Connection) -> None:
    # What the process was given counts as rest; the peak of reading comes on top, counted from here on.
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = _memory("VmRSS")
    start = time.perf_counter()
    pixels = load_photo(data)
    seconds = time.perf_counter() - start
    end.send((pixels.shape, seconds, _memory("VmHWM") - before))


def _memory(name: str) -> float:
    """Resident memory now (VmRSS) or at most (VmHWM), MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(name))


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(prog="python -m benchmarks.uploads", description=__doc__).parse_args()
    print(f"{describe()}; bars: {TIME_BAR:g} s, {MEMORY_BAR:g} MB; median of {RUNS}")
    fresh = multiprocessing.get_context("spawn")
    for name, make in PICTURES.items():
        data, times, memory = make(), [], []
        for _ in range(RUNS):
            here, there = fresh.Pipe()
            process = fresh.Process(target=_measure, args=(data, there))
            process.start()
            shape, seconds, megabytes = here.recv()
            process.join()
            times.append(seconds)
            memory.append(megabytes)
        took, held = statistics.median(times), max(memory)
        bad = " over the bar" if took > TIME_BAR or held > MEMORY_BAR else ""
        size = f"{shape[0]}x{shape[1]}, {len(data) / 1e6:.1f} MB"
        print(f"{name:20} {size:22} {took:5.2f} s {held:6.0f} MB{bad}")


if __name__ == "__main__":
    main()
