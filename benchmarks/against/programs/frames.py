"""Times of one edited frame and of one inversion, as JSON; run in the folder of a checkout.

Uses nothing that the older checkout lacks.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from editor.pipeline import open_editor

FRAMES, WARM = 40, 8


def median_ms(run: Callable[[int], object]) -> float:
    """Median time of a call in milliseconds; it is told which one it is."""
    times = []
    for i in range(FRAMES + WARM):
        begin = time.perf_counter()
        run(i)
        if i >= WARM:
            times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def main(photo: str) -> None:
    """Measure and print."""
    editor = open_editor(engine="openvino")
    editor.prepare()
    editor.wait()
    pixels = Path(photo).read_bytes()
    opened = editor.open_photo(pixels, most_pixels=1_000_000)
    session = editor.invert(opened)

    def moved(i: int, **others: float) -> dict[str, float]:
        return {"smile": 0.05 * (i % 20 + 1), **others}

    def drawn(i: int) -> object:
        return editor.render(editor.edit(replace(session, space="f"), moved(i)))

    def painted(i: int) -> object:
        return editor.painter.on_photo(opened, editor.edit(session, moved(i)))

    def painted_of_several(i: int) -> object:
        return editor.painter.on_photo(opened, editor.edit(session, moved(i, age=6.0, gender=0.5, turn=4.0)))

    crop = session.crop
    found = {
        "edited frame of the model in F, ms": median_ms(drawn),
        "edited photo of 1 MP, one slider, ms": median_ms(painted),
        "edited photo of 1 MP, four sliders, ms": median_ms(painted_of_several),
        "inversion, crop to F, ms": median_ms(lambda _: editor.invert_crop(crop)),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
