"""Many people at once, and what is left of them: `python -m benchmarks.page.soak`.

Starts the app and lets visitors open pages over plain HTTP, as a browser does: each opens a photo, moves
sliders, leaves, and comes again with another photo, until so many photos were opened and pictures drawn.
Every picture is compared with the one that the server drew of the same photo for the same question when
nobody else was there, so that whoever gets another's is counted. Prints resident memory at rest, at its peak
and after everybody has gone, what was wrong or missing, and the files that are left.
"""

import argparse
import http.client
import io
import json
import os
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

from PIL import Image, ImageEnhance, ImageOps

from benchmarks.machine import describe
from benchmarks.page.live import free_port, wait_for

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "editor" / "ui" / "assets" / "astronaut.jpg"
TIMEOUT = 600.0  # seconds for one answer under load
STRENGTHS = [{}, {"smile": 1.0}, {"smile": -1.0, "age": 10.0}, {"age": -15.0}]
PHOTOS = 8  # different ones
BAR = 1.5  # times the memory at rest, at most
SAMPLED = 0.2  # seconds between two looks at the memory
Truth = Mapping[tuple[int, int], str]  # number of a photo, and of strengths -> their picture


@dataclass
class Server:
    """The running app, and what of its page a client has to know."""

    port: int
    process: "subprocess.Popen[bytes]"
    uploads: Path
    config: dict[str, Any] = field(default_factory=dict)
    peak: int = 0  # bytes, since the sampling began

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

    def sample(self, end: threading.Event) -> None:
        """Note the highest resident memory until the end."""
        while not end.wait(SAMPLED):
            self.peak = max(self.peak, self.resident())

    def files(self) -> list[str]:
        """What visitors sent and the server has still."""
        found = [Path(folder, name) for folder, _, names in os.walk(self.uploads) for name in names]
        return [str(file) for file in found if file.name != "lock"]


class Tally:
    """Counts by name, from several threads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> None:
        """Count so many more."""
        with self._lock:
            self.counts[name] += count


class Visitor:
    """One open page."""

    def __init__(self, server: Server, tally: Tally) -> None:
        self.server, self.page, self._tally = server, uuid.uuid4().hex[:12], tally
        self._beat = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        self._beat.request("GET", f"/gradio_api/heartbeat/{self.page}")
        self._beat.getresponse()
        answer = self._call(server.event("", "load", 4), [""])
        self.token = json.loads(answer[1])["token"]

    def upload(self, photo: bytes) -> None:
        """Upload a photo and have it inverted."""
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        body = head.encode() + photo + f"\r\n--{edge}--\r\n".encode()
        (path,) = found = self.server.post("upload", body, f"multipart/form-data; boundary={edge}")
        self._look_for_paths(found)
        file = {"path": path, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
        _, status = self._call(self.server.event("open-photo", "upload", 2), [file, None, "1"])
        if "inverted the face" not in status:
            raise RuntimeError(f"upload: {status}")

    def draw(self, strengths: Mapping[str, float]) -> str:
        """The picture for these strengths, as an address; or what went wrong."""
        question = {
            "session_hash": self.page,
            "component_id": self.server.stage(),
            "fn_name": "draw_frame",
            "data": {"token": self.token, "strengths": strengths, "space": "f"},
        }
        answer = self.server.post("component_server", json.dumps(question).encode())
        self._look_for_paths(answer)
        return str(answer.get("src", answer))

    def leave(self) -> None:
        """Close the page."""
        self._beat.close()

    def _call(self, event: int, data: list[Any]) -> list[Any]:
        asked = {"data": data, "fn_index": event, "session_hash": self.page}
        self.server.post("queue/join", json.dumps(asked).encode())
        for message in self._news():
            self._look_for_paths(message)
            self._tally.add("places told", "before you" in json.dumps(message))
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

    def _look_for_paths(self, answer: object) -> None:
        text, paths = json.dumps(answer), (ROOT, self.server.uploads)
        self._tally.add("answers with a path", any(str(path) in text for path in paths))


class Work:
    """Photos to be opened, and pictures to be drawn of each, handed out to whoever comes next.

    Args:
        photos: How many are opened.
        edits: How many pictures are drawn, of all photos together.
    """

    def __init__(self, photos: int, edits: int) -> None:
        self._shares = [edits // photos + (number < edits % photos) for number in range(photos)]
        self._lock = threading.Lock()

    def next(self) -> tuple[int, int] | None:
        """Number of a visit, and how many pictures it is to draw; None where nothing is left to do."""
        with self._lock:
            return (len(self._shares), self._shares.pop()) if self._shares else None


def variants() -> list[bytes]:
    """Photos of one person that differ so much that none of their pictures is another's."""
    image = Image.open(PHOTO).convert("RGB")
    made = []
    for number in range(PHOTOS):
        turned = ImageOps.mirror(image) if number % 2 else image
        file = io.BytesIO()
        ImageEnhance.Brightness(turned).enhance(0.8 + 0.1 * (number // 2)).save(file, "PNG", compress_level=1)
        made.append(file.getvalue())
    return made


def visit(server: Server, photos: list[bytes], truth: Truth, tally: Tally, number: int, edits: int) -> None:
    """Open a photo, draw pictures of it, and leave; what came of it is counted."""
    done = 0
    try:
        visitor = Visitor(server, tally)
        visitor.upload(photos[number % PHOTOS])
        tally.add("photos opened")
        for turn in range(edits):
            asked = (turn + number) % len(STRENGTHS)
            answer = visitor.draw(STRENGTHS[asked])
            if answer == truth[number % PHOTOS, asked]:
                tally.add("right")
            else:
                tally.add("wrong")
                tally.add(f"wrong: {_short(answer)}")
            done += 1
        visitor.leave()
    except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
        tally.add(f"failed: {type(error).__name__}: {str(error)[:120]}")
        tally.add("missing", edits - done)


def _short(answer: str) -> str:
    """A sentence as it is; of a picture that it is one."""
    return "another picture" if answer.startswith("data:") else answer[:200]


def main() -> None:
    """Run the visits and print what came of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page.soak", description=__doc__)
    parser.add_argument("--visitors", type=int, default=20, help="at the same time")
    parser.add_argument("--edits", type=int, default=2000, help="pictures, of all photos together")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--engine", default="auto")
    parser.add_argument(
        "--pause",
        type=float,
        default=75.0,
        help="seconds before rest and end are measured: a round of tidying",
    )
    options = parser.parse_args()
    port = free_port()
    command = [sys.executable, "app.py", "--port", str(port), "--engine", options.engine]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        environment = {**os.environ, "GRADIO_TEMP_DIR": folder}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as process:
            try:
                wait_for(f"http://127.0.0.1:{port}/config", TIMEOUT)
                line = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
                line.request("GET", "/config")
                server = Server(port, process, Path(folder), json.loads(line.getresponse().read()))
                report(server, options)
            finally:
                process.terminate()
                ended, left = process.wait(), len(list(Path(folder).iterdir()))
                print(f"ended with {ended}; files left after that: {left}")
                log.seek(0)
                said = log.read().decode(errors="replace")
                print(f"tracebacks in the log: {said.count('Traceback')}")
                if "Traceback" in said:
                    print(said[-6000:])


def report(server: Server, options: argparse.Namespace) -> None:
    """Let the visitors come and go until all is done, and print counts and memory."""
    time.sleep(min(30.0, options.pause))  # until every engine is built: pictures of two differ here and there
    photos, tally = variants(), Tally()
    truth = alone(server, photos)
    time.sleep(options.pause)
    rest, start, over = server.resident(), time.monotonic(), threading.Event()
    work = Work(options.photos, options.edits)

    def come_again() -> None:
        while (share := work.next()) is not None:
            visit(server, photos, truth, tally, *share)

    people = [threading.Thread(target=come_again) for _ in range(options.visitors)]
    watch = threading.Thread(target=server.sample, args=(over,))
    for thread in (watch, *people):
        thread.start()
    for thread in people:
        thread.join()
    took = time.monotonic() - start
    time.sleep(options.pause)
    over.set()
    watch.join()
    end = server.resident()
    print(f"{describe()}; {options.visitors} visitors, {took:.0f} s")
    told = ("photos opened", "right", "wrong", "missing", "answers with a path", "places told")
    counts = tally.counts
    print(", ".join(f"{name} {counts[name]}" for name in told), f"files left {len(server.files())}", sep=", ")
    for name in sorted(set(counts) - set(told)):
        print(f"  {name}: {counts[name]}")
    print(f"resident: rest {rest / 1e6:.0f} MB; at most {BAR} times that is wanted")
    for name, bytes_ in (("peak", server.peak), ("end", end)):
        print(f"  {name} {bytes_ / 1e6:.0f} MB, {bytes_ / rest:.2f} times")


def alone(server: Server, photos: list[bytes]) -> Truth:
    """What the server draws when nobody else is there; no two photos may share a picture."""
    truth = {}
    for number, photo in enumerate(photos):
        visitor = Visitor(server, Tally())
        visitor.upload(photo)
        truth |= {(number, asked): visitor.draw(strengths) for asked, strengths in enumerate(STRENGTHS)}
        visitor.leave()
    edited = [picture for (_, asked), picture in truth.items() if STRENGTHS[asked]]
    if len(set(edited)) < len(edited):
        raise RuntimeError("two questions have the same picture: nobody could tell whose it is")
    return truth


if __name__ == "__main__":
    main()
