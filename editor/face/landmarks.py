"""FaceDetector: photo -> the faces in it, each with the 478 points of MediaPipe's face mesh."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from editor.face.mesh import Face
from editor.face.model import FaceModels, find_face_model, load_face_models
from editor.face.search import MAX_FACES, find_faces, find_in_box, score_face, search_upright
from editor.face.tiles import Box
from editor.photo.colour import Pixels
from editor.photo.reading import check_pixels

_SCORED_SIDE = 256  # px; the detector itself looks at 128 x 128


class FaceDetector:
    """MediaPipe's FaceLandmarker, made to find small faces too; one instance may serve several threads.

    The constructor only looks up which model file to use; the file is read at the first `detect` or `load`.
    """

    def __init__(self, model: str | Path | None = None) -> None:
        """Choose the model file: `model`, else `CLCAE_FACE_MODEL`, else the bundled one.

        Raises:
            CheckpointError: The chosen file does not exist.
        """
        self.path = find_face_model(model)
        self._models: FaceModels | None = None
        self._finalizer: weakref.finalize[[], FaceDetector] | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Start MediaPipe now rather than at the first photo (about 2 s, most of it the import).

        Raises:
            CheckpointError: The model file is damaged, or mediapipe is not installed.
        """
        with self._lock:
            self._ready()

    def detect(self, pixels: Pixels, *, small_faces: bool = True) -> list[Face]:
        """Find every face of a photo.

        The photo is searched as a whole; unless that finds a face larger than a quarter of the longer side,
        tiles of a half and a quarter of that side are searched too, which finds faces down to a part of it,
        `editor.face.search.MIN_FACE_PART`. A photo that lies on its side or head is turned upright for the
        search; where nothing is found, the other quarter turns are searched as well. A photo without faces
        therefore takes four searches, and no photo takes more: 0.5 s for one of 640 x 480 px on one core,
        0.9 s for one of 12 megapixels.

        Args:
            pixels: Photo [H, W, 3] uint8 RGB; not changed.
            small_faces: Search the tiles where needed, and look which way is up. Without, a call is one pass
                over the photo as it is, for video (2 ms at 640 x 480 px without a face): it misreads or
                misses faces that are turned by more than 60 degrees.

        Returns:
            At most 32 faces, largest first; none is no error.

        Raises:
            ImageInputError: `pixels` has another shape or type.
            CheckpointError: As `load`.
        """
        check_pixels("photo", pixels)
        with self._lock:
            models = self._ready()
            if small_faces:
                return find_faces(models, pixels)
            return search_upright(models, pixels, small_faces=False)

    def detect_near(self, pixels: Pixels, boxes: Sequence[Box]) -> list[Face]:
        """Find faces again where they were a moment ago, however small: some 6 ms each.

        Args:
            pixels: Picture [H, W, 3] uint8 RGB, upright; not changed.
            boxes: Where they were.

        Raises:
            ImageInputError: `pixels` has another shape or type.
            CheckpointError: As `load`.
        """
        check_pixels("picture", pixels)
        with self._lock:
            models = self._ready()
            found = [find_in_box(models, pixels, box) for box in boxes]
        return [face for face in found if face is not None]

    def certainty(self, crop: Pixels) -> float:
        """How sure MediaPipe's detector is that a crop shows a face; a few ms.

        Args:
            crop: Face [R, R, 3] uint8 RGB that fills the picture; not changed.

        Returns:
            0.5..1, of most faces above 0.8; 0 where no face is found.

        Raises:
            ImageInputError: `crop` has another shape or type.
            CheckpointError: As `load`.
        """
        check_pixels("crop", crop)
        margin = max(crop.shape[:2]) // 3  # the detector wants one
        wide = cv2.copyMakeBorder(crop, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
        shrunk = cv2.resize(wide, (_SCORED_SIDE, _SCORED_SIDE), interpolation=cv2.INTER_AREA)
        with self._lock:
            return score_face(self._ready(), np.asarray(shrunk, np.uint8))

    def close(self) -> None:
        """Free MediaPipe's memory; a later `detect` starts it again."""
        with self._lock:
            self._models = None
            if self._finalizer is not None:
                self._finalizer()

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ready(self) -> FaceModels:
        if self._models is None:
            self._models = load_face_models(self.path, max_faces=MAX_FACES)
            # MediaPipe prints errors when its tasks are still open at the end of the process.
            self._finalizer = weakref.finalize(self, self._models.close)
        return self._models
