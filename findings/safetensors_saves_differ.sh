#!/usr/bin/env bash
# Best guess before running it: equal tensors with equal metadata, saved twice, give equal bytes, so that a hash of the
# file names what is in it.
# Seen with safetensors 0.8.0: with one entry of metadata, or none, they do. From two entries on their order in the
# file's header is another at every call, also within one process: the same checkpoint, saved again, has another
# sha256, at the same length, and the same tensors. Who tells checkpoints apart by the hash of their file takes two
# savings for two models; one entry, which holds all else as JSON, keeps the bytes.
# Printed below, for 0 to 3 entries: whether 64 savings were all equal, whether all were as long, and whether all hold
# the same tensor and metadata.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check safetensors==0.8.0 numpy==2.2.6
"$folder/venv/bin/python" - >"$folder/seen" <<'PYTHON'
import json

import numpy as np
from safetensors.numpy import load, save

tensors = {"w": np.arange(6, dtype=np.float32)}
for entries in range(4):
    metadata = {f"entry {number}": "value" for number in range(entries)}
    saved = [save(tensors, metadata or None) for _ in range(64)]
    headers = [json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]) for data in saved]
    alike = all(
        header.get("__metadata__", {}) == metadata and np.array_equal(load(data)["w"], tensors["w"])
        for header, data in zip(headers, saved, strict=True)
    )
    print(entries, len(set(saved)) == 1, len({len(data) for data in saved}) == 1, alike)
PYTHON
cat "$folder/seen"
diff "$folder/seen" - <<'SEEN'
0 True True True
1 True True True
2 False True True
3 False True True
SEEN
