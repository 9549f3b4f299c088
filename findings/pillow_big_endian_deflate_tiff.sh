#!/usr/bin/env bash
# Best guess before running it: a TIFF decodes to the same numbers whichever byte order and compression it has.
# Seen with Pillow 12.3.0: big-endian samples of int16, int32 and float32 that are deflated come out with their bytes
# swapped, without an error or a warning. The same samples uncompressed, little-endian, or of uint16 are right, and
# tifffile 2026.3.3 and OpenCV 5.0.0 read all of the files right. Depth maps and float pictures turn into noise this
# way. Printed below: sample type, byte order, compression, and which readers are wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 pillow==12.3.0 tifffile==2026.3.3 opencv-python-headless==5.0.0.93
"$folder/venv/bin/python" - "$folder/a.tif" >"$folder/seen" <<'PYTHON'
import sys

import cv2
import numpy as np
import tifffile
from PIL import Image

file = sys.argv[1]
readers = {
    "pillow": lambda: np.asarray(Image.open(file)),
    "opencv": lambda: cv2.imread(file, cv2.IMREAD_UNCHANGED),
    "tifffile": lambda: tifffile.imread(file),
}
for dtype in ("uint16", "int16", "int32", "float32"):
    samples = (3 * np.arange(64 * 64).reshape(64, 64)).astype(dtype)
    for order, compression in (("<", "zlib"), (">", None), (">", "zlib")):
        tifffile.imwrite(file, samples, byteorder=order, compression=compression, photometric="minisblack")
        wrong = [name for name, read in readers.items() if not np.array_equal(read(), samples)]
        print(dtype, order, compression or "plain", "wrong in " + ", ".join(wrong) if wrong else "right in all")
PYTHON
cat "$folder/seen"
diff - "$folder/seen" <<'SEEN'
uint16 < zlib right in all
uint16 > plain right in all
uint16 > zlib right in all
int16 < zlib right in all
int16 > plain right in all
int16 > zlib wrong in pillow
int32 < zlib right in all
int32 > plain right in all
int32 > zlib wrong in pillow
float32 < zlib right in all
float32 > plain right in all
float32 > zlib wrong in pillow
SEEN
