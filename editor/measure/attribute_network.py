"""AttributeNetwork: a cropped face -> what it looks like, in numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from editor.parts.efficientnet import EfficientNetLite0Features
from inversion.networks.checkpoint import load_network, save_network
from stylegan2.checks import check_shape
from stylegan2.image import from_uint8

BUNDLED_ATTRIBUTES = Path(__file__).resolve().parents[2] / "weights" / "attributes" / "attributes.safetensors"
SIDE = 128  # px of the faces that it is shown
MOST_YEARS = 100
BATCH = 64  # faces that `tell` looks at at once
_BLOCKS = 11  # of EfficientNet-lite0, down to 1/16
_OUTLETS = (2, 4)  # blocks after which maps of 1/4 and of 1/8 are handed on
_FEATURES, _WIDTH = 112, 160  # channels there, and of the network's own layers

Kind = Literal["years", "odds", "scale"]


@dataclass(frozen=True)
class Attribute:
    """One thing that is told of a face."""

    name: str
    kind: Kind  # years; log odds that it is so; or a scale of which `unit` is one standard deviation
    mean: float = 0.0  # of the scale, as it is told
    unit: float = 1.0


# Ratings are means of people's answers, 0 to 100; shares are parts of the crop's area, as the face parser
# finds them. Means and units are round numbers near the training faces' means and deviations.
ATTRIBUTES = (
    Attribute("age", "years"),
    Attribute("male", "odds"),
    Attribute("glasses", "odds"),
    Attribute("hat", "odds"),
    Attribute("earrings", "odds"),
    Attribute("happy", "scale", 57.0, 19.0),
    Attribute("weight", "scale", 40.0, 13.0),
    Attribute("long_hair", "scale", 42.0, 26.0),
    Attribute("hair_colour", "scale", 52.0, 22.0),
    Attribute("hair", "scale", 0.14, 0.08),
    Attribute("teeth", "scale", 0.006, 0.008),
)
NAMES = tuple(attribute.name for attribute in ATTRIBUTES)


class AttributeNetwork(nn.Module):
    """The first blocks of EfficientNet-lite0 (Tan & Le 2019, arXiv:1905.11946) and a few layers of its own.

    Age is the mean of a distribution over whole years, as in DEX (Rothe et al. 2018, IJCV 126).
    """

    def __init__(self) -> None:
        super().__init__()
        features = EfficientNetLite0Features()
        self.stem, self.blocks = features.stem, features.blocks[:_BLOCKS]
        self.narrow = nn.Conv2d(_FEATURES, _WIDTH, 1)
        self.mix = nn.ModuleList(nn.Conv2d(_WIDTH, _WIDTH, 3, 1, 1) for _ in range(2))
        self.years = nn.Linear(_WIDTH, MOST_YEARS + 1)
        self.others = nn.Linear(_WIDTH, len(ATTRIBUTES) - 1)

    def start_from(self, features: EfficientNetLite0Features) -> None:
        """Take over what a network that was trained on other pictures knows of them."""
        self.stem.load_state_dict(features.stem.state_dict())
        self.blocks.load_state_dict(features.blocks[: len(self.blocks)].state_dict())

    def forward(self, img: Tensor) -> Tensor:
        """What faces look like.

        Args:
            img: Cropped faces [N, 3, SIDE, SIDE] in [-1, 1].

        Returns:
            [N, len(ATTRIBUTES)], in `ATTRIBUTES`' order: years, log odds, and standard deviations from the
            mean.

        Raises:
            ShapeError: `img` has another shape.
        """
        years, others = self.answers(img)
        return torch.cat([expected_years(years), others], 1)

    def answers(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of whole years [N, MOST_YEARS + 1], and all else as `forward` answers it; raises as it."""
        x = self.levels(img)[-1].mean((2, 3))
        return self.years(x), self.others(x)

    def levels(self, img: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is seen at 1/4, 1/8 and 1/16 of the side, the last of it for answers; raises as `forward`."""
        quarter, eighth = self.early(img)
        x = eighth
        for block in self.blocks[_OUTLETS[1] + 1 :]:
            x = block(x)[1]
        x = F.relu(self.narrow(x))
        for layer in self.mix:
            x = F.relu(x + layer(x))
        return quarter, eighth, x

    def early(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """The first two of `levels`; raises as `forward`."""
        check_shape("img", img, "N", 3, SIDE, SIDE)
        x, passed = F.relu6(self.stem(img)), []
        for index, block in enumerate(self.blocks[: _OUTLETS[1] + 1]):
            x = block(x)[1]
            if index in _OUTLETS:
                passed.append(x)
        return passed[0], passed[1]


def expected_years(logits: Tensor) -> Tensor:
    """Mean [N, 1] of a distribution over whole years, of which logits [N, MOST_YEARS + 1] are given."""
    years = torch.arange(logits.shape[1], device=logits.device, dtype=torch.float32)
    return (logits.float().softmax(1) * years).sum(1, keepdim=True)


@torch.no_grad()
def tell(network: AttributeNetwork, pixels: np.ndarray, device: torch.device) -> Tensor:
    """Attributes [N, len(ATTRIBUTES)] of faces [N, SIDE, SIDE, 3] uint8, on the CPU."""
    network.eval()
    parts = torch.split(torch.from_numpy(np.ascontiguousarray(pixels)), BATCH)
    return torch.cat([network(from_uint8(part).to(device)).float().cpu() for part in parts])


def save_attributes(
    network: AttributeNetwork, path: str | Path, metadata: dict[str, str] | None = None
) -> None:
    """Write the weights as safetensors, matrices in 8 bits, scaled row by row."""
    save_network(network, path, metadata or {}, torch.int8)


def load_attributes(path: str | Path = BUNDLED_ATTRIBUTES) -> AttributeNetwork:
    """Build the attribute network of `path`, in float32, in evaluation mode.

    Raises:
        CheckpointError: Missing, damaged, tensors that do not fit, or no numbers.
    """
    return load_network(path, "attributes", "attribute network", lambda _: AttributeNetwork())
