"""Where the face landmark model comes from, and how MediaPipe is started with it."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylegan2.errors import CheckpointError

MODEL_VARIABLE = "CLCAE_FACE_MODEL"
BUNDLED_MODEL = (
    Path(__file__).resolve().parents[2] / "weights" / "face_landmarker" / "face_landmarker_mesh.task"
)
_DETECTOR_ENTRY = "face_detector.tflite"  # the name inside every FaceLandmarker bundle
# Lines that the library writes at each start, about itself; it has no switch for them.
_START_NOISE = (b"XNNPACK delegate for CPU", b"before absl::InitializeLog()", b"inference_feedback_manager")


@dataclass(frozen=True)
class FaceModels:
    """The two MediaPipe tasks of one model file."""

    landmarker: Any  # mediapipe FaceLandmarker: up to `max_faces` meshes of a picture
    detector: Any  # mediapipe FaceDetector: boxes only, three times faster

    def close(self) -> None:
        """Free the memory of both tasks; a second call does nothing."""
        self.landmarker.close()
        self.detector.close()


def find_face_model(path: str | Path | None = None) -> Path:
    """Choose the landmark model file.

    Args:
        path: An explicit choice. Without it, the environment variable `CLCAE_FACE_MODEL` decides, and without
            that, the file that comes with the project.

    Returns:
        Path of an existing file; its content is not looked at.

    Raises:
        CheckpointError: The first of the three that is given is no file.
    """
    variable = os.environ.get(MODEL_VARIABLE)
    chosen, origin = BUNDLED_MODEL, "bundled with the project"
    if path is not None:
        chosen, origin = Path(path), "given explicitly"
    elif variable:
        chosen, origin = Path(variable), f"from {MODEL_VARIABLE}"
    if not chosen.is_file():
        raise CheckpointError(
            f"{chosen}: no such face landmark model ({origin}); give the path of a MediaPipe "
            f"face_landmarker.task or set {MODEL_VARIABLE} to it; without either, "
            f"weights/face_landmarker/{BUNDLED_MODEL.name} of the project is used"
        )
    return chosen


def load_face_models(path: Path, *, max_faces: int) -> FaceModels:
    """Start MediaPipe with the model file `path`.

    Args:
        path: A FaceLandmarker bundle (`.task`).
        max_faces: Most faces to report of one picture.

    Raises:
        CheckpointError: The file cannot be read or is no FaceLandmarker bundle, or MediaPipe cannot be
            imported.
    """
    try:
        bundle = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            detector_model = archive.read(_DETECTOR_ENTRY)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: no FaceLandmarker bundle ({error}); expected a .task file") from error
    try:
        # Here and not at the top: the import takes over a second, and the library prefers a late start.
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        message = f"mediapipe cannot be imported ({error}); install what requirements.txt lists"
        raise CheckpointError(message) from error
    landmarker_options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=bundle), num_faces=max_faces
    )
    detector_options = vision.FaceDetectorOptions(base_options=BaseOptions(model_asset_buffer=detector_model))
    try:
        with _without_start_noise():
            landmarker = vision.FaceLandmarker.create_from_options(landmarker_options)
            detector = vision.FaceDetector.create_from_options(detector_options)
    except (RuntimeError, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: MediaPipe refuses it ({error}); expected a .task file") from error
    return FaceModels(landmarker=landmarker, detector=detector)


@contextmanager
def _without_start_noise() -> Iterator[None]:
    """Hold back file descriptor 2 and pass on, at the end, all lines but those of `_START_NOISE`."""
    try:
        stderr = os.dup(2)
    except OSError:  # a process without standard error
        yield
        return
    with tempfile.TemporaryFile() as held:
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            held.seek(0)
            lines = [line for line in held if not any(noise in line for noise in _START_NOISE)]
            if lines:
                os.write(stderr, b"".join(lines))
            os.close(stderr)
