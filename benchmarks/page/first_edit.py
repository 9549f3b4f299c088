"""From a photo to its first edited picture, against another checkout: `python -m benchmarks.page.first_edit`.

Each checkout runs in a process of its own, one photo at a time in turn, so that both meet the same machine:
from the upload's arrival, through what the page asks for by itself, to the first picture with an edit in it.
`--against FOLDER` names the other one, for example an older commit's (`git worktree add FOLDER COMMIT`).
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import describe

HERE = Path(__file__).parents[2]
PORTRAIT = HERE / "editor/ui/assets/astronaut.jpg"

# Uses what the page uses, and nothing that older commits lack. A line on standard input is a photo's turn.
WORK = """
import json, shutil, sys, tempfile, time
from pathlib import Path
from types import SimpleNamespace
from editor.pipeline import open_editor
from editor.ui.examples import make_examples
from editor.ui.handlers import Handlers

editor = open_editor(engine="openvino")
editor.prepare()
editor.decoder.wait(), editor.inverter.wait(), editor.painter.transfer.wait()
handlers = Handlers(editor, make_examples(editor))
token = handlers.enter(SimpleNamespace(session_hash="page"))[0]
folder = Path(tempfile.mkdtemp())
for line in sys.stdin:
    file = folder / "photo.jpg"
    shutil.copy(line.strip(), file)
    begin = time.perf_counter()
    value, words = handlers.open_photo(str(file), token)
    opened = time.perf_counter()
    assert isinstance(value, str), words
    frame = handlers.frames.draw({"token": token, "strengths": {"smile": 1.0}})
    done = time.perf_counter()
    assert frame["src"], frame
    print(json.dumps([(opened - begin) * 1e3, (done - begin) * 1e3]), flush=True)
shutil.rmtree(folder)
"""


class Checkout:
    """A checkout at work."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORK],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def open(self, photo: Path) -> tuple[float, float]:
        """Milliseconds until the photo is on show, and until it is edited."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{photo}\n")
        self._process.stdin.flush()
        shown, edited = json.loads(self._process.stdout.readline())
        return shown, edited

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout of this repository")
    parser.add_argument("--photo", type=Path, default=PORTRAIT)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    print(f"machine: {describe()}")
    folders = {"here": HERE, **({"there": args.against.resolve()} if args.against else {})}
    checkouts = {name: Checkout(folder) for name, folder in folders.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in checkouts}
    for turn in range(args.rounds + 3):
        for name, checkout in checkouts.items():
            found = checkout.open(args.photo.resolve())
            if turn >= 3:
                times[name].append(found)
    for name, values in times.items():
        shown, edited = (sorted(column) for column in zip(*values, strict=True))
        print(
            f"{name}: photo on show {statistics.median(shown):.0f} ms, first edited picture "
            f"{statistics.median(edited):.0f} ms ({edited[0]:.0f} to {edited[-1]:.0f})"
        )
    if len(times) > 1:
        ratios = [a[1] / b[1] for a, b in zip(times["here"], times["there"], strict=True)]
        print(f"first edited picture, here / there: {statistics.median(ratios):.2f}")
    for checkout in checkouts.values():
        checkout.close()


if __name__ == "__main__":
    main()
