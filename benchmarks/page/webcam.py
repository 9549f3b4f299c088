"""Rate and delay of the live camera: `python -m benchmarks.page.webcam`.

Starts the app, opens it in headless Chromium with a fake camera of 640 x 480 px, 30 frames a second, that a
moving portrait stands before, moves a slider to its end, and measures in the page: pictures a second, the
delay from a frame's capture until it is painted with the edit in it, edits a second, and how far these are
behind. The browser takes its share of the same cores.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.machine import describe
from benchmarks.page.live import FLAGS, free_port, wait_for

PORTRAIT = Path(__file__).parents[2] / "editor/ui/assets/astronaut.jpg"
FAKE = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]

WATCH = """
async (seconds) => {
  const pump = window.facePump, seen = [];
  const first = pump.liveFrames, begin = performance.now(), until = begin + 1000 * seconds;
  let last = first;
  while (performance.now() < until) {
    await new Promise(requestAnimationFrame);
    if (pump.liveFrames === last) continue;
    last = pump.liveFrames;
    seen.push([pump.live.last, pump.live.behind, pump.live.rate, pump.live.took]);
  }
  return { seen, rate: (1000 * (pump.liveFrames - first)) / (performance.now() - begin) };
}
"""


def write_film(file: Path) -> None:
    """A portrait that sways and nears, four seconds at 30 frames a second, as motion JPEG."""
    portrait = cv2.resize(cv2.imread(str(PORTRAIT)), (1100, 1100), interpolation=cv2.INTER_CUBIC)
    with file.open("wb") as out:
        for k in range(120):
            t = 2 * np.pi * k / 120
            move = cv2.getRotationMatrix2D((480, 230), 4 * np.sin(t), 0.9 + 0.06 * np.sin(t))
            move[:, 2] += (320 - 480 + 40 * np.sin(t), 240 - 230 + 15 * np.sin(2 * t))
            frame = cv2.warpAffine(portrait, move, (640, 480), borderMode=cv2.BORDER_REFLECT)
            out.write(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())


def measure(page: Page, seconds: float) -> dict[str, float]:
    """Numbers of so many seconds of live pictures."""
    found = page.evaluate(WATCH, seconds)
    delays, behind, edits, took = (list(values) for values in zip(*found["seen"], strict=True))
    third = len(delays) // 3
    return {
        "pictures_per_s": round(found["rate"], 1),
        "delay_ms": round(statistics.median(delays), 1),
        "delay_p90_ms": round(sorted(delays)[int(len(delays) * 0.9)], 1),
        "delay_first_third_ms": round(statistics.median(delays[:third]), 1),
        "delay_last_third_ms": round(statistics.median(delays[-third:]), 1),
        "edits_per_s": round(statistics.mean(edits), 1),
        "edit_behind_ms": round(statistics.median(behind), 1),
        "server_ms": round(statistics.median(took), 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--edit", default="smile", help="the slider that is moved")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    print(f"machine: {describe()}")
    url = f"http://127.0.0.1:{(port := free_port())}"
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mjpeg"
        write_film(film)
        app = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], stdout=subprocess.DEVNULL)
        try:
            wait_for(url, 120)
            with sync_playwright() as play:
                flags = [*FLAGS, *FAKE, f"--use-file-for-fake-video-capture={film}"]
                browser = play.chromium.launch(executable_path=args.chromium, args=flags)
                page = browser.new_context(permissions=["camera"]).new_page()
                page.goto(url)
                page.wait_for_selector("#stage .stage[data-ready=true]")
                slider = page.locator(f"#slider-{args.edit} input[type=range]")
                for key in ("Home", "End") * 60:  # the fast engine may still be on its way
                    slider.focus()
                    page.keyboard.press(key)
                    time.sleep(0.5)
                    if "OpenVINO" in page.inner_text("#stage .timing") and key == "End":
                        break
                page.click("#source .go-live")
                page.wait_for_function("facePump.live?.rate > 0")
                measure(page, 4)
                summary = measure(page, args.seconds)
                browser.close()
        finally:
            app.terminate()
            app.wait()
    lines = [f"{key}: {value}" for key, value in summary.items()]
    print(json.dumps(summary) if args.json else "\n".join(lines))


if __name__ == "__main__":
    main()
