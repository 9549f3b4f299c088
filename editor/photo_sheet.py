"""Show what every edit does to photos: `python -m editor.photo_sheet --out SHEET.jpg PHOTO...`.

Without a photo, the portrait that comes with the app and two invented faces. In each row the photo's crop,
then for each edit the model's own picture, enlarged, and beside it the photo with the edit in it.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from editor.direction_sheet import write_sheet
from editor.face.crop import crop_face
from editor.face.warp import resized
from editor.photo.colour import Pixels
from editor.pipeline import Editor, open_editor
from editor.session import EditSession

PORTRAIT = Path(__file__).parent / "ui" / "assets" / "astronaut.jpg"  # NASA, public domain
SEEDS = (8, 21)  # of the invented faces
STRENGTH = 1.5  # standard deviations, or as far as the slider goes
CELL = 160  # px a side
HEAD = 22  # px for the names


def faces(editor: Editor, photos: Sequence[str]) -> Iterator[tuple[Pixels, EditSession]]:
    """Crops at their own size, and their sessions."""
    for file in photos or [str(PORTRAIT)]:
        photo = editor.open_photo(file)
        face = photo.face(photo.first)
        side = max(CELL, round(float(np.hypot(*face.to_photo[:2, 0]))))
        yield (
            crop_face(photo.pixels, face.face, editor.crop_config, side).crop,
            editor.invert(photo, face.number),
        )
    for seed in () if photos else SEEDS:
        crop = editor.sample(seed).crop
        yield crop, editor.invert_crop(crop)


def draw_sheet(editor: Editor, photos: Sequence[str] = ()) -> NDArray[np.uint8]:
    """Two rows a face, one for either end of the edits: uint8 [H, W, 3]."""
    rows = []
    for crop, session in faces(editor, photos):
        for sign in (-1, 1):
            row = [crop]
            for name, edit in editor.directions.items():
                size = STRENGTH * edit.unit_size
                strength = max(edit.range[0], -size) if sign < 0 else min(edit.range[1], size)
                edited = editor.edit(session, {name: strength})
                row += [editor.render(edited), editor.edit_crop(edited, crop)]
            rows.append(np.concatenate([resized(pixels, CELL) for pixels in row], 1))
    sheet = Image.new("RGB", (rows[0].shape[1], HEAD + CELL * len(rows)), "white")
    sheet.paste(Image.fromarray(np.concatenate(rows)), (0, HEAD))
    pen = ImageDraw.Draw(sheet)
    pen.text((6, 4), "photo", fill="black", font_size=14)
    for column, name in enumerate(editor.directions):
        pen.text((CELL * (1 + 2 * column) + 6, 4), f"{name}: model", fill="black", font_size=14)
        pen.text((CELL * (2 + 2 * column) + 6, 4), "in the photo", fill="black", font_size=14)
    return np.asarray(sheet)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser("python -m editor.photo_sheet", description=__doc__)
    parser.add_argument("photos", nargs="*", help="photos to edit")
    parser.add_argument("--out", required=True, help="picture to write")
    args = parser.parse_args(argv)

    def draw() -> NDArray[np.uint8]:
        editor = open_editor(engine="torch")
        with editor.detector:
            return draw_sheet(editor, args.photos)

    return write_sheet(args.out, draw)


if __name__ == "__main__":
    sys.exit(main())
