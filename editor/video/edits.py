"""EditsFrames: what a clip needs of whoever finds, follows and edits its faces."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from editor.photo.colour import Pixels
from editor.transfer.paint import Patch


class EditsFrames(Protocol):
    """Edits frames one after the other, and can be put back to where it was after one of them."""

    def patches(self, pixels: Pixels, seconds: float) -> Sequence[Patch]:
        """What changes of the next frame.

        Args:
            pixels: The frame [H, W, 3] uint8 RGB, upright; not to be changed.
            seconds: When it is shown, later than the frame before.

        Returns:
            Patches inside the frame, in the order in which they are laid over it; none where nothing changes.
        """
        ...

    def remember(self) -> dict[str, Any]:
        """The state after the last frame, of what JSON has: who was seen, what is smoothed."""
        ...

    def recall(self, state: Mapping[str, Any]) -> None:
        """Go on from what `remember` answered, in this process or another."""
        ...
