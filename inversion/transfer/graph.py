"""TransferPixels: the transfer network with `compose`, of pixels, as engines run it."""

import torch.nn.functional as F
from torch import Tensor, nn

from inversion.transfer.compose import ALL_DETAIL, NO_DETAIL, compose, moved, with_fine_detail
from inversion.transfer.config import SIDE
from inversion.transfer.network import TransferNetwork
from stylegan2.checks import check_shape
from stylegan2.image import from_uint8, shrink


class TransferPixels(nn.Module):
    """Photo and pictures of a model of any resolution R -> flow, added and kept, see `compose`."""

    def __init__(self, network: TransferNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, photo: Tensor, drawn: Tensor, edited: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decide at `SIDE`, compose at R.

        Args:
            photo: Cropped face [N, SIDE, SIDE, 3] uint8.
            drawn: What the model draws of it, unedited [N, WAYS, R, R, 3] uint8.
            edited: And under the edit, the same shape.

        Returns:
            flow [N, 2, SIDE, SIDE] px of `SIDE`, added [N, 3, R, R] in [-3, 3] and kept [N, 1, R, R]. Added
            is on the scale of img, where a picture spans 2.
        """
        check_shape("photo", photo, "N", SIDE, SIDE, 3)
        before, after = _stacked(drawn), _stacked(edited)
        seen = from_uint8(photo)
        flow, masks, shares = self.network(seen, resized(before), resized(after))
        side = before.shape[3]
        path = resized(flow, side) * (side / SIDE)
        added, kept = compose(before, after, path, resized(masks, side), resized(shares, side))
        if side <= SIDE:  # a model that draws more than is seen here draws detail of its own
            added, kept = with_fine_detail(added, kept, moved(resized(seen, side), path))
        return flow, added, kept

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return f"detail={NO_DETAIL} to {ALL_DETAIL}"


def resized(x: Tensor, side: int = SIDE) -> Tensor:
    """[N, C, H, H] -> [N, C, side, side]: the mean over true areas, or bilinear where it grows."""
    if x.shape[3] >= side:
        return shrink(x, side)
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)


def _stacked(pixels: Tensor) -> Tensor:
    """[N, WAYS, R, R, 3] uint8 -> img [N, 3 * WAYS, R, R] in [-1, 1]."""
    img = from_uint8(pixels.flatten(0, 1))
    return img.reshape(pixels.shape[0], -1, *img.shape[2:])
