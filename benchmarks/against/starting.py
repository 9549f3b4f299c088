"""The app of a checkout from its start to its rest: first page, first edited picture, memory."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.page.live import free_port
from benchmarks.page.soak import PHOTO, Server, Tally, Visitor

PATIENCE = 180.0  # seconds for a start
SETTLED = 25.0  # seconds until engines are built and what they needed is given back
_OFTEN, _SELDOM = 0.02, 0.1  # seconds between two questions, which take the start's time too


def start_once(folder: Path, cache: Path) -> dict[str, float]:
    """Start the app as a user does, wait for it as a browser does, and end it.

    Args:
        folder: Of the checkout.
        cache: Its converted graphs.
    """
    port, begin = free_port(), time.perf_counter()
    with tempfile.TemporaryDirectory() as uploads:
        environment = {**os.environ, "GRADIO_TEMP_DIR": uploads, "CLCAE_CACHE_DIR": str(cache)}
        command = [sys.executable, "app.py", "--port", str(port)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, cwd=folder, env=environment, **quiet) as process:
            try:
                _until(port, "/", process)
                page = time.perf_counter() - begin
                config = json.loads(_until(port, "/config", process, _SELDOM))
                ready = time.perf_counter() - begin
                server = Server(port, process, Path(uploads), config)
                visitor = Visitor(server, Tally())
                picture = visitor.draw({"smile": 1.0})
                if not picture.startswith("data:"):
                    raise RuntimeError(f"no picture: {picture}")
                edited = time.perf_counter() - begin
                time.sleep(SETTLED)
                idle = server.resident()
                visitor.upload(PHOTO.read_bytes())
                visitor.draw({"smile": 1.0})
                visitor.leave()
                time.sleep(2)
                return {
                    "start to first page, s": page,
                    "start to the app, s": ready,
                    "start to first edited picture, s": edited,
                    "memory at rest, MB": idle / 1e6,
                    "memory after a photo and an edit, MB": server.resident() / 1e6,
                    "memory at its peak, MB": _peak(process.pid) / 1e6,
                }
            finally:
                process.terminate()


def _until(port: int, path: str, process: "subprocess.Popen[bytes]", pause: float = _OFTEN) -> bytes:
    """The first good answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the app ended with {process.returncode}")
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            line.request("GET", path)
            answer = line.getresponse()
            body = answer.read()
            if answer.status == http.client.OK:
                return body
        except OSError:
            pass
        finally:
            line.close()
        time.sleep(pause)
    raise RuntimeError(f"no answer from {path}")


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
