#!/usr/bin/env bash
# Best guess before running it: PyAV's `to_ndarray(format="rgb24")` of a grey 4:2:0 frame gives the nearest level of
# (Y - 16) 255 / 219, so that frames that are read as RGB, looked at and written back keep their brightness.
# Seen with PyAV 18.1.0: every level is cut off, none is rounded: half a level too dark in the mean, and ten ways to RGB
# and back take 1.1 levels from a grey ramp, the same at every interpolation that has a name of its own. FFmpeg rounds
# when it is asked to (ACCURATE_RND with FULL_CHR_H_INT, joined with an interpolation): then all levels are the nearest
# and ten ways keep them. Who edits films frame by frame darkens them by it, or has to keep the planes as they were.
# Printed below, for both ways: whether all levels are rounded, whether all are cut off, their mean error, and what ten
# ways to RGB and back have changed in the mean.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.2.6
"$folder/venv/bin/python" - >"$folder/seen" <<'PYTHON'
import av
import numpy as np
from av.video.reformatter import Interpolation

levels = np.arange(17, 235)
truth = (levels - 16) * 255 / 219
accurate = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
for name, flags in (("as it comes", None), ("asked for", accurate)):
    grey = av.VideoFrame(len(levels), 2, "yuv420p")
    for plane, values in zip(grey.planes, (levels, 128, 128), strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : plane.width] = values
        plane.update(rows.tobytes())
    rgb = grey.reformat(format="rgb24", interpolation=flags).to_ndarray()[0, :, 1]
    rounded, cut = bool((rgb == np.rint(truth)).all()), bool((rgb == np.floor(truth)).all())
    ramp = np.ascontiguousarray(np.tile(np.arange(2, 254, dtype=np.uint8)[None, :, None], (2, 1, 3)))
    pixels = ramp
    for _ in range(10):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = frame.reformat(format="yuv420p", interpolation=flags)
        pixels = frame.reformat(format="rgb24", interpolation=flags).to_ndarray()
    drift = float((pixels - ramp.astype(float)).mean())
    print(f"{name}: {rounded} {cut} {float((rgb - truth).mean()):.1f} {drift:.1f}".replace("-0.0", "0.0"))
PYTHON
cat "$folder/seen"
diff "$folder/seen" - <<'SEEN'
as it comes: False True -0.5 -1.1
asked for: True False 0.0 0.0
SEEN
