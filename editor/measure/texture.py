"""Texture: whether a picture's small patterns are such as a model's faces have."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from editor.face.warp import resized
from editor.measure.attribute_network import BATCH, SIDE, AttributeNetwork
from inversion.directions.rated import Texture
from stylegan2.image import from_uint8

Array = NDArray[np.float64]
USUAL = 0.9  # share of a model's faces that count as usual
RIDGE = 0.05  # added to every variance, which is 1: rare patterns are not told apart finely


@torch.no_grad()
def texture_statistics(network: AttributeNetwork, pixels: NDArray[np.uint8]) -> Array:
    """Means and deviations over a face of the attribute network's maps at 1/4 and 1/8 of its side.

    Args:
        network: The attribute network.
        pixels: Faces [N, R, R, 3] uint8.

    Returns:
        [N, 128].
    """
    network.eval()
    found = []
    small = np.stack([resized(each, SIDE) for each in pixels])
    for part in torch.split(torch.from_numpy(small), BATCH):
        found.append(moments(network, from_uint8(part)))
    return np.asarray(torch.cat(found).double().numpy())


def moments(network: AttributeNetwork, img: Tensor) -> Tensor:
    """What `texture_statistics` are, of img [N, 3, SIDE, SIDE] in [-1, 1]: [N, 128], with gradient."""
    return torch.cat([each for level in network.early(img) for each in _moments(level)], 1)


def _moments(level: Tensor) -> tuple[Tensor, Tensor]:
    return level.mean((2, 3)), level.std((2, 3))


def tear_of(network: AttributeNetwork, texture: Texture, pixels: NDArray[np.uint8]) -> Array:
    """Distance of pictures [N, R, R, 3] from a model's faces, over what is usual among these [N]."""
    return texture.distances(texture_statistics(network, pixels)) / texture.limit


def texture_of(statistics: Array) -> Texture:
    """The texture of faces whose statistics are [N, 128]."""
    mean, scale = statistics.mean(0), np.maximum(statistics.std(0), 1e-9)
    correlation = np.cov((statistics / scale).T) + RIDGE * np.eye(len(scale))
    values, vectors = np.linalg.eigh(correlation)
    whitener = vectors / np.sqrt(values) / scale[:, None]
    distances = np.linalg.norm((statistics - mean) @ whitener, axis=1)
    return Texture(mean=mean, whitener=whitener, limit=float(np.quantile(distances, USUAL)))
