"""Measure what a face looks like: landmark geometry, colour statistics, age and gender networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from editor.face.landmarks import FaceDetector
from editor.face.mesh import (
    EYES,
    FACE_SIDES,
    FOREHEAD_CHIN,
    LIPS_INNER,
    LIPS_OUTER,
    MOUTH_CORNERS,
    NOSE_TIP,
    Points,
)
from editor.photo.colour import Pixels
from stylegan2.engines.openvino import import_openvino
from stylegan2.errors import CheckpointError

# The networks' training crop, the FFHQ square's box (0.2, 0.27, 0.8, 0.87), seen from the tight crop of a
# typical face.
NETWORK_BOX = (0.045, 0.0, 0.955, 0.90)
NETWORK_MEAN = np.array([122.782, 117.001, 104.298], np.float32)


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
    """Shape of a face from its mesh [478, 2], free of scale and of in-plane rotation."""
    height, width = _gap(points, FOREHEAD_CHIN), _gap(points, FACE_SIDES)
    down = points[FOREHEAD_CHIN[1]] - points[FOREHEAD_CHIN[0]]
    down = down / np.linalg.norm(down)
    across = np.array([down[1], -down[0]])  # towards the image's right
    corners = points[list(MOUTH_CORNERS)]
    lift = float(((points[LIPS_OUTER[0]] + points[LIPS_OUTER[1]]) / 2 - corners.mean(0)) @ down)
    middle = points[list(FACE_SIDES)].mean(0)
    return {
        "smile": _gap(points, MOUTH_CORNERS) / width + 2 * lift / height,
        "mouth_open": _gap(points, LIPS_INNER) / height,
        "eyes_open": float(np.mean([_gap(points, lids) / _gap(points, corners_) for lids, corners_ in EYES])),
        "yaw": float((points[NOSE_TIP] - middle) @ across) / width,
    }


def _inside(points: Points, pixels: Pixels) -> NDArray[np.bool_]:
    """Which pixels [R, R] the face covers."""
    hull = cv2.convexHull(points.astype(np.float32)).round().astype(np.int32)
    inside: NDArray[np.bool_] = cv2.fillConvexPoly(np.zeros(pixels.shape[:2], np.uint8), hull, 1).astype(bool)
    return inside


def light(pixels: Pixels, points: Points) -> dict[str, float]:
    """Luminance inside the face: difference of its halves over their mean, and the mean (0 to 1)."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    mask = _inside(points, pixels)
    columns = np.arange(luma.shape[1])[None] > points[NOSE_TIP][0]
    right, left = luma[mask & columns], luma[mask & ~columns]
    mean = float(luma[mask].mean())
    if not len(right) or not len(left):
        return {"light": 0.0, "brightness": mean}
    return {"light": float(right.mean() - left.mean()) / max(mean, 1e-3), "brightness": mean}


def complexion(pixels: Pixels, points: Points) -> dict[str, float]:
    """Colour of the face in CIELAB: medians of a* and b*, which lips, teeth and eyes hardly move."""
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    redness, yellowness = np.median(lab[_inside(points, pixels)][:, 1:], axis=0)
    return {"redness": float(redness), "yellowness": float(yellowness)}


def find_mesh(detector: FaceDetector, pixels: Pixels) -> Points | None:
    """The mesh [478, 2] of the face in a crop, in its pixels; the detector wants a margin."""
    side = pixels.shape[0]
    margin = side // 3
    scale = max(1, round(256 / side))
    padded = cv2.copyMakeBorder(pixels, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    large = cv2.resize(padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    faces = detector.detect(large, small_faces=False)
    return np.asarray(faces[0].points / scale - margin, np.float32) if faces else None


def measure(detector: FaceDetector, networks: AttributeNetworks, pixels: Pixels) -> dict[str, float] | None:
    """All attributes of a cropped face, pixels [R, R, 3] uint8; None where no face is found."""
    points = find_mesh(detector, pixels)
    if points is None:
        return None
    age, masculine = age_and_gender(networks, pixels)
    colours = {**light(pixels, points), **complexion(pixels, points)}
    return {**geometry(points), **colours, "age": age, "masculine": masculine}
