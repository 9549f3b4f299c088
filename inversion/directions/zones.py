"""Zones: soft parts of an aligned face, which edits may be limited to."""

from collections.abc import Mapping

import torch
from torch import Tensor

from stylegan2.bundle.folder import CropConfig

SIDE = 64  # of the maps; their borders are soft
# Zone -> middle and half axes of an ellipse, in the frame of a face: from the middle between the eyes, in
# ways from there to the mouth. A zone has what those before it leave; the last one has all that is left.
_ELLIPSES: Mapping[str, tuple[float, float, float, float]] = {
    "mouth": (0.0, 1.06, 0.52, 0.32),
    "eyes": (0.0, 0.02, 0.95, 0.20),
    "brows": (0.0, -0.28, 0.95, 0.24),
    "lower": (0.0, 0.98, 0.86, 0.72),
    "face": (0.0, 0.35, 1.04, 1.25),
}
ZONES = (*_ELLIPSES, "around")
_SOFT = 0.25  # part of an ellipse, inside and outside, in which its zone fades


def zone_maps(crop_config: CropConfig) -> Tensor:
    """Each zone's share of the places of a model's crop [Z, SIDE, SIDE], in the order of `ZONES`; sum 1.

    By the rule of FFHQ (`editor.face.ffhq`), for a face whose eyes are as far from each other as from its
    mouth: half a crop's side is then two such ways, times the crop's scale.

    Args:
        crop_config: Where the model expects faces.
    """
    way = 1 / (4 * crop_config.scale)  # from the eyes to the mouth, in sides of the crop
    places = (torch.arange(SIDE) + 0.5) / SIDE
    x = (places[None] - 0.5) / way
    y = (places[:, None] - 0.5) / way + crop_config.center
    left, maps = torch.ones(SIDE, SIDE), []
    for cx, cy, rx, ry in _ELLIPSES.values():
        distance = (((x - cx) / rx).square() + ((y - cy) / ry).square()).sqrt()
        t = ((1 + _SOFT - distance) / (2 * _SOFT)).clamp(0, 1)
        share = left * t * t * (3 - 2 * t)
        maps.append(share)
        left = left - share
    return torch.stack([*maps, left])


def zone_shares(zones: Mapping[str, float]) -> Tensor:
    """How much each zone takes of an edit [Z], in the order of `ZONES`; all of it where none is named.

    Args:
        zones: Zone -> share; those that are not named have none.
    """
    return torch.tensor([zones.get(name, 0.0) for name in ZONES] if zones else [1.0] * len(ZONES))


def check_zones(owner: str, zones: Mapping[str, float]) -> None:
    """Raise `ValueError` where an edit's zones are none, or shares not between 0 and 1."""
    if not all(name in ZONES and 0 <= share <= 1 for name, share in zones.items()):
        raise ValueError(f"{owner}: zones {dict(zones)}; must be of {', '.join(ZONES)}, between 0 and 1")


def in_zones(ws: Tensor) -> Tensor:
    """Styles [N, num_ws, w_dim] as those of every zone [N, Z, num_ws, w_dim]; such as they are stay."""
    return ws if ws.ndim == 4 else ws[:, None].expand(-1, len(ZONES), -1, -1)
