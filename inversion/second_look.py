"""SecondLook: what a picture has that G(w) lacks, for a better w and for all that follows it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.attention import Levels, zero_started
from inversion.backbone import Backbone, residual_stage
from inversion.config import RefinerConfig
from stylegan2.checks import check_shape


@dataclass(frozen=True)
class Seen:
    """What the second look found."""

    w: Tensor  # the foundation latent, improved [N, w_dim]
    levels: Levels  # the encoder's levels, with what G(w) missed
    missing: Tensor  # the same in one vector [N, width]


class SecondLook(nn.Module):
    """One step of feedback, as in ReStyle (arXiv:2104.02699), on the foundation latent.

    An encoder answers without seeing what its answer draws. Here it is shown: from `img - G(w)` and G(w)

        w' = w + w_std * head(missing),  levels' = levels + project(levels of the difference)

    Head and projections start at zero: an untrained look leaves w and levels as they are.
    """

    w_std: Tensor

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        channels, r = config.look_channels, config.in_resolution
        self.backbone = Backbone(channels[:4], (1, 1, 2), in_channels=6)
        self.project = nn.ModuleList(
            zero_started(nn.Conv2d(theirs, ours, 1))
            for theirs, ours in zip(channels[1:4], config.level_channels, strict=True)
        )
        self.tail = residual_stage(channels[3], channels[4], 1)
        self.norm = nn.BatchNorm2d(channels[4])
        self.missing = nn.Linear(channels[4] * (r // 32) ** 2, config.width)
        self.head = zero_started(nn.Linear(config.width, config.w_dim))
        self.register_buffer("w_std", torch.ones([]))

    def forward(self, img: Tensor, drawn: Tensor, w: Tensor, levels: Levels) -> Seen:
        """Compare.

        Args:
            img: Pictures [N, 3, r, r] in [-1, 1], r = `config.in_resolution`.
            drawn: G(w) of them, the same shape and range.
            w: The encoder's answer [N, w_dim].
            levels: The encoder's feature levels.

        Raises:
            ShapeError: An argument does not have the shape above.
        """
        r = self.config.in_resolution
        check_shape("img", img, "N", 3, r, r)
        check_shape("drawn", drawn, *img.shape)
        check_shape("w", w, len(img), self.config.w_dim)
        found = self.backbone(torch.cat([img - drawn, drawn], 1))
        fine, middle, coarse = (
            level + project(x) for level, project, x in zip(levels, self.project, found, strict=True)
        )
        missing = F.silu(self.missing(F.silu(self.norm(self.tail(found[2]))).flatten(1)))
        return Seen(w + self.w_std * self.head(missing), (fine, middle, coarse), missing)
