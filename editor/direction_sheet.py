"""Show what every direction does to an invented face: `python -m editor.direction_sheet --out SHEET.jpg`."""

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from editor.model.source import resolve_model
from editor.pipeline import Editor, open_editor
from stylegan2.bundle.opening import DEFAULT_BUNDLE
from stylegan2.errors import StyleGANError

COLUMNS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # shares of each direction's range
MARGIN = 110  # px for the names


def draw_sheet(editor: Editor, seed: int) -> NDArray[np.uint8]:
    """One row per direction, from the low to the high end of its range, uint8 [H, W, 3]."""
    session, side = editor.sample(seed), editor.resolution
    height = side * max(1, len(editor.directions))
    sheet = Image.new("RGB", (MARGIN + side * len(COLUMNS), height), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (name, direction) in enumerate(editor.directions.items()):
        pen.text((6, row * side + side // 2), name, fill="black", font_size=16)
        for column, share in enumerate(COLUMNS):
            strength = share * (direction.range[1] if share > 0 else -direction.range[0])
            pixels = editor.render(editor.edit(session, {name: strength}))
            sheet.paste(Image.fromarray(pixels), (MARGIN + column * side, row * side))
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
    parser.add_argument("--seed", type=int, default=3, help="which invented face")
    parser.add_argument("--out", required=True, help="picture to write")
    args = parser.parse_args(argv)
    return write_sheet(
        args.out, lambda: draw_sheet(open_editor(resolve_model(args.model), engine="torch"), args.seed)
    )


if __name__ == "__main__":
    sys.exit(main())
