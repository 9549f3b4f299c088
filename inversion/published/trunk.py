"""IR-SE50 with a feature pyramid, by the names of the published weights."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.published.config import LAST_UNITS, UNITS

REDUCTION = 16  # of the squeeze-excitation blocks

Pyramid = tuple[Tensor, Tensor, Tensor]  # coarse, middle, fine, all of one width


class SqueezeExcite(nn.Module):
    """Scale each channel of [N, C, H, W] by what the whole picture says of it (arXiv:1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // REDUCTION, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // REDUCTION, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scale `x`."""
        gate = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


class ResidualUnit(nn.Module):
    """One unit of IR-SE50 (arXiv:1801.07698, section 3.1); [N, I, H, W] -> [N, O, H / stride, W / stride].

    The shortcut has weights only where the width changes; elsewhere it leaves out every other place.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if in_channels != out_channels:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False),
            nn.PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            SqueezeExcite(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual of `x` to its shortcut."""
        result: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return result


class TrunkEncoder(nn.Module):
    """Picture -> features of IR-SE50's last stage.

    The base of all encoders here, and not a part of them: their weights have these names without a prefix.

    Args:
        channels: Widths of the stem and of the four stages.
        in_channels: Of the picture.
    """

    def __init__(self, channels: tuple[int, int, int, int, int], in_channels: int = 3) -> None:
        super().__init__()
        stem, *_ = channels
        self.input_layer = nn.Sequential(
            nn.Conv2d(in_channels, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.PReLU(stem)
        )
        units: list[nn.Module] = []
        for below, width, count in zip(channels[:-1], channels[1:], UNITS, strict=True):
            units.append(ResidualUnit(below, width, 2))
            units.extend(ResidualUnit(width, width, 1) for _ in range(count - 1))
        self.body = nn.Sequential(*units)

    def coarse(self, img: Tensor) -> Tensor:
        """The last stage alone: [N, 3, H, W] -> [N, C, H / 16, W / 16]."""
        x: Tensor = self.body(self.input_layer(img))
        return x


class PyramidEncoder(TrunkEncoder):
    """Picture -> three levels of features, the coarse ones added into the finer ones (arXiv:1612.03144).

    Args:
        channels: Widths of the stem and of the four stages.
        in_channels: Of the picture.
    """

    def __init__(self, channels: tuple[int, int, int, int, int], in_channels: int = 3) -> None:
        super().__init__(channels, in_channels)
        self.latlayer1 = nn.Conv2d(channels[3], channels[4], 1)
        self.latlayer2 = nn.Conv2d(channels[2], channels[4], 1)

    def pyramid(self, img: Tensor) -> Pyramid:
        """Coarse, middle and fine level of `img` [N, 3, H, W]: [N, C, H / 16, W / 16], / 8 and / 4."""
        x, ends = self.input_layer(img), []
        for number, unit in enumerate(self.body):
            x = unit(x)
            if number in LAST_UNITS:
                ends.append(x)
        _, fine, middle, coarse = ends
        middle = _add_enlarged(coarse, self.latlayer1(middle))
        return coarse, middle, _add_enlarged(middle, self.latlayer2(fine))


def _add_enlarged(small: Tensor, large: Tensor) -> Tensor:
    enlarged = F.interpolate(small, size=large.shape[2:], mode="bilinear", align_corners=True)
    return enlarged + large
