"""Who opens the page while the app starts."""

import os
import signal
import subprocess
import sys

import pytest

from tests.helpers.browser_visitor import CHROMIUM, PATIENCE
from tests.helpers.running_app import ROOT, free_port

pytestmark = [
    pytest.mark.browser,
    pytest.mark.weights,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium on this machine"),
]


def test_the_page_says_that_the_app_starts_and_becomes_the_app_by_itself(chromium, tmp_path):
    port = free_port()
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path / "uploads")}
    command = [sys.executable, "app.py", "--port", str(port), "--engine", "torch"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as app:
        try:
            context = chromium.new_context()
            page = context.new_page()
            errors = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            for _ in range(200):
                try:
                    page.goto(f"http://127.0.0.1:{port}/")
                    break
                except Exception:  # noqa: BLE001 (Chromium's, where nobody listens yet)
                    page.wait_for_timeout(20)
            assert page.title() == "Live face editor"
            words = page.locator("#status").text_content()
            assert words in ("Starting.", "Opening the model.", "Building the page."), words
            page.wait_for_function("window.facePump?.version >= 0", timeout=PATIENCE * 1000)
            assert page.locator("#slider-smile").count() == 1
            assert errors == []
            context.close()
        finally:
            app.send_signal(signal.SIGTERM)
            said, _ = app.communicate(timeout=PATIENCE)
        assert app.returncode == 0
        assert "Traceback" not in said
