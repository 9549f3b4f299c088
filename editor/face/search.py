"""Search a photo for faces of every size and in every quarter turn, with the two models of MediaPipe."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from editor.face.mesh import Face, face_of_mesh, turned_back
from editor.face.model import FaceModels
from editor.face.tiles import Box, distinct, same_face, tile_starts
from editor.photo.colour import Pixels

MAX_FACES = 32  # in one photo
MIN_FACE_PART = 0.03  # of the longer side: the smallest faces found reliably, in a photo of 640 px or more
_WHOLE_SIDE = 1280  # px; longer side at which a whole photo is searched
_TILE_SIDE = 256  # px; tiles are shrunk to this; the detector itself looks at 128 x 128
_MIN_TILE = 160  # px of the photo; what smaller tiles add, faces below some 30 px, is of no use
_MIN_FACE = 16  # px; smaller "faces" are noise
_LARGE_FACE = 1 / 4  # of the photo's longer side; who shows one that large is meant
_CROP_FACTOR = 2.5  # side of the box around a small face in which its points are found, in face sizes
_CROP_SIDE = 512  # px; larger boxes are shrunk to this
# Of 250 cropped faces none was found more surely on its side or head than upright by as much as this.
_TURN_MARGIN = 0.04
_TURNS = (0, 1, 3, 2)  # cameras are held on their side more often than on their head


def find_faces(models: FaceModels, pixels: Pixels) -> list[Face]:
    """Every face once, largest first, of a photo that may lie on its side or head.

    The photo is searched as it is; only where that finds nothing, it is searched in the other three quarter
    turns, one by one until one shows a face. What was found tells which way is up: where that is another
    turn, the faces are those found there.

    Args:
        models: The face models.
        pixels: Photo [H, W, 3] uint8.
    """
    tried: dict[int, list[Face]] = {}

    def look(turns: int) -> list[Face]:
        if turns not in tried:
            turned = _turned(pixels, turns)
            tried[turns] = search_upright(models, turned, small_faces=True)
        return tried[turns]

    for turns in _TURNS:
        if faces := look(turns):
            upright = next(
                (turn for turn in _ranked_turns(models, pixels, faces[0], turns) if look(turn)), turns
            )
            height, width = _turned(pixels, upright).shape[:2]
            return [turned_back(face, upright, height, width) for face in look(upright)]
    return []


def _turned(pixels: Pixels, turns: int) -> Pixels:
    return np.ascontiguousarray(np.rot90(pixels, turns))


def search_upright(models: FaceModels, pixels: Pixels, *, small_faces: bool) -> list[Face]:
    """Every face once, largest first, of a photo that is roughly upright.

    Args:
        models: The face models.
        pixels: Photo [H, W, 3] uint8.
        small_faces: Search tiles too, unless a large face is found.
    """
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
        known = [find_in_box(models, pixels, box) or face for box, face in zip(boxes, known, strict=True)]
    found = (find_in_box(models, pixels, box) for box in fresh[:MAX_FACES])
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


def find_in_box(models: FaceModels, pixels: Pixels, box: Box) -> Face | None:
    """The face that `box` means, found again in a padded cut around it, if it is one."""
    faces = _find_faces(models, *_cut_around(pixels, box))
    same = [face for face in faces if same_face(Box(*face.box), box)]
    return min(same, key=lambda face: math.dist(Box(*face.box).center, box.center), default=None)


def _ranked_turns(models: FaceModels, pixels: Pixels, face: Face, turns: int) -> list[int]:
    """The turns in which the detector sees a face, surest first.

    It finds faces on their side and head too, only less surely, and the mesh of these is wrong.

    Args:
        models: The face models.
        pixels: Photo [H, W, 3] uint8.
        face: Found in the photo turned by `turns`.
        turns: Quarter turns counterclockwise, 0..3.
    """
    cut, _ = _cut_around(_turned(pixels, turns), Box(*face.box))
    scores = {(turns + more) % 4: score_face(models, np.rot90(cut, more)) for more in range(4)}
    if turns == 0:  # a photo usually lies as it is meant to; where nothing was found so, no turn is likelier
        scores[0] += _TURN_MARGIN
    return sorted((turn for turn in scores if scores[turn] > 0), key=lambda turn: -scores[turn])


def score_face(models: FaceModels, pixels: Pixels) -> float:
    """How sure the detector is of the surest face in `pixels`, 0.5..1; 0 where it finds none."""
    found = models.detector.detect(_mediapipe_image(pixels)).detections
    return max((float(each.categories[0].score) for each in found), default=0.0)


def _find_faces(models: FaceModels, pixels: Pixels, region: Box) -> list[Face]:
    """Faces of an image that shows the part `region` of the photo, at any scale, in photo pixels."""
    width, height = region.x1 - region.x0, region.y1 - region.y0
    faces = []
    for marks in models.landmarker.detect(_mediapipe_image(pixels)).face_landmarks:
        # MediaPipe gives x and y in parts of the image's width and height, z on the scale of x.
        parts = np.array([(mark.x, mark.y, mark.z) for mark in marks], dtype=np.float64)
        face = face_of_mesh(parts * (width, height, width) + (region.x0, region.y0, 0.0))
        if face.size >= _MIN_FACE:
            faces.append(face)
    return faces


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
