"""Ground: what of a face in a photo stays the same, however far the sliders move."""

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from editor.face.warp import resized
from editor.parts.network import SIDE as PARSED_SIDE
from editor.parts.parser import FaceParser, room_of_head
from editor.photo.colour import Pixels
from editor.transfer.fields import Field
from editor.transfer.surroundings import behind_of, region_within
from inversion.transfer.config import SIDE
from stylegan2.bundle.content import Content

_KEPT = 3  # pictures of other spaces and engines


class DrawnMemo:
    """The last few pictures of the unedited face, by what drew them."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Pixels] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, draw: Callable[[], Pixels]) -> Pixels:
        """The pictures under `key`, drawn at the first use."""
        with self._lock:
            if key not in self._found:
                while len(self._found) >= _KEPT:
                    del self._found[next(iter(self._found))]
                self._found[key] = draw()
            return self._found[key]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """A head, and what is around it, on a grid."""

    head: Field  # how likely a place belongs to this face's head [G, G]
    room: Field  # where it may be after an edit, see `room_of_head` [G, G]
    behind: Field  # see `behind_of` [G, G, 2]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A face of a photo as edits start from it."""

    seen: Pixels  # [SIDE, SIDE, 3]: what the transfer network is shown
    parsed: Pixels  # [PARSED_SIDE, PARSED_SIDE, 3]: what the face parser is shown
    surroundings: Surroundings | None  # None where there are none to keep
    # Where nothing tells head from surroundings: where the photo may change [G, G]; None: everywhere.
    region: Field | None = None
    drawn: DrawnMemo = field(default_factory=DrawnMemo)
    edited: DrawnMemo | None = None  # pictures under edits, where the next question may be the same


def ground_of_crop(crop: Pixels) -> Ground:
    """Of a picture that is nothing but the crop [R, R, 3]: all of it may change."""
    return Ground(seen=resized(crop, SIDE), parsed=resized(crop, PARSED_SIDE), surroundings=None)


def ground_of_box(crop: Pixels, content: Content) -> Ground:
    """Of a box on a photo, which may change within it, ever less towards its border.

    Args:
        crop: The box's crop [PARSED_SIDE, PARSED_SIDE, 3] uint8.
        content: What the box fills of it.
    """
    return replace(ground_of_crop(crop), region=region_within(content, SIDE))


def ground_of_photo(
    crop: Pixels, parser: FaceParser, own: NDArray[np.float32], others: Sequence[NDArray[np.float32]]
) -> Ground:
    """Of a face in a photo.

    Args:
        crop: The cropped face [PARSED_SIDE, PARSED_SIDE, 3] uint8.
        parser: Tells head from surroundings.
        own: Points of the face's mesh [K, 2], in parts of the crop's side.
        others: Points of the photo's other faces, likewise.
    """
    return ground_around(crop, parser.head(crop), own, others)


def ground_around(
    crop: Pixels, found: Field, own: NDArray[np.float32], others: Sequence[NDArray[np.float32]]
) -> Ground:
    """`ground_of_photo`, where it is known how likely each place belongs to a head [G, G]."""
    room = room_of_head(found, own, others)
    head = np.asarray(found * room, np.float32)
    surroundings = Surroundings(head=head, room=room, behind=behind_of(head))
    return Ground(seen=resized(crop, SIDE), parsed=crop, surroundings=surroundings)
