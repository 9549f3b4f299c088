"""What a person does in the app, for the tests that drive it in headless Chromium."""

import base64
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FAKE_CAMERA = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]  # shows no face
PATIENCE = 120  # seconds for anything on a busy machine
# Counts the frames asked for at the same time; a reply's headers come before the next question can.
COUNT_UNDER_WAY = """
window.underWay = 0; window.mostUnderWay = 0;
const plain = window.fetch;
window.fetch = async (url, options) => {
  const frame = String(url.url ?? url).includes("component_server")
    && String(options?.body).includes("draw_frame");
  if (frame) window.mostUnderWay = Math.max(window.mostUnderWay, ++window.underWay);
  try { return await plain(url, options); } finally { if (frame) window.underWay -= 1; }
};
"""


def write_film(path, width=640, height=480):
    """What the fake camera shows: a still without a face, dark on its left and bright on its right."""
    luma = bytes([40]) * (width // 2) + bytes([200]) * (width // 2)
    frame = b"FRAME\n" + luma * height + bytes([128]) * (width * height // 2)
    path.write_bytes(f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\n".encode() + 5 * frame)


@contextmanager
def chromium_seeing(film):
    """Chromium, whose camera sees a film."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=str(CHROMIUM),
            args=[*QUIET, *FAKE_CAMERA, f"--use-file-for-fake-video-capture={film}"],
        )
        yield browser
        browser.close()


def wait_until(condition):
    """Poll until `condition` holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def files_in(folder):
    """Names of the files anywhere below a folder."""
    # Unlike rglob, os.walk passes over a folder that the app deletes meanwhile.
    return [name for _, _, names in os.walk(folder) for name in names if "." in name]


class Visitor:
    """One page of the app, in a browser profile of its own."""

    def __init__(self, chromium, url, **options):
        self.context = chromium.new_context(accept_downloads=True, **options)
        self.context.set_default_timeout(PATIENCE * 1e3)
        self.context.add_init_script(COUNT_UNDER_WAY)
        self.outside, self.errors, self.questions = [], [], []
        self.page = self.context.new_page()
        self.page.on("request", self._note)
        self.page.on("console", lambda line: line.type == "error" and self.errors.append(line.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)
        self.page.wait_for_selector('#stage .stage[data-ready="true"]')

    def _note(self, request):
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.outside.append(request.url)
        if "component_server" in request.url and "draw_frame" in (request.post_data or ""):
            self.questions.append(request)

    def status(self, text):
        """Wait for a status line that contains `text`; return all of it."""
        line = self.page.locator("#status p", has_text=text)
        line.wait_for()
        return line.text_content()

    def inspected(self):
        """Wait until what the model makes of the face stands beside the photo."""
        self.page.wait_for_function(
            "document.querySelector('#stage .stage').dataset.inspected === String(facePump.version)"
        )

    def upload(self, file):
        self.page.set_input_files("#photo input[type=file]", file)

    def crop(self):
        """The cropped photo on show, as the address of its picture."""
        return self.page.evaluate("facePump.crop")

    def shown(self):
        """What the edit changes of the photo, as the address of its picture; None without an edit."""
        return self.page.evaluate("facePump.shown")

    def canvas(self, name="edited"):
        """What a canvas of the stage shows, as the address of a picture of it."""
        return self.page.locator(f"#stage canvas.{name}").evaluate("canvas => canvas.toDataURL()")

    def range(self, name="smile"):
        return self.page.locator(f"#slider-{name} input[type=range]")

    def to_end(self, name="smile", *, low=False):
        """Move a slider to an end by key, wait for the picture, and return the strength."""
        self.range(name).focus()
        self.page.keyboard.press("Home" if low else "End")
        strength = float(self.range(name).get_attribute("min" if low else "max"))
        self.settle(strength, name)
        return strength

    def settle(self, strength, name="smile"):
        """Wait until the picture shows this strength, and return its source."""
        self.page.wait_for_function(
            "([name, value]) => facePump.strengths[name] === value && !facePump.busy && !facePump.dirty",
            arg=[name, strength],
        )
        return self.shown()

    def ask_directly(self, strengths):
        """What the server draws for `strengths`, past the page's own pump."""
        last = self.questions[-1]
        question = json.loads(last.post_data)
        question["data"]["strengths"] = strengths
        return self.context.request.post(last.url, data=question).json()["src"]

    def copy(self, png):
        """Put a picture on the clipboard."""
        self.page.evaluate(
            """async (data) => {
              const picture = await (await fetch("data:image/png;base64," + data)).blob();
              await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
            }""",
            base64.b64encode(png).decode(),
        )
