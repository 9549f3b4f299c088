"""TransferNetwork: photo, drawn and edited pictures -> flow and masks of the transfer."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.transfer.config import SIDE, WAYS, TransferConfig
from stylegan2.checks import check_shape

CALM = 1.5 / 127.5  # change of a picture at which the transfer is half free to act
_AROUND = 9  # px over which the change is averaged
_FLOW_UNIT = 4.0  # px of flow per unit that the network answers, as long as it is small
_OUTPUTS = WAYS + 1 + WAYS  # masks of the moved photo and of both ways; share of the residual in each way


class TransferNetwork(nn.Module):
    """A small U-Net. Where nothing changes it has no say: no flow, and all of the residual.

    The idea that what a model cannot draw is taken from the photo and moved along with the edit is that of
    WarpRes (arXiv:2312.11422), HFGI (arXiv:2109.06590) and OOD-GAN-inversion (arXiv:2212.09262).
    """

    def __init__(self, config: TransferConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        inputs = 3 * (1 + 2 * WAYS) + (0 if config.learned_flow else 2)
        self.inlet = _conv(4 * inputs, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(_conv(a, b, stride=2), _Residual(b)) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(
            nn.Sequential(_conv(a + b, b), _Residual(b))
            for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.coarse_flow = _head(widths[-1], 2)
        self.fine_flow = _head(widths[0], 2)
        self.outlet = _head(widths[0], 4 * _OUTPUTS)

    def forward(
        self, photo: Tensor, drawn: Tensor, edited: Tensor, given: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decide.

        Args:
            photo: [N, 3, SIDE, SIDE] in [-1, 1].
            drawn: What the model draws of it, unedited, both ways [N, 3 * WAYS, SIDE, SIDE].
            edited: And under the edit, the same shape.
            given: A flow [N, 2, SIDE, SIDE], where none is learned.

        Returns:
            flow [N, 2, SIDE, SIDE] px, x and y: where in the photo a place comes from; masks
            [N, 1 + WAYS, SIDE, SIDE], sum 1: of the moved photo, and of what each way draws; shares
            [N, WAYS, SIDE, SIDE] in [0, 1]: of the photo's moved residual that each way is given. See
            `compose`.

        Raises:
            ShapeError: An argument has another shape.
        """
        check_shape("photo", photo, "N", 3, SIDE, SIDE)
        check_shape("drawn", drawn, len(photo), 3 * WAYS, SIDE, SIDE)
        check_shape("edited", edited, *drawn.shape)
        seen = [photo, drawn, edited - drawn] + ([] if given is None else [given / self.config.most_flow])
        x = self.inlet(F.pixel_unshuffle(torch.cat(seen, 1), 2))
        levels = [x]
        for step in self.down:
            levels.append(step(levels[-1]))
        x = levels[-1]
        coarse = self.coarse_flow(x)
        for step, beside in zip(self.up, levels[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = step(torch.cat([x, beside], 1))
        free = freedom(drawn, edited)
        if given is None:
            flow = _enlarged(self.fine_flow(x)) + _enlarged(coarse)
            most = self.config.most_flow
            given = most * torch.tanh(flow * (_FLOW_UNIT / most)) * free
        decided = F.pixel_shuffle(self.outlet(x), 2)
        masks, shares = decided[:, : 1 + WAYS], decided[:, 1 + WAYS :]
        return given, masks.softmax(1), 1 - free * torch.sigmoid(shares)


def freedom(drawn: Tensor, edited: Tensor) -> Tensor:
    """How free the transfer is [N, 1, H, W]: 0 where both ways [N, 3 * WAYS, H, W] stay as they are."""
    change = (edited - drawn).abs().mean(1, keepdim=True)
    # A second pass makes it smooth: what it weighs moves with the sliders.
    for _ in range(2):
        change = _mean_along(_mean_along(change, (1, _AROUND)), (_AROUND, 1))
    return change / (change + CALM)


def _mean_along(x: Tensor, window: tuple[int, int]) -> Tensor:
    """The mean over a window of odd sides around every place; across and down in turn, it is soon done."""
    padding = (window[0] // 2, window[1] // 2)
    return F.avg_pool2d(x, window, 1, padding, count_include_pad=False)


def _enlarged(x: Tensor) -> Tensor:
    return F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False)


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.1))


def _head(inputs: int, outputs: int) -> nn.Conv2d:
    """A last layer that answers 0 at first."""
    layer = nn.Conv2d(inputs, outputs, 3, 1, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.steps = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels, channels, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.steps(x), 0.1)
