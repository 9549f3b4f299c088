"""This checkout against another one, in one run: `python -m benchmarks.against FOLDER`.

FOLDER is another checkout of this repository, for example `git worktree add FOLDER COMMIT`. Both take turns,
each time in fresh processes, so that both meet the same machine; the first turn of each fills its caches and
is not counted. Prints medians, from the least to the most of the turns, and the median of the turns' ratios.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.against.starting import start_once
from benchmarks.machine import describe, spread
from benchmarks.page.soak import PHOTO
from benchmarks.published import make_aside

HERE = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
Measure = Callable[[Path, Path], dict[str, float]]  # a checkout's folder, its cache -> what was found


def program(name: str, *arguments: str) -> Measure:
    """A measure by one of the programs, run within the checkout."""

    def measure(folder: Path, cache: Path) -> dict[str, float]:
        environment = {**os.environ, "PYTHONPATH": str(folder), "CLCAE_CACHE_DIR": str(cache)}
        command = [sys.executable, str(PROGRAMS / f"{name}.py"), *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE)
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found

    return measure


def published(folder: Path, cache: Path) -> dict[str, float]:
    """A full-size published file, made up anew for every turn: neither finds its graphs."""
    with tempfile.TemporaryDirectory(dir=cache.parent) as work:
        file = Path(work) / "clcae.pt"
        make_aside(file)
        return program("published", str(file))(folder, Path(work) / "cache")


MEASURES: dict[str, Measure] = {
    "start": start_once,
    "frames": program("frames", str(PHOTO)),
    "published": published,
    "generator": program("training", "generator"),
    "encoder": program("training", "inversion"),
    "refiners": program("training", "refiners"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("folder", type=Path, help="the other checkout")
    parser.add_argument("--what", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    checkouts = {"here": HERE, "there": args.folder.resolve()}
    print(f"machine: {describe()}")
    for what in args.what:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
        with tempfile.TemporaryDirectory() as caches:
            for turn in range(args.rounds + 1):
                for name, folder in checkouts.items():
                    row = MEASURES[what](folder, Path(caches) / name)
                    if turn:
                        found[name].append(row)
        report(found["here"], found["there"])


def report(here: list[dict[str, float]], there: list[dict[str, float]]) -> None:
    """One line for everything that both measured."""
    for what in here[0]:
        ours, theirs = ([row[what] for row in rows] for rows in (here, there))
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(f"{what:45s} here {spread(ours)}, there {spread(theirs)}: {ratio:.2f} times", flush=True)


if __name__ == "__main__":
    main()
