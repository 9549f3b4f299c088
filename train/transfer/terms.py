"""Loss terms of the transfer: pure functions of composed pictures and the truth."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.checks import check_shape

POOL = 8  # px a side that are averaged where an edit's size is measured
GAIN_CELLS = (
    4  # a side, of each of which the size is measured: else a mouth counts for nothing beside a light
)
SMALL_CHANGE = 0.003  # mean square of a pooled change at which its gain counts half
_BLUR = (1.0, 4.0, 6.0, 4.0, 1.0)
_FLOW_SIDE, _FLOW_BLUR = 256, 3.0  # px at which optical flow is sought, and of blur over it


def carried_l1(added: Tensor, photo: Tensor, kept: Tensor, truth: Tensor) -> Tensor:
    """L1 of the composed picture without the fine detail of what the model adds.

    A photo has detail that no model draws, and no truth for it is known. Here the model's own stands for it:
    blurred away on the model's side, it can only come from the photo, moved to where it belongs.

    Args:
        added: As `compose` answers [N, 3, H, W].
        photo: The moved photo [N, 3, H, W].
        kept: As `compose` answers [N, 1, H, W].
        truth: The true edit [N, 3, H, W].
    """
    kernel = torch.tensor(_BLUR).to(added)
    weight = (kernel[:, None] * kernel / kernel.sum() ** 2).expand(3, 1, -1, -1)
    blurred = F.conv2d(F.pad(added, (2, 2, 2, 2), mode="replicate"), weight, groups=3)
    return (blurred + kept * photo - truth).abs().mean()


def edit_gain(img: Tensor, truth: Tensor, photo: Tensor) -> tuple[Tensor, Tensor]:
    """How much of the true change an edited picture shows, and how much there was to show, in 4 x 4 cells.

        gain = <img - photo, truth - photo> / |truth - photo|^2,   of pictures averaged over 8 x 8 px

    The best guess of an uncertain change is a smaller one; asked for a gain of 1, it keeps its size.

    Args:
        img: [N, 3, H, W] in [-1, 1].
        truth: The same shape and range.
        photo: The same shape and range.

    Returns:
        gain [N, 16], and weight [N, 16] in 0..1, which is small where hardly anything changes.

    Raises:
        ShapeError: The shapes differ.
    """
    check_shape("img", img, "N", 3, "H", "W")
    check_shape("truth", truth, *img.shape)
    check_shape("photo", photo, *img.shape)
    change, wanted = (F.avg_pool2d(x - photo, POOL) for x in (img, truth))
    size, common = (_of_cells(x) for x in (wanted.square(), change * wanted))
    gain = common / size.clamp(min=1e-5)
    return gain, size / (size + SMALL_CHANGE)


def _of_cells(x: Tensor) -> Tensor:
    """[N, C, H, W] -> mean of each cell [N, `GAIN_CELLS` squared]."""
    return F.adaptive_avg_pool2d(x.mean(1), GAIN_CELLS).flatten(1)


def total_variation(flow: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, across and down, of a flow [N, 2, H, W]."""
    across, down = flow[..., 1:] - flow[..., :-1], flow[:, :, 1:] - flow[:, :, :-1]
    return across.abs().mean() + down.abs().mean()


def optical_flow(before: Tensor, after: Tensor) -> Tensor:
    """Dense optical flow (OpenCV's DIS, arXiv:1603.03590), from places of `after` to places of `before`.

    Args:
        before: [N, 3, H, H] in [-1, 1].
        after: The same shape and range.

    Returns:
        [N, 2, H, H] px, smoothed.
    """
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
    side = before.shape[3]
    found = []
    for pair in zip(before, after, strict=True):
        first, second = (_grey(img) for img in pair)
        flow = cv2.GaussianBlur(dis.calc(second, first, None), (0, 0), _FLOW_BLUR)
        small = cv2.resize(flow, (side, side), interpolation=cv2.INTER_AREA)
        found.append(torch.from_numpy(small * (side / _FLOW_SIDE)).permute(2, 0, 1))
    return torch.stack(found).to(before)


def _grey(img: Tensor) -> np.ndarray:
    pixels = (img.detach().cpu().permute(1, 2, 0).numpy() + 1) * 127.5
    large = cv2.resize(pixels, (_FLOW_SIDE, _FLOW_SIDE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.cvtColor(large.clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY))
