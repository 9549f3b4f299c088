"""EditSession: everything that is known about one picture being edited."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from editor.transfer.ground import Ground
from inversion.chain.inversion import Inversion, Space
from inversion.directions.bank import DirectionBank
from stylegan2.bundle.content import Content


@dataclass(frozen=True, kw_only=True)
class EditSession:
    """One face: what was seen, its latents, the edits on it. Small, on the CPU, never changed in place."""

    crop: NDArray[np.uint8]  # cropped face [R, R, 3]
    ground: Ground  # what edits of the photo start from
    inversion: Inversion
    optimised: tuple[int, ...] = ()  # steps in each space that every optimisation so far was given
    face: int = 1  # number in its photo, see `FacePhoto`
    content: Content = field(default_factory=Content)  # of the crop; of a face all of it
    invented: bool = False  # by the generator, so that the latents are the true ones
    space: Space = "w+"  # which of the latents are drawn and edited
    strengths: Mapping[str, float] = field(default_factory=dict)  # direction -> strength, in its unit
    own: DirectionBank = field(
        default_factory=lambda: DirectionBank({})
    )  # further edits, of its visitor alone
    transform: NDArray[np.float64] | None = (
        None  # crop pixels -> photo pixels [3, 3]; None where there is no photo
    )
    padded: float = 0.0  # part of the crop that lies outside the photo, 0..1
    notes: tuple[str, ...] = ()  # what the cropping had to say, in plain sentences
    milliseconds: Mapping[str, float] = field(default_factory=dict)  # crop, invert, optimise

    @property
    def edited(self) -> bool:
        """Whether it has an edit."""
        return any(self.strengths.values())

    @property
    def enlargement(self) -> float:
        """Crop px per photo px; 1 where there is no photo."""
        return 1.0 if self.transform is None else 1 / float(np.hypot(*self.transform[:2, 0]))
