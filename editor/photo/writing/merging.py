"""An edit, made on 8-bit sRGB, put into a photo's own values."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from editor.photo.colour import Pixels
from editor.photo.profile import PROFILE_ERRORS, grey_table
from editor.photo.writing import changes
from editor.photo.writing.native import Colours, Values
from editor.photo.writing.png import Samples
from editor.photo.writing.to_native import NativeColours


def merged(own: Values, shown: Pixels, edited: Pixels, *, alpha: bool, grey: bool) -> Values:
    """The photo's values, changed where it was edited, by what the edit changed.

        value' = value + n(edited) - n(shown)

    with n the way from sRGB to the file's colours: what n, or 8 bits, cannot hold of a value stays in it.
    Where a pixel is partly transparent, the difference is that of the colour before it was laid on white.

    Args:
        own: The photo's values; written to.
        shown: `PhotoFile.pixels` [H, W, 3].
        edited: [H, W, 3] uint8, equal to `shown` where nothing was edited.
        alpha: Whether the file to be written can hold transparency; else it is laid on white.
        grey: Whether it can hold greys; else, and where greys were given colours, they become RGB.

    Returns:
        8 or 16 bits; `edited` itself, as 8-bit sRGB, where the profile has no way back.
    """
    boxes = list(changes.changed_boxes(shown, edited))
    if own.samples.shape[2] < 3 and not (grey and all(_is_grey(edited[box]) for box in boxes)):
        own = _in_colours(own)
    if not alpha and own.samples.shape[2] in (2, 4):
        own = replace(own, samples=_on_white(own.samples))
    colours = own.colours
    try:
        way = NativeColours(colours.profile if colours.changes else None, grey=own.samples.shape[2] < 3)
    except PROFILE_ERRORS:
        return Values(edited, Colours())
    for box in boxes:
        _move(own.samples[box], way, shown[box], edited[box])
    return own


def _move(values: Samples, way: NativeColours, shown: Pixels, edited: Pixels) -> None:
    """Write `values` [h, w, C] anew, by the difference of two pictures [h, w, 3]."""
    top = int(np.iinfo(values.dtype).max)
    colours = 1 if values.shape[2] < 3 else 3
    after, before = (way.of(np.ascontiguousarray(picture), top) for picture in (edited, shown))
    if top == 255 and colours == values.shape[2]:
        difference = cv2.subtract(after, before, dtype=cv2.CV_16S)
        moved = cv2.add(np.ascontiguousarray(values), difference, dtype=cv2.CV_8U)  # clips at both ends
        values[:] = moved.reshape(values.shape)
        return
    by = after.astype(np.int32) - before.reshape(after.shape)
    if colours < values.shape[2]:
        opacity = values[..., colours:].astype(np.int32)
        by = np.where(opacity > 0, np.rint(by * (top / np.maximum(opacity, 1))), 0).astype(np.int32)
    values[..., :colours] = (values[..., :colours] + by).clip(0, top)


def _is_grey(pixels: Pixels) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def _in_colours(own: Values) -> Values:
    """Greys as RGB: the same numbers, or, with a profile of greys, what they look like in 8-bit sRGB."""
    greys, rest, colours = own.samples[..., 0], own.samples[..., 1:], own.colours
    table = None
    if colours.changes and colours.profile is not None:
        table = grey_table(colours.profile, int(np.iinfo(greys.dtype).max) + 1)
    if table is None:
        return Values(np.dstack([greys, greys, greys, rest]), Colours(own=True))
    return Values(np.dstack([table[greys], _to_8_bits(rest)]), Colours())


def _on_white(samples: Samples) -> Samples:
    """Samples without their alpha, laid on white."""
    colours, top = samples.shape[2] - 1, int(np.iinfo(samples.dtype).max)
    laid = np.empty((*samples.shape[:2], colours), samples.dtype)
    rows = max(1, changes.BAND // samples.shape[1])
    for first in range(0, len(samples), rows):
        band = samples[first : first + rows].astype(np.int64)
        opacity = band[..., colours:]
        laid[first : first + rows] = (band[..., :colours] * opacity + top * (top - opacity) + top // 2) // top
    return laid


def _to_8_bits(samples: Samples) -> Samples:
    return samples if samples.dtype == np.uint8 else np.rint(samples / 257).astype(np.uint8)
