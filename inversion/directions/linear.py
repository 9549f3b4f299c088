"""Linear edits: move styles along a direction."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from inversion.directions.errors import StrengthError
from inversion.directions.zones import in_zones, zone_shares
from stylegan2.checks import check_shape


@dataclass(frozen=True, kw_only=True)
class EditDirection:
    """One edit of W or W+."""

    name: str  # key, for example "smile"
    label: str  # what the slider says
    group: str  # heading that it stands under
    low: str  # what negative strengths do, in a word or two
    high: str  # what positive strengths do
    # n [w_dim], unit L2 norm; or one a layer [num_ws, w_dim], of which the longest has unit L2 norm: layers
    # move by different amounts.
    direction: Tensor
    # One unit of strength, a length in W: the standard deviation of w along n, or as the manifest says.
    sigma: float
    range: tuple[float, float]  # allowed strengths, in `unit`
    layers: tuple[int, int]  # styles that move: first, and one past the last
    unit: str = ""  # what strengths count: "years", "degrees"; empty: standard deviations
    unit_size: float = 1.0  # how many of them are as large a change as one standard deviation is elsewhere
    # Added by the square of the strength [num_ws, w_dim]: where the way turns. None: it is straight.
    bend: Tensor | None = None
    # (strength, how far along the way) in `unit`, ascending and through (0, 0), straight between them and
    # beyond: so that equal moves of a slider change a face equally. Empty: as far as the strength says.
    pace: tuple[tuple[float, float], ...] = ()
    attribute: str | None = None  # name of the measured attribute that it is about; None where nobody says
    # Zone -> how much of the edit it takes, see `inversion.directions.zones`; empty: all of it everywhere.
    zones: Mapping[str, float] = field(default_factory=dict, hash=False)
    # Change of each measured attribute over the range, in its own standard deviations; empty where unknown.
    effects: Mapping[str, float] = field(default_factory=dict, hash=False)
    # Where coordinates are measured from [w_dim]: strength is then a coordinate to go to, GANSpace's rule.
    # None: strength is an offset.
    mean: Tensor | None = None
    # Styles to go to [num_ws, w_dim]: strength is then the share of the way. None: there is no such place.
    target: Tensor | None = None
    # Space -> how many times as far a photo is moved, so that it changes as much as an invented face does:
    # what was found of it, and what of it is carried along, hold an edit back. 1 where a space is missing.
    photo_gains: Mapping[str, float] = field(default_factory=dict, hash=False)
    aliases: tuple[str, ...] = ()  # other names that are understood, for example those it had before

    @property
    def is_place(self) -> bool:
        """Whether strengths say where to go; else they say how far."""
        return self.rule != "offset"

    @property
    def rule(self) -> str:
        """What strengths mean, as manifests call it: "offset", "absolute" or "mix"."""
        return "mix" if self.target is not None else "offset" if self.mean is None else "absolute"

    def moves_w(self, num_ws: int) -> bool:
        """Whether it is an offset of w: one vector, the same for all of `num_ws` styles."""
        straight = not self.is_place and self.bend is None and not self.zones and not self.pace
        return straight and self.direction.ndim == 1 and self.layers == (0, num_ws)

    def reaching(self, size: float) -> "EditDirection":
        """The same edit, allowed up to `size` standard deviations to either side, as protocols have it."""
        return replace(self, range=(-size * self.unit_size, size * self.unit_size))

    def lengthened(self, gain: float) -> "EditDirection":
        """The same edit, in which every strength leads `gain` times as far along the way."""
        bend = None if self.bend is None else gain**2 * self.bend
        return replace(self, sigma=gain * self.sigma, bend=bend)


def check_strength(direction: EditDirection, strength: float) -> float:
    """Return `strength` if it is a number within the direction's range.

    Raises:
        StrengthError: Not a finite number, or outside the range.
    """
    low, high = direction.range
    allowed = f"[{low:g}, {high:g}]"
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or (isinstance(strength, float) and not math.isfinite(strength)):
        found = repr(strength) if isinstance(strength, float) else f"a {type(strength).__name__}"
        raise StrengthError(f"strength of {direction.name!r}: {found} is not a number; must be in {allowed}")
    if not low <= strength <= high:
        shown = f"{strength:g}" if abs(strength) < 1e300 else "a huge number"
        raise StrengthError(f"strength of {direction.name!r}: {shown} is outside {allowed}")
    return float(strength)


def paced(direction: EditDirection, strength: float) -> float:
    """How far along its way a strength leads, see `EditDirection.pace`."""
    knots = direction.pace
    if not knots:
        return strength
    last = len(knots) - 2
    first = next((i for i in range(last) if strength < knots[i + 1][0]), last)
    (a, at_a), (b, at_b) = knots[first : first + 2]
    return at_a + (at_b - at_a) * (strength - a) / (b - a)


def apply_direction(
    ws: Tensor, direction: EditDirection, strength: float, measured: Tensor | None = None
) -> Tensor:
    """Move styles along a direction, on its layers.

    An offset, as in InterFaceGAN (arXiv:1907.10786), unless the direction has a mean:

        ws + s * sigma * n + s^2 * bend,   s = paced(strength)

    With a mean, the absolute rule in which GANSpace's components (arXiv:2004.02546) are used by e4e
    (arXiv:2102.02766): strength is the coordinate to go to, and the first style says where ws is now,

        coord = <ws_0 - mean, n> / sigma,  ws + (strength - coord) * sigma * n

    so that a second edit by the same strength changes nothing where layer 0 is among the layers.

    With a target, style mixing by degrees (Karras et al. 2019, arXiv:1812.04948, section 3.1):

        ws + strength * (target - ws)

    An edit that is limited to zones moves the styles of each zone by its share.

    Args:
        ws: Styles [N, num_ws, w_dim], or of zones [N, Z, num_ws, w_dim].
        direction: What to change.
        strength: How far, in the direction's unit. 0 returns `ws` itself under either rule: it is
            the slider's rest, and not the coordinate 0.
        measured: Unedited styles [N, num_ws, w_dim], which the absolute rule and mixing start from; None for
            `ws`.

    Returns:
        As `ws`, which is not written to; of zones also where only the edit has some.

    Raises:
        ShapeError: `ws` or `measured` has another shape.
        StrengthError: `strength` is not a number in the direction's range.
    """
    strength = check_strength(direction, strength)
    n = direction.direction.to(ws)
    zoned = ["Z"] if ws.ndim == 4 else []
    check_shape("ws", ws, "N", *zoned, "num_ws" if n.ndim == 1 else len(n), n.shape[-1])
    if strength == 0:
        return ws
    strength = paced(direction, strength)
    step = strength * direction.sigma
    first, last = direction.layers
    move = step * (n if n.ndim == 1 else n[first:last])  # [w_dim] or [layers, w_dim]
    if direction.bend is not None:
        move = move + strength**2 * direction.bend.to(ws)[first:last]
    place = _place(direction, ws if measured is None else measured, strength)
    if place is not None:
        move = place[:, None] if zoned else place
    if direction.zones:
        move = zone_shares(direction.zones).to(ws)[:, None, None] * move
        ws = in_zones(ws)
    out = ws.clone()
    out[..., first:last, :] += move
    return out


def _place(direction: EditDirection, start: Tensor, strength: float) -> Tensor | None:
    """The way from styles [N, num_ws, w_dim] to a place: [N, layers or 1, w_dim]; None for an offset."""
    if direction.target is not None:
        check_shape("measured", start, "N", *direction.target.shape)
        first, last = direction.layers
        return strength * (direction.target.to(start) - start)[:, first:last]
    if direction.mean is None:
        return None
    n = direction.direction.to(start)
    check_shape("measured", start, "N", "num_ws", len(n))
    # In W, a coordinate times sigma is a length.
    there = (start[:, 0] - direction.mean.to(start)) @ n  # [N]
    return ((strength * direction.sigma - there)[:, None] * n)[:, None]
