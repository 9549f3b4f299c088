"""paint_planes: an edit of RGB pixels onto the luma and chroma samples that a clip is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from editor.photo.colour import Pixels
from stylegan2.errors import ShapeError

Samples = npt.NDArray[Any]  # uint8, or uint16 where a sample has more than 8 bits


@dataclass(frozen=True)
class Coding:
    """How samples stand for colours: ITU-T H.273, section 8.3, with its names K_R and K_B."""

    k_r: float  # share of red in luma
    k_b: float  # share of blue
    full: bool  # black to white is 0 to the highest sample; else 16 to 235 of 8 bits ("limited")
    bits: int  # of a sample
    across: int  # pixels per chroma sample in a row
    down: int  # and in a column

    @property
    def highest(self) -> int:
        """The highest sample."""
        return int(2**self.bits - 1)

    @property
    def of_rgb(self) -> npt.NDArray[np.float32]:
        """[3, 3]: what R, G and B, which change by levels of 255, change of Y, Cb and Cr, in samples.

            E'Y = K_R R + (1 - K_R - K_B) G + K_B B
            Y   = 219 * 2^(bits - 8) E'Y                   full range: (2^bits - 1) E'Y
            Cb  = 224 * 2^(bits - 8) (B - E'Y) / (2 (1 - K_B))         (2^bits - 1) ...
            Cr  = 224 * 2^(bits - 8) (R - E'Y) / (2 (1 - K_R))         (2^bits - 1) ...

        where R, G and B are in 0..1, without the constants, which a change has none of.
        """
        luma = np.array([self.k_r, 1 - self.k_r - self.k_b, self.k_b])
        blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - self.k_b))
        red = (np.array([1, 0, 0]) - luma) / (2 * (1 - self.k_r))
        step = 2 ** (self.bits - 8)
        y, c = (self.highest, self.highest) if self.full else (219 * step, 224 * step)
        return np.asarray(np.stack([y * luma, c * blue, c * red]) / 255, np.float32)


def paint_planes(
    planes: Sequence[Samples], before: Pixels, after: Pixels, left: int, top: int, coding: Coding
) -> None:
    """Add to a frame's samples what an edit changes of its pixels.

    The change is added, and not the pixels written: a pixel that the edit leaves keeps its sample bit for
    bit, with all its bits, and colours that RGB has no room for. A chroma sample moves by the mean change of
    the pixels that it is for (in the middle of them, as in JPEG; that most clips have it half a pixel further
    left is not seen in a change of colour).

    Args:
        planes: Y [H, W], Cb and Cr [ceil(H / down), ceil(W / across)], uint8 or uint16; changed in place, and
            only where a chroma sample is for a pixel of the patch.
        before: Pixels [h, w, 3] uint8 RGB that the planes show at the patch.
        after: What they shall show [h, w, 3] uint8.
        left: Column of the patch's first pixel in the frame.
        top: And its row.
        coding: What the samples stand for.

    Raises:
        ShapeError: `after` has another shape than `before`, or Cb or Cr than the one above.
    """
    luma, *chroma = planes
    height, width = luma.shape
    there = (-(-height // coding.down), -(-width // coding.across))
    for name, plane in zip(("cb", "cr"), chroma, strict=True):
        _check(name, plane, there)
    _check("after", after, before.shape)
    change = cv2.transform(after.astype(np.float32) - before, coding.of_rgb)  # [h, w, 3]
    bottom, right = top + change.shape[0], left + change.shape[1]
    _add(luma[top:bottom, left:right], change[..., 0], coding.highest)
    rows, columns = _blocks(top, bottom, coding.down), _blocks(left, right, coding.across)
    whole = np.zeros((len(rows) * coding.down, len(columns) * coding.across, 2), np.float32)
    inside = top - rows.start * coding.down, left - columns.start * coding.across
    whole[inside[0] : inside[0] + change.shape[0], inside[1] : inside[1] + change.shape[1]] = change[..., 1:]
    sums = whole.reshape(len(rows), coding.down, len(columns), coding.across, 2).sum((1, 3))
    # At an odd border a chroma sample is for fewer pixels.
    seen = np.outer(
        np.minimum(coding.down, height - np.array(rows) * coding.down),
        np.minimum(coding.across, width - np.array(columns) * coding.across),
    )
    for plane, total in zip(chroma, np.moveaxis(sums, 2, 0), strict=True):
        part = plane[rows.start : rows.stop, columns.start : columns.stop]
        _add(part, total / seen, coding.highest)


def _blocks(first: int, end: int, size: int) -> range:
    """Blocks of `size` that hold the places from `first` up to `end`."""
    return range(first // size, -(-end // size))


def _check(name: str, found: Samples, wanted: tuple[int, ...]) -> None:
    if found.shape != wanted:
        raise ShapeError(name, found.shape, str(list(wanted)))


def _add(samples: Samples, change: npt.NDArray[Any], highest: int) -> None:
    samples[...] = np.clip(np.rint(samples + change), 0, highest)
