"""EditFields: an edit as it is painted onto a photo of any size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class EditFields:
    """What an edit does at every place of the crop, on grids of any size.

    Paths are in parts of the crop's side, x and y, from a place to where its pixels come from. With P the
    photo, a place x of it becomes

        edited = kept(x) P(x + flow(x)) + added(x)
        P(x) + region(x) (edited - P(x)),  and of that uncovered(x) is P(x + behind(x)) instead
    """

    flow: Field  # [G, G, 2]
    kept: Field  # [R, R] share of the photo
    added: Field  # [R, R, 3] levels of 255
    region: Field | None = None  # [G, G] in [0, 1], where the photo may change; None: everywhere
    uncovered: Field | None = None  # [G, G] in [0, 1], where the head has given way; None: nowhere
    behind: Field | None = None  # [G, G, 2]; None where `uncovered` is
