"""Show what every direction does to invented faces: `python -m editor.direction_sheet --out SHEET.jpg`."""

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from editor.face.warp import resized
from editor.model.source import resolve_model
from editor.pipeline import Editor, open_editor
from stylegan2.bundle.opening import DEFAULT_BUNDLE
from stylegan2.errors import StyleGANError

COLUMNS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # deviations, or as far as the slider goes
MARGIN = 110  # px for the names
GAP = 6  # px between faces
SEEDS = (3, 8, 21, 34)  # of the faces
SIDE = 96  # px of a picture, at most


def draw_sheet(editor: Editor, seeds: Sequence[int] = SEEDS) -> NDArray[np.uint8]:
    """One row per direction, every face from the low to the high end, uint8 [H, W, 3]."""
    sessions, side = [editor.sample(seed) for seed in seeds], min(editor.resolution, SIDE)
    height, strip = side * max(1, len(editor.directions)), side * len(COLUMNS) + GAP
    sheet = Image.new("RGB", (MARGIN + strip * len(seeds), height), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (name, direction) in enumerate(editor.directions.items()):
        pen.text((6, row * side + side // 2), name, fill="black", font_size=16)
        low, high = direction.range
        for face, session in enumerate(sessions):
            for column, size in enumerate(COLUMNS):
                strength = min(max(size * direction.unit_size, low), high)
                pixels = resized(editor.render(editor.edit(session, {name: strength})), side)
                sheet.paste(Image.fromarray(pixels), (MARGIN + face * strip + column * side, row * side))
    return np.asarray(sheet)


def write_sheet(out: str, draw: Callable[[], NDArray[np.uint8]]) -> int:
    """Draw a sheet and write it to `out`; exit code 0, or 2 where the user is at fault."""
    try:
        sheet = draw()
    except StyleGANError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    Image.fromarray(sheet).save(out, quality=90)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser("python -m editor.direction_sheet", description=__doc__)
    parser.add_argument("--model", default=DEFAULT_BUNDLE, help="as the app's --model")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="which invented faces")
    parser.add_argument("--out", required=True, help="picture to write")
    args = parser.parse_args(argv)
    return write_sheet(
        args.out, lambda: draw_sheet(open_editor(resolve_model(args.model), engine="torch"), args.seeds)
    )


if __name__ == "__main__":
    sys.exit(main())
