"""Photo -> the faces in it, each with the 478 points of MediaPipe's face mesh."""

from __future__ import annotations

import math
import threading
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from editor.colour import Pixels
from editor.face_model import FaceModels, find_face_model, load_face_models
from editor.photo import check_pixels
from editor.tiles import Box, distinct, same_face, tile_starts

Points = npt.NDArray[np.float32]

MAX_FACES = 32  # in one photo
MIN_FACE_PART = 0.03  # of the longer side: the smallest faces found reliably, in a photo of 640 px or more
_WHOLE_SIDE = 1280  # px; longer side at which a whole photo is searched
_TILE_SIDE = 256  # px; tiles are shrunk to this; the detector itself looks at 128 x 128
_MIN_TILE = 160  # px of the photo; what smaller tiles add, faces below some 30 px, is of no use
_MIN_FACE = 16  # px; smaller "faces" are noise
_LARGE_FACE = 1 / 4  # of the photo's longer side; who shows one that large is meant
_CROP_FACTOR = 2.5  # side of the box around a small face in which its points are found, in face sizes
_CROP_SIDE = 512  # px; larger boxes are shrunk to this
# Of 250 aligned faces none was found more surely on its side or head than upright by as much as this.
_TURN_MARGIN = 0.04

_NOSE_TIP, _CHEEK_RIGHT, _CHEEK_LEFT = 1, 234, 454  # the subject's right and left, at the ears
# Nose tip in front of the middle between the cheeks, in units of half their distance: the regression of the
# nose cue on the depth cue over 1969 aligned photographs of faces turned by up to 50 degrees.
_NOSE_REACH = 1.55


@dataclass(frozen=True, eq=False)
class Face:
    """One face of a photo; coordinates in pixels, pixel (i, j) covering [i, i+1] x [j, j+1]."""

    points: Points  # [478, 2] x, y of the face mesh; may lie outside the photo
    box: tuple[float, float, float, float]  # x0, y0, x1, y1: bounds of the points
    size: float  # px, the longer side of the box
    yaw: float = 0.0  # degrees, rough: see `estimate_yaw`


def estimate_yaw(mesh: npt.NDArray[Any]) -> float:
    """Estimate how far a face is turned to the side.

    Mean of two cues, both free of roll: the difference in depth between the cheeks, and how far the nose tip
    is off the middle between them. Rough, and it saturates: MediaPipe's mesh hardly turns further than 50
    degrees, which is what a half profile and a full profile both read as.

    Args:
        mesh: Face mesh [478, 3] x, y, z in one unit, z growing away from the camera.

    Returns:
        Degrees in -90..90; 0 looks into the camera, positive towards the right edge of the picture.
    """
    right, left, nose = (mesh[index].astype(np.float64) for index in (_CHEEK_RIGHT, _CHEEK_LEFT, _NOSE_TIP))
    across = left - right
    width = max(math.hypot(across[0], across[1]), 1e-6)
    depth_cue = math.atan2(across[2], width)
    aside = float((nose - (left + right) / 2)[:2] @ across[:2]) / width
    nose_cue = math.atan2(aside / _NOSE_REACH, width / 2)
    return math.degrees((depth_cue + nose_cue) / 2)


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
        tiles of a half and a quarter of that side are searched too, which finds faces down to `MIN_FACE_PART`
        of it. A photo that lies on its side or head is turned upright for the search.

        Args:
            pixels: Photo [H, W, 3] uint8 RGB; not changed.
            small_faces: Search the tiles where needed, and look which way is up. Without, a call is one pass
                over the photo, for video, and misreads faces that are turned by more than 60 degrees.

        Returns:
            At most 32 faces, largest first; none is no error.

        Raises:
            ImageInputError: `pixels` has another shape or type.
            CheckpointError: As `load`.
        """
        check_pixels("photo", pixels)
        with self._lock:
            models = self._ready()
            faces = _search(models, pixels, small_faces=small_faces)
            turns = _turns_to_upright(models, pixels, faces[0].box) if small_faces and faces else 0
            if turns:
                upright = np.ascontiguousarray(np.rot90(pixels, turns))
                found = _search(models, upright, small_faces=small_faces)
                faces = [_turned_back(face, turns, *upright.shape[:2]) for face in found] or faces
        return faces

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


def _search(models: FaceModels, pixels: Pixels, *, small_faces: bool) -> list[Face]:
    """Every face once, largest first, of a photo that is roughly upright."""
    height, width = pixels.shape[:2]
    overview = _shrink(pixels, _WHOLE_SIDE / max(height, width))
    faces = _find_faces(models, overview, Box(0, 0, width, height))
    found_large = any(face.size > max(height, width) * _LARGE_FACE for face in faces)
    if small_faces and not found_large:
        faces = _search_tiles(models, pixels, overview, faces)
    return _one_each(faces)


def _search_tiles(models: FaceModels, pixels: Pixels, overview: Pixels, known: list[Face]) -> list[Face]:
    """`known`, found in `overview`, and the small faces that only its tiles show."""
    zoom = max(pixels.shape[:2]) / max(overview.shape[:2])  # photo px per px of the overview
    boxes = [Box(*face.box) for face in known]
    candidates = list(boxes)
    for parts in (2, 4):
        tile_side = max(overview.shape[:2]) // parts
        if tile_side >= _MIN_TILE:
            candidates += [box.scaled(zoom) for box in _scan(models, overview, tile_side)]
    fresh = [candidates[index] for index in distinct(candidates) if index >= len(boxes)]
    if zoom > 1:  # then the known ones were found in a shrunk photo: look again, at full detail
        known = [_find_in_box(models, pixels, box) or face for box, face in zip(boxes, known, strict=True)]
    found = (_find_in_box(models, pixels, box) for box in fresh[:MAX_FACES])
    return known + [face for face in found if face is not None]


def _scan(models: FaceModels, pixels: Pixels, tile_side: int) -> list[Box]:
    """Boxes of faces in all tiles of one size, most certain first."""
    scale = min(1.0, _TILE_SIDE / tile_side)
    level = _shrink(pixels, scale)
    side = round(tile_side * scale)
    scored: list[tuple[float, Box]] = []
    for top in tile_starts(level.shape[0], side):
        for left in tile_starts(level.shape[1], side):
            tile = level[top : top + side, left : left + side]
            for found in models.detector.detect(_mediapipe_image(tile)).detections:
                box = found.bounding_box
                x0, y0 = left + box.origin_x, top + box.origin_y
                scored.append((found.categories[0].score, Box(x0, y0, x0 + box.width, y0 + box.height)))
    return [box.scaled(1 / scale) for _, box in sorted(scored, key=lambda pair: -pair[0])]


def _cut_around(pixels: Pixels, box: Box) -> tuple[Pixels, Box]:
    """The part of the photo around a face, shrunk where large, and its place in the photo."""
    height, width = pixels.shape[:2]
    (x, y), reach = box.center, box.size * _CROP_FACTOR / 2
    left, right = _span(x, reach, width)
    top, bottom = _span(y, reach, height)
    cut = _shrink(pixels[top:bottom, left:right], _CROP_SIDE / max(right - left, bottom - top))
    return cut, Box(left, top, right, bottom)


def _span(middle: float, reach: float, length: int) -> tuple[int, int]:
    """Start and end, at least one pixel apart, of what an axis has within `reach` of `middle`."""
    start = min(max(0, math.floor(middle - reach)), length - 1)
    return start, max(min(length, math.ceil(middle + reach)), start + 1)


def _find_in_box(models: FaceModels, pixels: Pixels, box: Box) -> Face | None:
    """The face that `box` means, found again in a padded cut around it, if it is one."""
    faces = _find_faces(models, *_cut_around(pixels, box))
    same = [face for face in faces if same_face(Box(*face.box), box)]
    return min(same, key=lambda face: math.dist(Box(*face.box).center, box.center), default=None)


def _turns_to_upright(models: FaceModels, pixels: Pixels, box: tuple[float, float, float, float]) -> int:
    """Quarter turns, counterclockwise, after which the detector is surest of the face in `box`.

    It finds faces on their side and head too, only less surely, and the mesh of these is wrong.
    """
    cut, _ = _cut_around(pixels, Box(*box))
    scores = []
    for turns in range(4):
        found = models.detector.detect(_mediapipe_image(np.rot90(cut, turns))).detections
        scores.append(max((each.categories[0].score for each in found), default=0.0))
    best = scores.index(max(scores))
    return best if scores[best] > scores[0] + _TURN_MARGIN else 0


def _turned_back(face: Face, turns: int, height: int, width: int) -> Face:
    """A face of a photo, of `height` x `width`, that had been turned, in the photo as it was before."""
    points = face.points
    for _ in range(turns):  # undoes one counterclockwise quarter turn
        points = np.stack([height - points[:, 1], points[:, 0]], axis=1)
        height, width = width, height
    return replace(face, points=points, box=_bounds(points))


def _find_faces(models: FaceModels, pixels: Pixels, region: Box) -> list[Face]:
    """Faces of an image that shows the part `region` of the photo, at any scale, in photo pixels."""
    width, height = region.x1 - region.x0, region.y1 - region.y0
    faces = []
    for marks in models.landmarker.detect(_mediapipe_image(pixels)).face_landmarks:
        # MediaPipe gives x and y in parts of the image's width and height, z on the scale of x.
        parts = np.array([(mark.x, mark.y, mark.z) for mark in marks], dtype=np.float64)
        face = _face_of_mesh(parts * (width, height, width) + (region.x0, region.y0, 0.0))
        if face.size >= _MIN_FACE:
            faces.append(face)
    return faces


def _face_of_mesh(mesh: npt.NDArray[np.float64]) -> Face:
    points = mesh[:, :2].astype(np.float32)
    box = _bounds(points)
    return Face(points=points, box=box, size=Box(*box).size, yaw=estimate_yaw(mesh))


def _bounds(points: Points) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x0, y0, x1, y1


def _one_each(faces: list[Face]) -> list[Face]:
    """Largest first, each face once however often it was found."""
    ordered = sorted(faces, key=lambda face: -face.size)
    return [ordered[index] for index in distinct([Box(*face.box) for face in ordered])][:MAX_FACES]


def _shrink(pixels: Pixels, scale: float) -> Pixels:
    """`pixels` at `scale` where that is below 1, else `pixels` themselves."""
    if scale >= 1:
        return pixels
    height, width = pixels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _mediapipe_image(pixels: Pixels) -> Any:  # noqa: ANN401 (mediapipe has no types)
    from mediapipe import Image, ImageFormat

    return Image(image_format=ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
