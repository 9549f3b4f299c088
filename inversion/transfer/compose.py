"""compose: the edited picture at the model's resolution, and what enlarges it to the photo's own."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Share of the photo at which its finest detail begins to show, and shows whole; chosen on validation photos.
NO_DETAIL, ALL_DETAIL = 0.1, 0.6


def moved(img: Tensor, flow: Tensor) -> Tensor:
    """Bring every place what `flow` points at.

    Args:
        img: [N, C, H, W].
        flow: [N, 2, H, W] px, x and y, added to a place's own coordinates.

    Returns:
        [N, C, H, W], bilinear; beyond the border the picture goes on as its border pixel.
    """
    height, width = img.shape[2:]
    y = torch.arange(height, device=img.device, dtype=flow.dtype)[:, None]
    x = torch.arange(width, device=img.device, dtype=flow.dtype)
    across = (x + flow[:, 0] + 0.5) * (2 / width) - 1
    down = (y + flow[:, 1] + 0.5) * (2 / height) - 1
    grid = torch.stack([across, down], -1)
    return F.grid_sample(img, grid, mode="bilinear", padding_mode="border", align_corners=False)


def compose(
    drawn: Tensor, edited: Tensor, flow: Tensor, masks: Tensor, shares: Tensor
) -> tuple[Tensor, Tensor]:
    """Split the edited picture into what the model adds and how much of the moved photo there is.

    With P the photo, D_i and E_i what way i draws of it before and after the edit, and m, s the masks and
    shares, the edited picture is

        m_0 moved(P) + sum_i m_i (E_i + s_i moved(P - D_i)) = added + kept * moved(P)

    The photo enters once, so that it may be of any resolution; all else is the model's. Without an edit
    E_i = D_i, flow = 0 and s_i = 1: added = 0, kept = 1, and the picture is the photo.

    Args:
        drawn: [N, 3 * WAYS, H, W] in [-1, 1].
        edited: The same shape.
        flow: [N, 2, H, W] px.
        masks: [N, 1 + WAYS, H, W].
        shares: [N, WAYS, H, W].

    Returns:
        added [N, 3, H, W] and kept [N, 1, H, W].
    """
    before = moved(drawn, flow)
    weights = masks[:, 1:] * shares
    ways = shares.shape[1]
    of_ways = [
        masks[:, 1 + i : 2 + i] * e - weights[:, i : i + 1] * d
        for i, (e, d) in enumerate(zip(edited.chunk(ways, 1), before.chunk(ways, 1), strict=True))
    ]
    kept = masks[:, :1] + weights.sum(1, keepdim=True)
    return torch.stack(of_ways).sum(0), kept


def with_fine_detail(added: Tensor, kept: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
    """Let more of the photo's detail through that no model of this resolution draws.

    Where the transfer is unsure it mixes photo and model, which is right for what both show; detail finer
    than the model's pixels has nothing to be mixed with, and would fade. With S the photo as it is seen at
    this resolution, the picture becomes

        added + kept moved(P) + (fine - kept) moved(P - S),   fine = smooth step of kept

    which is the same at this resolution, where P is S, and keeps the form that `compose` answers in.

    Args:
        added: As `compose` answers [N, 3, H, W].
        kept: As `compose` answers [N, 1, H, W].
        carried: moved(S) [N, 3, H, W].

    Returns:
        added and kept, the same shapes.
    """
    t = ((kept - NO_DETAIL) / (ALL_DETAIL - NO_DETAIL)).clamp(0, 1)
    fine = torch.maximum(kept, t * t * (3 - 2 * t))
    return added - (fine - kept) * carried, fine
