"""Measure what a face looks like: landmark geometry, colour statistics, age and gender networks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from editor.face.landmarks import FaceDetector
from editor.face.mesh import (
    BROWS,
    EYES,
    FACE_SIDES,
    FOREHEAD_CHIN,
    IRISES,
    JAW,
    LIPS_INNER,
    LIPS_OUTER,
    MOUTH_CORNERS,
    Face,
    Points,
)
from editor.face.warp import resized
from editor.measure.attribute_network import NAMES, SIDE, AttributeNetwork, tell
from editor.measure.colours import complexion, light, paint_of
from editor.photo.colour import Pixels
from stylegan2.engines.openvino import import_openvino
from stylegan2.errors import CheckpointError

# The networks' training crop, the FFHQ square's box (0.2, 0.27, 0.8, 0.87), seen from the tight crop of a
# typical face.
NETWORK_BOX = (0.045, 0.0, 0.955, 0.90)
NETWORK_MEAN = np.array([122.782, 117.001, 104.298], np.float32)

# What faces are measured by: an edit may not move any of these but its own.
MEASURED = (
    "smile", "mouth_open", "eyes_open", "gaze", "brows", "face_width", "yaw", "pitch", "light", "brightness",
    "contrast", "redness", "yellowness", "beard", "lips", "age", "masculine", "glasses", "hat", "earrings",
    "happy", "weight", "long_hair", "hair_colour", "hair", "teeth",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AttributeNetworks:
    """Compiled age and gender classifiers (`age-v1.onnx`, `gender-v1.onnx`); never shipped."""

    age: Any
    gender: Any


def load_networks(folder: str | Path) -> AttributeNetworks:
    """Compile the two networks in `folder`.

    Raises:
        CheckpointError: A file is missing or damaged.
        EngineError: OpenVINO is missing.
    """
    core = import_openvino().Core()
    # A measure must not depend on the machine: by itself OpenVINO takes bf16 where that is native.
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = {}
    for name in ("age", "gender"):
        file = Path(folder) / f"{name}-v1.onnx"
        if not file.is_file():
            raise CheckpointError(
                f"{file}: no such file; discovery measures age and gender with this network"
            )
        try:
            compiled[name] = core.compile_model(str(file), "CPU", settings)
        except RuntimeError as error:
            raise CheckpointError(f"{file}: OpenVINO cannot read it; expected an ONNX file") from error
    return AttributeNetworks(**compiled)


def _network_input(pixels: Pixels, side: int) -> NDArray[np.float32]:
    size = pixels.shape[0]
    x0, y0, x1, y1 = (round(value * size) for value in NETWORK_BOX)
    small = cv2.resize(pixels[y0:y1, x0:x1], (side, side), interpolation=cv2.INTER_AREA)
    scaled: NDArray[np.float32] = (small.astype(np.float32) - NETWORK_MEAN) / 256
    return scaled.transpose(2, 0, 1)[None]


def age_and_gender(networks: AttributeNetworks, pixels: Pixels) -> tuple[float, float]:
    """Expected age in years, and log odds of the second gender score (higher: more masculine)."""
    scores = networks.age({0: _network_input(pixels, 64)})[0][0]
    # Certain answers are common; only the smaller score still tells how certain.
    gender = networks.gender({0: _network_input(pixels, 32)})[0][0].clip(1e-12, 1)
    years = float((scores * np.arange(len(scores))).sum() / scores.sum())
    return years, float(np.log(gender[1] / gender[0]))


def _gap(points: Points, pair: Sequence[int]) -> float:
    return float(np.linalg.norm(points[pair[0]] - points[pair[1]]))


def geometry(points: Points) -> dict[str, float]:
    """Shape of a face from its mesh [478, 2], free of scale and of in-plane rotation; as shares of its size.

    `gaze` grows as the eyes look to the picture's right.
    """
    height, width = _gap(points, FOREHEAD_CHIN), _gap(points, FACE_SIDES)
    down = points[FOREHEAD_CHIN[1]] - points[FOREHEAD_CHIN[0]]
    down = down / np.linalg.norm(down)
    across = np.array([down[1], -down[0]])  # towards the image's right
    corners = points[list(MOUTH_CORNERS)]
    lift = float(((points[LIPS_OUTER[0]] + points[LIPS_OUTER[1]]) / 2 - corners.mean(0)) @ down)
    aside = [(points[iris] - _middle(points, eye)) @ across / _gap(points, eye) for iris, eye in IRISES]
    raised = [(_middle(points, eye) - points[brow]) @ down / height for brow, eye in BROWS]
    return {
        "smile": _gap(points, MOUTH_CORNERS) / width + 2 * lift / height,
        "mouth_open": _gap(points, LIPS_INNER) / height,
        "eyes_open": float(np.mean([_gap(points, lids) / _gap(points, corners_) for lids, corners_ in EYES])),
        "gaze": float(np.mean(aside)),
        "brows": float(np.mean(raised)),
        "face_width": _gap(points, JAW) / height,
    }


def _middle(points: Points, pair: Sequence[int]) -> NDArray[np.float32]:
    return np.asarray(points[list(pair)].mean(0))


def find_mesh(detector: FaceDetector, pixels: Pixels) -> Points | None:
    """The mesh [478, 2] of the face in a crop, in its pixels."""
    face = find_face(detector, pixels)
    return None if face is None else face.points


def find_face(detector: FaceDetector, pixels: Pixels) -> Face | None:
    """The face in a crop, its mesh in the crop's pixels; the detector wants a margin."""
    side = pixels.shape[0]
    margin = side // 3
    scale = max(1, round(256 / side))
    padded = cv2.copyMakeBorder(pixels, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    large = cv2.resize(padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    faces = detector.detect(large, small_faces=False)
    if not faces:
        return None
    return replace(faces[0], points=np.asarray(faces[0].points / scale - margin, np.float32))


def measure(
    detector: FaceDetector,
    network: AttributeNetwork,
    pixels: Pixels,
    judges: AttributeNetworks | None = None,
) -> dict[str, float] | None:
    """All attributes of a cropped face; None where no face is found.

    What `geometry`, `light`, `complexion` and `paint_of` tell, `yaw` and `pitch` in degrees, and what the
    attribute network tells: `age` in years, `masculine` in log odds, and the rest under its own names.

    Args:
        detector: Finds the mesh.
        network: The attribute network.
        pixels: The crop [R, R, 3] uint8.
        judges: Tell age and masculine instead of the attribute network, for reports on what was made with
            that.
    """
    face = find_face(detector, pixels)
    if face is None:
        return None
    points = face.points
    colours = {**light(pixels, points), **complexion(pixels, points), **paint_of(pixels, points)}
    values = tell(network, resized(pixels, SIDE)[None], torch.device("cpu"))[0].tolist()
    told = dict(zip(NAMES, values, strict=True))
    told["masculine"] = told.pop("male")
    if judges is not None:
        told["age"], told["masculine"] = age_and_gender(judges, pixels)
    return {**geometry(points), "yaw": face.yaw, "pitch": face.pitch, **colours, **told}
