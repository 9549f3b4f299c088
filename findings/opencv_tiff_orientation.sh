#!/usr/bin/env bash
# OpenCV turns a TIFF by its orientation tag although it is told not to.
#
# Guess before the run: IMREAD_IGNORE_ORIENTATION gives the stored rows and columns of a TIFF, as it does of a JPEG;
# IMREAD_UNCHANGED, which is documented to ignore the orientation by itself, does so in any case.
# Seen: with opencv-python-headless 5.0.0.93 a JPEG of 50 x 40 pixels with orientation 6 is 50 x 40 under each of
# these flags, as guessed. A TIFF of the same size and tag comes turned, as 40 x 50, from imdecode under all of them,
# and imread, which made room for 50 x 40, gives nothing and writes an error.
# So whoever changes pixels of a TIFF in place, and keeps its tag, turns the picture twice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6 pillow==12.3.0 tifffile==2026.3.3
"$folder/venv/bin/python" - "$folder" >"$folder/seen" <<'PYTHON'
import sys

import cv2
import numpy as np
import tifffile
from PIL import Image

folder = sys.argv[1]
deep = np.arange(40 * 50 * 3, dtype=np.uint16).reshape(40, 50, 3)
tifffile.imwrite(f"{folder}/a.tif", deep, photometric="rgb", extratags=[(274, "H", 1, 6)])
exif = Image.Exif()
exif[274] = 6
Image.fromarray((deep >> 8).astype(np.uint8)).save(f"{folder}/a.jpg", exif=exif)
flags = {
    "colour": cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    "any depth": cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    "unchanged": cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION,
}
print("OpenCV", cv2.__version__)
for name in ("a.jpg", "a.tif"):
    for words, flag in flags.items():
        from_bytes = cv2.imdecode(np.fromfile(f"{folder}/{name}", np.uint8), flag)
        from_file = cv2.imread(f"{folder}/{name}", flag)
        shapes = ["nothing" if p is None else f"{p.shape[1]} x {p.shape[0]}" for p in (from_bytes, from_file)]
        print(f"{name}, {words}: {shapes[0]} from bytes, {shapes[1]} from the file")
PYTHON
cat "$folder/seen"
diff "$folder/seen" - <<'SEEN'
OpenCV 5.0.0
a.jpg, colour: 50 x 40 from bytes, 50 x 40 from the file
a.jpg, any depth: 50 x 40 from bytes, 50 x 40 from the file
a.jpg, unchanged: 50 x 40 from bytes, 50 x 40 from the file
a.tif, colour: 40 x 50 from bytes, nothing from the file
a.tif, any depth: 40 x 50 from bytes, nothing from the file
a.tif, unchanged: 40 x 50 from bytes, nothing from the file
SEEN
echo "as seen before"
