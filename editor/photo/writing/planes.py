"""The planes of a JPEG, edited and encoded again with next to no loss.

Decoded to RGB, most JPEGs' colour is interpolated; encoded again, averaged: a little softer each time. The
planes as the file has them go back into the same numbers, but for what was edited.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from editor.photo.colour import Pixels
from editor.photo.reading import turned_back, upright
from editor.photo.writing.changes import Box
from editor.photo.writing.to_native import NativeColours

# JFIF's (ITU-T T.871) way from RGB to Y, Cb, Cr; differences have no offset.
_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
# Pillow's subsampling -> rows and columns of samples of light that share one of colour.
STEPS = {0: (1, 1), 1: (1, 2), 2: (2, 2)}


@dataclass(frozen=True, eq=False)
class Planes:
    """A JPEG as it lies in its file."""

    light: npt.NDArray[np.uint8]
    """[H, W]."""
    colour: npt.NDArray[np.uint8]
    """[H / rows, W / columns, 2], rounded up: Cb, Cr."""
    subsampling: int
    """A key of `STEPS`."""

    def image(self) -> Image.Image:
        """Mode YCbCr: each sample of colour repeated, so that the encoder's mean of them is that sample."""
        height, width = self.light.shape
        rows, columns = STEPS[self.subsampling]
        full = (self.colour.shape[1] * columns, self.colour.shape[0] * rows)
        bands = [
            cv2.resize(np.ascontiguousarray(self.colour[..., band]), full, interpolation=cv2.INTER_NEAREST)
            for band in (0, 1)
        ]
        cut = [np.ascontiguousarray(band[:height, :width]) for band in bands]
        return Image.merge("YCbCr", [Image.fromarray(band) for band in (self.light, *cut)])


def read_planes(source: Path | bytes, subsampling: int) -> Planes:
    """The planes of a JPEG that was opened before.

    Args:
        source: The file, of the first picture in it.
        subsampling: A key of `STEPS`.

    Raises:
        DECODER_ERRORS: It is damaged.
    """
    if subsampling < 2:
        whole = _decoded(source, "YCbCr", 1)
        colour = np.ascontiguousarray(whole[..., 1:]) if subsampling == 0 else _shared(whole[..., 1:])
        return Planes(np.ascontiguousarray(whole[..., 0]), colour, subsampling)
    # At half the size the decoder leaves the samples of colour as they are, and halves those of light.
    colour = np.ascontiguousarray(_decoded(source, "YCbCr", 2)[..., 1:])
    return Planes(_decoded(source, "L", 1), colour, 2)


def edit_planes(
    planes: Planes, way: NativeColours, boxes: list[Box], shown: Pixels, edited: Pixels, orientation: int
) -> None:
    """Move planes by what an edit changed, in place.

    Args:
        planes: As they lie in the file.
        way: From sRGB to the file's colours.
        boxes: The places of `shown` and `edited` that differ; none overlaps another.
        shown: [H, W, 3] uint8, upright.
        edited: The same, edited.
        orientation: How the file lays the picture, 1..8.
    """
    back = turned_back(orientation)
    rows, columns = STEPS[planes.subsampling]
    height, width = planes.light.shape
    for box in boxes:
        after, before = (way.of(upright(picture[box], back), 255) for picture in (edited, shown))
        difference = cv2.subtract(after, before, dtype=cv2.CV_32F)
        (top, bottom), (left, right) = _turned(box, back, shown.shape[:2])
        _add(planes.light[top:bottom, left:right, None], cv2.transform(difference, _YCC[:1]))
        padded = cv2.transform(difference, _YCC[1:])
        # To whole samples of colour; beyond the picture's end the encoder repeats what is there.
        ends = (-bottom % rows, -right % columns)
        if top % rows or left % columns or any(ends):
            padded = cv2.copyMakeBorder(
                padded, top % rows, ends[0], left % columns, ends[1], cv2.BORDER_CONSTANT, value=(0, 0)
            )
        if bottom == height and ends[0]:
            padded[-1] = padded[-2]
        if right == width and ends[1]:
            padded[:, -1] = padded[:, -2]
        small = (padded.shape[1] // columns, padded.shape[0] // rows)
        mean = cv2.resize(padded, small, interpolation=cv2.INTER_AREA)
        place = planes.colour[top // rows :, left // columns :][: small[1], : small[0]]
        _add(place, mean)


def _add(values: npt.NDArray[np.uint8], by: npt.NDArray[np.float32]) -> None:
    moved = cv2.add(np.ascontiguousarray(values), by.reshape(values.shape), dtype=cv2.CV_8U)  # rounds, clips
    values[:] = moved.reshape(values.shape)


def _turned(box: Box, orientation: int, size: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a box of a picture of `size` lies once `upright` has turned the picture."""
    places = [(part.start, part.stop) for part in box]
    for axis, flips in enumerate(((3, 4, 6, 7), (2, 3, 7, 8))):
        if orientation in flips:
            start, stop = places[axis]
            places[axis] = (size[axis] - stop, size[axis] - start)
    rows, columns = places
    return (columns, rows) if orientation >= 5 else (rows, columns)


def _decoded(source: Path | bytes, mode: str, part: int) -> npt.NDArray[np.uint8]:
    stream = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    with stream, JpegImagePlugin.JpegImageFile(stream) as image:
        image.draft(mode, (image.width // part, image.height // part))
        image.load()
        if image.mode != mode:
            raise OSError(f"decoded as {image.mode}")
        return np.array(image)  # one that can be written to


def _shared(wide: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Samples of colour [H, W / 2, 2] out of what the decoder interpolated of them [H, W, 2].

    It gives (3 c[i] + c[i - 1]) / 4 and (3 c[i] + c[i + 1]) / 4, at the ends c itself. Solved for c[i] by
    either neighbour, and the mean of both taken.
    """
    if wide.shape[1] % 2:
        wide = np.concatenate([wide, wide[:, -1:]], 1)
    shared = np.empty((wide.shape[0], wide.shape[1] // 2, 2), np.uint8)
    for top in range(0, len(wide), 256):
        band = wide[top : top + 256].astype(np.float32)
        left, right = band[:, 0::2], band[:, 1::2]
        by_left, by_right = left.copy(), right.copy()
        by_left[:, 1:] = (3 * left[:, 1:] - right[:, :-1]) / 2
        by_right[:, :-1] = (3 * right[:, :-1] - left[:, 1:]) / 2
        shared[top : top + 256] = np.rint((by_left + by_right) / 2).clip(0, 255)
    return shared
