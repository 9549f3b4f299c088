"""FaceParserNetwork: a cropped face -> how likely each part is, per pixel."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from editor.parts.efficientnet import EfficientNetLite0Features
from editor.parts.labels import Part
from stylegan2.checks import check_shape

SIDE = 256  # px of the faces that it was made for; other multiples of 32 work less well
GRID = SIDE // 2  # places a side that it answers for
_BLOCKS = 11  # of EfficientNet-lite0, down to 1/16
_OUTLETS = (0, 2, 4, 10)  # blocks after which a map of 1/2, 1/4, 1/8 and 1/16 is handed on
_WIDTHS = (16, 24, 40, 112)  # its channels there
_UP = (24, 48, 64)  # channels of the way up at 1/2, 1/4, 1/8


class FaceParserNetwork(nn.Module):
    """A U-shaped network on the first blocks of EfficientNet-lite0 (Tan & Le 2019, arXiv:1905.11946)."""

    def __init__(self) -> None:
        super().__init__()
        features = EfficientNetLite0Features()
        self.stem, self.blocks = features.stem, features.blocks[:_BLOCKS]
        below = (*_UP[1:], _WIDTHS[-1])
        self.up = nn.ModuleList(
            _Up(low, beside, out) for low, beside, out in zip(below, _WIDTHS, _UP, strict=False)
        )
        self.outlet = nn.Conv2d(_UP[0], len(Part), 1)

    def start_from(self, features: EfficientNetLite0Features) -> None:
        """Take over what a network that was trained on other pictures knows of them."""
        self.stem.load_state_dict(features.stem.state_dict())
        self.blocks.load_state_dict(features.blocks[: len(self.blocks)].state_dict())

    def forward(self, img: Tensor) -> Tensor:
        """Logits of the parts.

        Args:
            img: Cropped faces [N, 3, S, S] in [-1, 1], S a multiple of 32, best `SIDE`.

        Returns:
            [N, len(Part), S / 2, S / 2].

        Raises:
            ShapeError: `img` has another shape.
        """
        check_shape("img", img, "N", 3, "S", "S")
        x, levels = F.relu6(self.stem(img)), []
        for index, block in enumerate(self.blocks):
            x = block(x)[1]
            if index in _OUTLETS:
                levels.append(x)
        for up, beside in reversed(list(zip(self.up, levels, strict=False))):
            x = up(x, beside)
        logits: Tensor = self.outlet(x)
        return logits


class _Up(nn.Module):
    """Twice as large, with what was seen at that size."""

    def __init__(self, low: int, beside: int, out: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(low, out, 1)
        self.beside = nn.Conv2d(beside, out, 1)
        self.depthwise = nn.Conv2d(2 * out, 2 * out, 5, 1, 2, groups=2 * out)
        self.mix = nn.Conv2d(2 * out, out, 1)
        self.last = nn.Conv2d(out, out, 3, 1, 1)

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        x = F.interpolate(self.narrow(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        x = torch.cat([x, self.beside(beside)], 1)
        x = F.relu(self.mix(F.relu(self.depthwise(x))))
        return F.relu(x + self.last(x))
