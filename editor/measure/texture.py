"""Texture: whether a picture's small patterns are such as a model's faces have."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from editor.face.warp import resized
from editor.measure.attribute_network import BATCH, SIDE, AttributeNetwork
from inversion.directions.rated import Texture
from inversion.directions.zones import zone_shares
from stylegan2.image import from_uint8

Array = NDArray[np.float64]
USUAL = 0.9  # share of a model's faces that count as usual
RIDGE = 0.05  # added to every variance, which is 1: rare patterns are not told apart finely


@torch.no_grad()
def texture_statistics(
    network: AttributeNetwork, pixels: NDArray[np.uint8], where: Tensor | None = None
) -> Array:
    """Means and deviations over a face of the attribute network's maps at 1/4 and 1/8 of its side.

    Args:
        network: The attribute network.
        pixels: Faces [N, R, R, 3] uint8.
        where: How much each place counts [S, S]; None: all alike.

    Returns:
        [N, 128].
    """
    network.eval()
    found = []
    small = np.stack([resized(each, SIDE) for each in pixels])
    for part in torch.split(torch.from_numpy(small), BATCH):
        found.append(moments(network, from_uint8(part), where))
    return np.asarray(torch.cat(found).double().numpy())


def moments(network: AttributeNetwork, img: Tensor, where: Tensor | None = None) -> Tensor:
    """What `texture_statistics` are, of img [N, 3, SIDE, SIDE] in [-1, 1]: [N, 128], with gradient."""
    return torch.cat([each for level in network.early(img) for each in _moments(level, where)], 1)


def _moments(level: Tensor, where: Tensor | None) -> tuple[Tensor, Tensor]:
    if where is None:
        return level.mean((2, 3)), level.std((2, 3))
    weight = F.adaptive_avg_pool2d(where[None], level.shape[-1])
    weight = weight / weight.sum()
    mean = (level * weight).sum((2, 3))
    return mean, ((level - mean[:, :, None, None]).square() * weight).sum((2, 3)).clamp(min=1e-12).sqrt()


class ZoneTextures:
    """How far pictures are, in the zones that an edit acts in, from what a model's faces look like there.

    Blotches in a mouth are few against a whole face; against other mouths they are not.

    Args:
        network: The attribute network.
        faces: The model's faces [N, R, R, 3] uint8, some hundreds at least.
        maps: Of the zones, see `zone_maps`.
    """

    def __init__(self, network: AttributeNetwork, faces: NDArray[np.uint8], maps: Tensor) -> None:
        self._network, self._faces, self._maps = network, faces, maps
        self._known: dict[tuple[float, ...], tuple[Tensor, Texture]] = {}

    def usual(self, shares: Tensor) -> tuple[Tensor, Texture]:
        """Where an edit acts [S, S], of which each zone takes a share [Z], and the faces' texture there."""
        key = tuple(shares.tolist())
        if key not in self._known:
            where = torch.einsum("z,zhw->hw", shares.cpu(), self._maps)
            self._known[key] = where, texture_of(texture_statistics(self._network, self._faces, where))
        return self._known[key]

    def tear(self, pixels: NDArray[np.uint8], zones: Mapping[str, float]) -> Array:
        """Distance of pictures [N, R, R, 3] from the faces, over what is usual among these [N]."""
        where, texture = self.usual(zone_shares(zones))
        return tear_of(self._network, texture, pixels, where)


def tear_of(
    network: AttributeNetwork, texture: Texture, pixels: NDArray[np.uint8], where: Tensor | None = None
) -> Array:
    """Distance of pictures [N, R, R, 3] from a model's faces, over what is usual among these [N].

    Args:
        network: The attribute network.
        texture: Of the model's faces, by statistics with the same `where`.
        pixels: The pictures.
        where: See `texture_statistics`.
    """
    return texture.distances(texture_statistics(network, pixels, where)) / texture.limit


def texture_of(statistics: Array) -> Texture:
    """The texture of faces whose statistics are [N, 128]."""
    mean, scale = statistics.mean(0), np.maximum(statistics.std(0), 1e-9)
    correlation = np.cov((statistics / scale).T) + RIDGE * np.eye(len(scale))
    values, vectors = np.linalg.eigh(correlation)
    whitener = vectors / np.sqrt(values) / scale[:, None]
    distances = np.linalg.norm((statistics - mean) @ whitener, axis=1)
    return Texture(mean=mean, whitener=whitener, limit=float(np.quantile(distances, USUAL)))
