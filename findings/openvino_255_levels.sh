#!/usr/bin/env bash
# Best guess before running it: a convolution whose input and kernel are each behind a FakeQuantize is computed in 8
# bits as the graph says, to float32's own precision, whether the input has 256 levels, -128 to 127 steps, or the 255
# of the range that is the same below and above 0, -127 to 127.
# Seen with OpenVINO 2026.4.0 on x86 (AVX-512 with VNNI), INFERENCE_PRECISION_HINT f32: with 256 levels it is, to more
# than 100 dB. With 255 the answer is about 42 dB from it, as much as rounding to 8 bits costs itself; the kernel's 255
# levels do no harm. Nothing is reported. The same scale with one level more, which is never met, keeps all.
# Printed below, with a FakeQuantize of the kernel, and without one, which leaves the convolution in float32: levels of
# the input, and whether the answer is that of the graph to 60 dB.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check openvino==2026.4.0 numpy==2.4.6
"$folder/venv/bin/python" - >"$folder/seen" <<'PYTHON'
import sys

import numpy as np

sys.modules["openvino_telemetry"] = None  # it would report its use
import openvino
from openvino import opset13

rng = np.random.default_rng(0)
x, kernel = (rng.uniform(-1, 1, shape).astype(np.float32) for shape in ((1, 16, 24, 24), (16, 16, 3, 3)))
largest = np.abs(kernel).max((1, 2, 3), keepdims=True)


def rounded(values, low, high, levels):
    step = (high - low) / (levels - 1)
    return np.rint((values - low) / step) * step + low


def fake(node, low, high, levels):
    low, high = (opset13.constant(np.float32(end).reshape(-1, 1, 1, 1)) for end in (low, high))
    return opset13.fake_quantize(node, low, high, low, high, levels)


for both in (True, False):
    for low, levels in ((-128 / 127, 256), (-1.0, 255)):
        given, weights = opset13.parameter(x.shape, np.float32), opset13.constant(kernel)
        weights = fake(weights, -largest, largest, 255) if both else weights
        answer = opset13.convolution(fake(given, low, 1.0, levels), weights, [1, 1], [0, 0], [0, 0], [1, 1])
        model = openvino.Model([answer], [given])
        found = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)[0]
        exact = rounded(kernel, -largest, largest, 255) if both else kernel
        windows = np.lib.stride_tricks.sliding_window_view(rounded(x, low, 1.0, levels), (3, 3), (2, 3))
        exact = np.einsum("nchwij,ocij->nohw", windows, exact)
        dB = 10 * np.log10((exact**2).sum() / ((found - exact) ** 2).sum())
        print("int8" if both else "float", levels, dB > 60)
PYTHON
cat "$folder/seen"
diff "$folder/seen" - <<'SEEN'
int8 256 True
int8 255 False
float 256 True
float 255 True
SEEN
