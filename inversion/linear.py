"""Linear edits: move styles along a direction."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from inversion.errors import StrengthError
from stylegan2.checks import check_shape


@dataclass(frozen=True, kw_only=True)
class EditDirection:
    """One edit of W or W+."""

    name: str  # key, for example "smile"
    label: str  # what the slider says
    group: str  # heading that it stands under
    low: str  # what negative strengths do, in a word or two
    high: str  # what positive strengths do
    direction: Tensor  # n [w_dim], unit L2 norm
    sigma: float  # standard deviation of w along n: one unit of strength
    range: tuple[float, float]  # allowed strengths, in standard deviations
    layers: tuple[int, int]  # styles that move: first, and one past the last
    # Change of each measured attribute over the range, in its own standard deviations; empty where unknown.
    effects: Mapping[str, float] = field(default_factory=dict, hash=False)


def check_strength(direction: EditDirection, strength: float) -> float:
    """Return `strength` if it is a number within the direction's range.

    Raises:
        StrengthError: Not a finite number, or outside the range.
    """
    low, high = direction.range
    allowed = f"[{low:g}, {high:g}]"
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or (isinstance(strength, float) and not math.isfinite(strength)):
        raise StrengthError(
            f"strength of {direction.name!r}: {strength!r} is not a number; must be in {allowed}"
        )
    if not low <= strength <= high:
        shown = f"{strength:g}" if abs(strength) < 1e300 else "a huge number"
        raise StrengthError(f"strength of {direction.name!r}: {shown} is outside {allowed}")
    return float(strength)


def apply_direction(ws: Tensor, direction: EditDirection, strength: float) -> Tensor:
    """`ws + strength * sigma * n` on the direction's layers.

    Args:
        ws: Styles [N, num_ws, w_dim].
        direction: What to change.
        strength: How far, in standard deviations of w along n; 0 returns `ws` itself.

    Returns:
        [N, num_ws, w_dim]; `ws` is not written to.

    Raises:
        ShapeError: `ws` has another shape.
        StrengthError: `strength` is not a number in the direction's range.
    """
    strength = check_strength(direction, strength)
    check_shape("ws", ws, "N", "num_ws", direction.direction.shape[0])
    if strength == 0:
        return ws
    first, last = direction.layers
    out = ws.clone()
    out[:, first:last] += strength * direction.sigma * direction.direction.to(ws)
    return out
