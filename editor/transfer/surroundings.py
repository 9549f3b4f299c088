"""Where a photo may change under an edit, and what shows where the head gives way."""

import cv2
import numpy as np

from editor.transfer.fields import Field
from stylegan2.bundle.content import Content

_SPREAD = 1  # places that the region reaches beyond the head
_SOFT = 1.2  # places of blur at the region's border
_DOUBTFUL, _LIKELY = 0.4, 0.95  # chosen by eye: with less, hair is seen where there is none
_GAP, _GAP_SOFT = (0.3, 1.0), 2.0  # the same where the head gives way, and places of blur there
_FADE = 0.1  # of the crop's side over which edits end before its border
_INSET = 1 / 64  # of the crop's side within a box where nothing changes yet, so that rounding stays inside
_FAR = 0.12  # of the crop's side: no reflected pixel comes from farther behind the border


def region_of(before: Field, after: Field) -> Field:
    """Where the photo may change [G, G]: on the head as it was and as it is, nowhere at the crop's border.

    Args:
        before: How likely a place belongs to the head of the photo [G, G].
        after: And to that of the edited picture.
    """
    either = np.maximum(before, after)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _SPREAD + 1,) * 2)
    wide = cv2.GaussianBlur(cv2.dilate(either, kernel), (0, 0), _SOFT)
    return np.asarray(_stepped(wide) * _fade(len(wide)), np.float32)


def region_within(content: Content, side: int) -> Field:
    """Where a photo may change in a box [side, side]: not at its border, and nowhere beyond it."""
    ways = []
    for part in (content.height, content.width):
        from_middle = np.abs((np.arange(side, dtype=np.float32) + 0.5) / side - 0.5)
        ways.append(_eased(np.asarray((part / 2 - from_middle - _INSET) / _FADE, np.float32)))
    return np.asarray(np.minimum(ways[0][:, None], ways[1]), np.float32)


def uncovered_by(before: Field, after: Field) -> Field:
    """Where the head has given way [G, G]: what was head and is no more.

    Smoothed: where hair ends in front of something bright, the parser wavers from place to place, and from
    one position of a slider to the next.
    """
    gone = cv2.GaussianBlur(np.clip(before - after, 0, 1), (0, 0), _GAP_SOFT)
    return np.asarray(_stepped(gone, *_GAP), np.float32)


def behind_of(head: Field) -> Field:
    """Where the surroundings of a head go on behind it [G, G, 2], as paths of `EditFields.behind`.

    Each place of the head is led to the mirror image of itself beyond the nearest place that is no head, so
    that texture and grain go on and meet at the border. Near it that cannot be told from what was there;
    deeper inside, the way is shortened, and the nearest surroundings are repeated.

    Args:
        head: How likely a place belongs to the head [G, G].
    """
    side = len(head)
    kernel = np.ones((2 * _SPREAD + 1,) * 2, np.uint8)
    inside = cv2.dilate((head > 0.3).astype(np.uint8), kernel)
    if inside.all():
        return np.zeros((side, side, 2), np.float32)
    distance, labels = cv2.distanceTransformWithLabels(
        inside, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    border = np.zeros((int(labels.max()) + 1, 2), np.float32)
    y, x = np.nonzero(inside == 0)
    border[labels[y, x]] = np.stack([x, y], 1)
    places = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).astype(np.float32)
    there = border[labels] - places
    length = np.maximum(distance, 1e-6)
    beyond = np.minimum(distance, _FAR * side)
    path = there * (1 + beyond / length)[..., None] / side
    path[inside == 0] = 0
    return np.asarray(cv2.GaussianBlur(path.astype(np.float32), (0, 0), 1.0), np.float32)


def _stepped(x: Field, low: float = _DOUBTFUL, high: float = _LIKELY) -> Field:
    """A smooth step from 0 to 1: what is hardly likely counts for nothing, and shows nothing invented."""
    return _eased(np.asarray((x - low) / (high - low), np.float32))


def _eased(x: Field) -> Field:
    t = np.clip(x, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _fade(side: int) -> Field:
    places = (np.arange(side, dtype=np.float32) + 0.5) / side
    smooth = _eased(np.asarray(np.minimum(places, 1 - places) / _FADE, np.float32))
    return np.asarray(np.minimum(smooth[:, None], smooth), np.float32)
