"""Content: what whole pictures fill of the square that a model draws."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan2.errors import ConfigError

FACES, PICTURES = "faces", "pictures"  # what a bundle calls its domain


@dataclass(frozen=True, kw_only=True)
class Content:
    """A rectangle in the middle of a square; beyond it the pictures of a model are black.

    Cars of 512 x 384 px, for example, were trained as squares of 512 px with 64 black rows above and below.
    """

    width: float = 1.0  # parts of the square's side
    height: float = 1.0

    @property
    def aspect(self) -> float:
        """Width by height."""
        return self.width / self.height

    @property
    def whole(self) -> bool:
        """Whether it is all of the square."""
        return self.width == self.height == 1

    @property
    def to_square(self) -> NDArray[np.float64]:
        """Affine map [3, 3] from the content, corners (0, 0) and (1, 1), to the square, likewise."""
        left, top = (1 - self.width) / 2, (1 - self.height) / 2
        return np.array([[self.width, 0, left], [0, self.height, top], [0, 0, 1]])

    def inside(self, side: int) -> tuple[slice, slice]:
        """Rows and columns of a square of `side` px whose pixels' centres lie within."""
        rows, columns = (_inner(part, side) for part in (self.height, self.width))
        return rows, columns

    def cut(self, square: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The content of a square picture [S, S, 3], without what is beyond: [h, w, 3]."""
        return square if self.whole else np.ascontiguousarray(square[self.inside(len(square))])

    def on_black(self, square: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A square picture [S, S, 3] that is black beyond the content; itself where that is all of it."""
        if self.whole:
            return square
        black = np.zeros_like(square)
        inside = self.inside(len(square))
        black[inside] = square[inside]
        return black


def content_of_size(width: object, height: object, resolution: int) -> Content:
    """The content of these px in a square of `resolution` px.

    Raises:
        ConfigError: A side is no whole number, or the longer one is not that of the square.
    """
    if type(width) is not int or type(height) is not int or min(width, height) < 1:
        raise ConfigError(f"content: {width!r} x {height!r}; must be two whole numbers of px, from 1")
    if max(width, height) != resolution:
        raise ConfigError(f"content: {width} x {height} px; the longer side must be the model's {resolution}")
    return Content(width=width / resolution, height=height / resolution)


def read_content(listing: Mapping[str, Any], resolution: int) -> Content | None:
    """What a bundle says of its pictures; None where they are aligned faces, as they are if it says nothing.

    Raises:
        ConfigError: Its `domain` is neither "faces" nor "pictures", or `content` is not as it should be.
    """
    domain = listing.get("domain", FACES)
    if domain not in (FACES, PICTURES):
        raise ConfigError(f"domain: {domain!r}; must be {FACES} or {PICTURES}")
    if "content" in listing and domain == FACES:
        raise ConfigError(f"content: only pictures have one; say `domain: {PICTURES}`")
    if domain == FACES:
        return None
    size = listing.get("content", [resolution, resolution])
    if not isinstance(size, list) or len(size) != 2:
        raise ConfigError(f"content: {size!r}; must be [width, height] in px")
    width, height = size
    return content_of_size(width, height, resolution)


def told_content(content: Content | None, resolution: int) -> dict[str, Any]:
    """What a bundle's description says, see `read_content`."""
    if content is None:
        return {}
    size = [round(content.width * resolution), round(content.height * resolution)]
    return {"domain": PICTURES, "content": size}


def _inner(part: float, side: int) -> slice:
    first = round((1 - part) / 2 * side)
    return slice(first, side - first)
