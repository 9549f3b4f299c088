"""The app as a process, for the tests that visit it."""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import app
from tests.helpers.browser_visitor import PATIENCE, files_in, wait_until

ROOT = Path(app.__file__).parent
ASTRONAUT = ROOT / "editor/ui/assets/astronaut.jpg"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def _of_this_run(file):
    """The folder that all tests of a run share: graphs are converted once, by whichever app is first."""
    found = (folder for folder in file.parents if folder.parent.name.startswith("pytest-of-"))
    return next(found, file.parent)


@contextmanager
def running_app(uploads, log, host="127.0.0.1", port=None):
    """Start the app; gives its address on this machine. It must end well, and leave nothing on the disk."""
    port = port or free_port()
    quiet = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    folders = {"GRADIO_TEMP_DIR": str(uploads), "CLCAE_CACHE_DIR": str(_of_this_run(log) / "graphs")}
    environment = {**os.environ, **quiet, **folders}
    command = [sys.executable, "app.py", "--host", host, "--port", str(port), "--engine", "openvino"]
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        wait_until(lambda: "Running on" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        status = process.wait(PATIENCE)
    assert "Traceback" not in log.read_text()
    assert status == 0
    assert files_in(uploads) == []
