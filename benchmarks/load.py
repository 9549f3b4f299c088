"""Many visitors at once, and what the server's memory is after them: `python -m benchmarks.load`.

Starts the app and lets visitors open pages over plain HTTP, upload a photo, move sliders and leave, again and
again.
Every picture is compared with the one that the server drew for the same question when nobody else was there.
Then all pages are closed, and the resident memory is compared with that before.
"""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.live import free_port, wait_for
from benchmarks.machine import describe

PHOTO = Path(__file__).resolve().parent.parent / "editor" / "ui" / "assets" / "astronaut.jpg"
TIMEOUT = 300.0  # seconds for one answer under load
STRENGTHS = [{}, {"smile": 1.0}, {"smile": -1.0, "age": 10.0}, {"age": -15.0}]
BEFORE_REST = 3  # visits that warm up what is made once
ROUNDS_TO_REST = 75.0  # seconds, a round of the server's own tidying


@dataclass
class Server:
    """The running app, and what of its page a client has to know."""

    port: int
    process: "subprocess.Popen[bytes]"
    config: dict[str, Any] = field(default_factory=dict)

    def post(self, path: str, body: bytes, kind: str = "application/json") -> Any:
        """The JSON answer to a POST."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        line.request("POST", f"/gradio_api/{path}", body, {"Content-Type": kind})
        answer = line.getresponse().read()
        line.close()
        return json.loads(answer)

    def event(self, target: str, name: str, outputs: int) -> int:
        """Number of the event `name` of the component `target`, or of the page, with so many outputs."""
        ids = {c["props"].get("elem_id"): c["id"] for c in self.config["components"]}
        wanted = ids.get(target)
        for dependency in self.config["dependencies"]:
            asked = any(t[1] == name and (wanted is None or t[0] == wanted) for t in dependency["targets"])
            if asked and len(dependency["outputs"]) == outputs:
                return int(dependency["id"])
        raise LookupError(f"no event {name} of {target}")

    def stage(self) -> int:
        """Number of the component that draws."""
        return next(int(c["id"]) for c in self.config["components"] if c["props"].get("elem_id") == "stage")

    def resident(self) -> int:
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


class Visitor:
    """One open page."""

    def __init__(self, server: Server) -> None:
        self.server, self.page = server, uuid.uuid4().hex[:12]
        self._beat = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        self._beat.request("GET", f"/gradio_api/heartbeat/{self.page}")
        self._beat.getresponse()
        answer = self._call(server.event("", "load", 3), [])
        self.token = json.loads(answer[1])["token"]

    def upload(self) -> None:
        """Upload the photo and have it inverted."""
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        body = head.encode() + PHOTO.read_bytes() + f"\r\n--{edge}--\r\n".encode()
        (path,) = self.server.post("upload", body, f"multipart/form-data; boundary={edge}")
        file = {"path": path, "orig_name": "a.jpg", "meta": {"_type": "gradio.FileData"}}
        self._call(self.server.event("photo", "input", 2), [file, None])

    def draw(self, strengths: Mapping[str, float]) -> str:
        """The picture for these strengths, as an address; or what went wrong."""
        question = {
            "session_hash": self.page,
            "component_id": self.server.stage(),
            "fn_name": "draw_frame",
            "data": {"token": self.token, "strengths": strengths, "space": "f"},
        }
        answer = self.server.post("component_server", json.dumps(question).encode())
        return str(answer.get("src", answer))

    def leave(self) -> None:
        """Close the page."""
        self._beat.close()

    def _call(self, event: int, data: list[Any]) -> list[Any]:
        asked = {"data": data, "fn_index": event, "session_hash": self.page}
        self.server.post("queue/join", json.dumps(asked).encode())
        for message in self._news():
            if message["msg"] == "process_completed":
                if not message["success"]:
                    raise RuntimeError(f"event {event} failed: {message['output']}")
                return list(message["output"]["data"])
        raise RuntimeError(f"event {event}: no answer")

    def _news(self) -> Iterator[dict[str, Any]]:
        line = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=TIMEOUT)
        line.request("GET", f"/gradio_api/queue/data?session_hash={self.page}")
        answer = line.getresponse()
        while text := answer.readline():
            if text.startswith(b"data:"):
                yield json.loads(text[5:])
        line.close()


def visit(server: Server, truth: Mapping[str, str], counts: "Counter[str]", number: int) -> None:
    """One visit of a few pictures, counted as right or wrong."""
    visitor = Visitor(server)
    visitor.upload()
    for turn in range(8):
        strengths = STRENGTHS[(turn + number) % len(STRENGTHS)]
        answer = visitor.draw(strengths)
        right = answer == truth[json.dumps(strengths)]
        counts["right" if right else f"wrong: {_short(answer)}"] += 1
    visitor.leave()
    counts["visits"] += 1


def _short(answer: str) -> str:
    """A sentence as it is; of a picture that it is one."""
    return "another picture" if answer.startswith("data:") else answer[:200]


def main() -> None:
    """Run the visits and print what came of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args()
    port = free_port()
    command = [sys.executable, "app.py", "--port", str(port), "--engine", options.engine]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/config", TIMEOUT)
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
            line.request("GET", "/config")
            server = Server(port, process, json.loads(line.getresponse().read()))
            report(server, options.visitors, options.seconds)
        finally:
            process.terminate()
            print(f"ended with {process.wait()}")
            log.seek(0)
            said = log.read().decode(errors="replace")
            print(f"tracebacks in the log: {said.count('Traceback')}")
            if "Traceback" in said:
                print(said[-6000:])


def report(server: Server, visitors: int, seconds: float) -> None:
    """Let the visitors come and go for so long, and print counts and memory."""
    time.sleep(30)  # until every engine is built: pictures of two engines differ in a level here and there
    first = Visitor(server)
    first.upload()
    truth = {json.dumps(strengths): first.draw(strengths) for strengths in STRENGTHS}
    first.leave()
    counts: Counter[str] = Counter()
    for number in range(BEFORE_REST):
        visit(server, truth, counts, number)
    time.sleep(ROUNDS_TO_REST)
    rest, counts, end = server.resident(), Counter(), time.monotonic() + seconds

    def come_again(number: int) -> None:
        while time.monotonic() < end:
            try:
                visit(server, truth, counts, number)
            except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
                counts[f"failed: {type(error).__name__}"] += 1

    threads = [threading.Thread(target=come_again, args=(number,)) for number in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    busy = server.resident()
    time.sleep(ROUNDS_TO_REST)
    after = server.resident()
    print(f"{describe()}; {visitors} visitors for {seconds:g} s")
    print(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    print(f"resident: {rest / 1e6:.0f} MB at rest, {busy / 1e6:.0f} MB at the end of the load,")
    print(f"  {after / 1e6:.0f} MB after it, {after / rest:.2f} times rest")


if __name__ == "__main__":
    main()
