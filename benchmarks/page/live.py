"""How long a slider move takes to reach the screen: `python -m benchmarks.page.live`.

Starts the app, opens it in headless Chromium with a photo of which a view of 1 megapixel is shown, and
measures in the page: from the input event until the photo is painted with the edit in it and the frame after
it begins; then a two-second drag at 60 events a second.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.machine import describe

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

# One move: dispatch an input event, wait until the stage has painted, wait for the next frame.
MEASURE = """
async ([count, drag]) => {
  const range = document.querySelector('#slider-smile input[type=range]');
  const setter = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
  const [low, high] = [Number(range.min), Number(range.max)];
  const move = (share) => { // of the slider's way: beyond its ends nothing moves, and nothing is painted
    setter.call(range, low + share * (high - low));
    range.dispatchEvent(new Event('input', {bubbles: true}));
  };
  const frame = () => new Promise(requestAnimationFrame);
  const pump = window.facePump;
  const rest = () => new Promise((done) => setTimeout(done));
  const painted = async (before) => { while (pump.frames === before) await rest(); };
  const times = [];
  for (let i = 0; i < count; i++) {
    const before = pump.frames, start = performance.now();
    move(((i % 20) + 0.5) / 20);
    await painted(before); await frame();
    times.push(performance.now() - start);
    await new Promise((done) => setTimeout(done, 30));
  }
  const first = pump.frames;
  const begin = performance.now();
  for (let i = 0; i < drag; i++) {
    move(0.5 + 0.4 * Math.sin(i / 10));
    await new Promise((done) => setTimeout(done, 1000 / 60));
  }
  const dragged = performance.now() - begin;
  const last = performance.now();
  const pictures = pump.frames - first;
  while (pump.busy || pump.dirty) await frame();
  return {times, pictures, dragged, settle: performance.now() - last};
}
"""


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, seconds: float) -> None:
    """Return when `url` answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"{url} does not answer within {seconds:.0f} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=60)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    print(f"machine: {describe()}")
    folder = tempfile.TemporaryDirectory()
    file = Path(folder.name) / "photo.jpg"
    with Image.open("editor/ui/assets/astronaut.jpg") as image:
        image.resize((1600, 1600)).save(file, quality=92)
    url = f"http://127.0.0.1:{(port := free_port())}"
    app = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        wait_for(url, 120)
        with sync_playwright() as play:
            page = play.chromium.launch(executable_path=args.chromium, args=FLAGS).new_page()
            page.goto(url)
            page.wait_for_selector("#stage .stage[data-ready=true]")
            page.set_input_files("#photo input[type=file]", str(file))
            page.wait_for_function("document.querySelector('#status').innerText.includes('Found')")
            # The fast engine may still be on its way: its name stands under the picture.
            for _ in range(120):
                page.evaluate(MEASURE, [2, 0])
                if "OpenVINO" in page.inner_text("#stage .timing"):
                    break
                time.sleep(0.5)
            engine = page.inner_text("#stage .timing").split("·")[-1].strip()
            result = page.evaluate(MEASURE, [args.moves, 120])
    finally:
        app.terminate()
        app.wait()
        folder.cleanup()
    times = sorted(result["times"])
    summary = {
        "engine": engine,
        "median_ms": round(times[len(times) // 2], 1),
        "p90_ms": round(times[int(len(times) * 0.9)], 1),
        "drag_pictures_per_s": round(result["pictures"] / result["dragged"] * 1e3, 1),
        "drag_settles_ms": round(result["settle"], 1),
    }
    print(
        json.dumps(summary) if args.json else "\n".join(f"{key}: {value}" for key, value in summary.items())
    )


if __name__ == "__main__":
    main()
