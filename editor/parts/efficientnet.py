"""The first blocks of EfficientNet-lite0: for the face parser, and for training's perceptual distance."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.checks import check_shape
from stylegan2.errors import ShapeError

SMALLEST_SIDE = 32  # pixels; below it the coarsest level would have no extent


@dataclass(frozen=True)
class Block:
    """Shape of one inverted bottleneck (Sandler et al. 2018, arXiv:1801.04381)."""

    kernel: int
    stride: int
    in_channels: int
    hidden: int
    out_channels: int


# Blocks 0 to 11 of EfficientNet-lite0 (widths and strides of B0, Tan & Le 2019, arXiv:1905.11946, table 1).
# Of block 11 only the expansion is used. The levels are the expansions that open a block of stride 2: each is
# the last map of its resolution, and non-negative as the features of LPIPS are.
BLOCKS = (
    Block(3, 1, 32, 32, 16),
    Block(3, 2, 16, 96, 24),
    Block(3, 1, 24, 144, 24),
    Block(5, 2, 24, 144, 40),
    Block(5, 1, 40, 240, 40),
    Block(3, 2, 40, 240, 80),
    Block(3, 1, 80, 480, 80),
    Block(3, 1, 80, 480, 80),
    Block(5, 1, 80, 480, 112),
    Block(5, 1, 112, 672, 112),
    Block(5, 1, 112, 672, 112),
    Block(5, 2, 112, 672, 192),
)
_LEVELS = (1, 3, 5, 11)


class _SameConv(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding, which puts the odd pixel at the right and bottom."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return F.conv2d(x, self.weight, self.bias, padding=kernel // 2, groups=self.groups)
        pads = [
            max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in (x.shape[3], x.shape[2])
        ]
        x = F.pad(x, (pads[0] // 2, pads[0] - pads[0] // 2, pads[1] // 2, pads[1] - pads[1] // 2))
        return F.conv2d(x, self.weight, self.bias, stride=stride, groups=self.groups)


class _InvertedBottleneck(nn.Module):
    def __init__(self, spec: Block) -> None:
        super().__init__()
        self.expand = _SameConv(spec.in_channels, spec.hidden, 1) if spec.hidden != spec.in_channels else None
        self.depthwise = _SameConv(spec.hidden, spec.hidden, spec.kernel, spec.stride, groups=spec.hidden)
        self.project = _SameConv(spec.hidden, spec.out_channels, 1)
        self.residual = spec.stride == 1 and spec.in_channels == spec.out_channels

    def forward(self, x: Tensor, reduce: bool = True) -> tuple[Tensor, Tensor]:
        """The wide features, and what the next block is given; `x` itself where nothing has to follow."""
        hidden = x if self.expand is None else F.relu6(self.expand(x))
        if not reduce:
            return hidden, x
        out: Tensor = self.project(F.relu6(self.depthwise(hidden)))
        return hidden, x + out if self.residual else out


class EfficientNetLite0Features(nn.Module):
    """img -> four feature levels at 1/2, 1/4, 1/8 and 1/16 of its side, with 96, 144, 240 and 672 channels.

    The first twelve blocks of EfficientNet-lite0 with the batch norms folded into the convolutions. The
    published network sees pictures in [-1, 1], which is the project's range, so nothing is rescaled.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _SameConv(3, 32, 3, 2)
        self.blocks = nn.ModuleList(_InvertedBottleneck(spec) for spec in BLOCKS)

    def forward(self, img: Tensor) -> list[Tensor]:
        """Features of `img`.

        Args:
            img: Pictures [N, 3, H, W] in [-1, 1], at least 32 pixels a side.

        Returns:
            Levels [N, C, H', W'] in [0, 6], fine to coarse.

        Raises:
            ShapeError: `img` has another number of axes or channels, or is too small.
        """
        check_shape("img", img, "N", 3, "H", "W")
        if min(img.shape[2:]) < SMALLEST_SIDE:
            raise ShapeError("img", tuple(img.shape), f"[N, 3, H, W] with H and W at least {SMALLEST_SIDE}")
        x = F.relu6(self.stem(img))
        levels = []
        for index, block in enumerate(self.blocks):
            hidden, x = block(x, index < len(BLOCKS) - 1)
            if index in _LEVELS:
                levels.append(hidden)
        return levels
