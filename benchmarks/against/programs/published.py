"""A full-size published file in the editor: first picture, frames, memory, as JSON; run in a checkout.

    python published.py FILE

FILE is CLCAE's own layout at 1024 px, as `benchmarks.published.make_file` makes one up. Uses nothing that the
older checkout lacks.
"""

import json
import resource
import statistics
import sys
import time
from dataclasses import replace

import numpy as np

from editor.pipeline import open_editor

FRAMES = 5


def main(file: str) -> None:
    """Open, invert, edit, and print."""
    begin = time.perf_counter()
    editor = open_editor(file)
    editor.prepare()
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    session = replace(editor.invert_crop(crop), space="f")
    editor.render(session)
    first = time.perf_counter() - begin
    editor.wait()
    ready = time.perf_counter() - begin
    found = session.inversion
    times = []
    for i in range(FRAMES + 1):
        begin = time.perf_counter()
        editor.decoder.draw(found, "f", lambda ws, i=i: ws + 0.01 * (i + 1))
        times.append((time.perf_counter() - begin) * 1e3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps(
            {
                "published 1024 px: file to first picture in F, s": first,
                "published 1024 px: all graphs ready, s": ready,
                "published 1024 px: edited picture in F, ms": statistics.median(times[1:]),
                "published 1024 px: memory at its peak, MB": peak / 1e6,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
