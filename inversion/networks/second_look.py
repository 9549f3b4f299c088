"""SecondLook: what a picture has that G(w) lacks, for a better w and for ws."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.networks.attention import Levels, zero_started
from inversion.networks.backbone import Backbone, residual_stage
from inversion.networks.config import RefinerConfig
from stylegan2.checks import check_shape
from stylegan2.image import shrink
from stylegan2.ops.upfirdn2d import upsample2d


@dataclass(frozen=True)
class Seen:
    """What the second look found."""

    w: Tensor  # the foundation latent, improved [N, w_dim]
    levels: Levels  # the encoder's levels, with what G(w) misses: for W+, not for F
    missing: Tensor | None  # the same in one vector [N, look_width]; None where there is no second look


class SecondLook(nn.Module):
    """One step of feedback, as in ReStyle (arXiv:2104.02699), on the foundation latent.

    An encoder answers without seeing what its answer draws. Here it is shown, as far as the generator has
    drawn it at `look_resolution`: of 128 px at 64, which takes half the time of a whole picture. From there

        drawn = up(below) + read(a)                               a sketch of G(w), shrunk
        w' = w + w_std * head(missing),  levels' = levels + project(levels of img - drawn)

    Head and projections start at zero: an untrained look leaves w and levels as they are. `read` is best
    fitted to the generator before any training, see `train.refiners.sketch.fit_sketch`.
    """

    w_std: Tensor

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        channels, side = config.look_channels, config.look_resolution
        self.read = nn.Conv2d(config.look_features, 3, 1)
        self.backbone = Backbone(channels[:4], (1, 1, 1), in_channels=6, stem_stride=1)
        self.project = nn.ModuleList(
            zero_started(nn.Conv2d(theirs, ours, 1))
            for theirs, ours in zip(channels[1:4], config.level_channels, strict=True)
        )
        self.tail = residual_stage(channels[3], channels[4], 1)
        self.norm = nn.BatchNorm2d(channels[4])
        self.missing = nn.Linear(channels[4] * (side // 16) ** 2, config.look_width)
        self.head = zero_started(nn.Linear(config.look_width, config.w_dim))
        self.register_buffer("w_std", torch.ones([]))

    def forward(self, img: Tensor, a: Tensor, below: Tensor, w: Tensor, levels: Levels) -> Seen:
        """Compare.

        Args:
            img: Pictures [N, 3, R, R] in [-1, 1], R the generator's resolution.
            a: The generator's activation for w at r = `config.look_resolution`, [N, look_features, r, r].
            below: What its blocks below have drawn [N, 3, r / 2, r / 2].
            w: The encoder's answer [N, w_dim].
            levels: The encoder's feature levels.

        Raises:
            ShapeError: An argument does not have the shape above.
        """
        config, r = self.config, self.config.look_resolution
        check_shape("img", img, "N", 3, config.img_resolution, config.img_resolution)
        check_shape("a", a, len(img), config.look_features, r, r)
        check_shape("below", below, len(img), 3, r // 2, r // 2)
        check_shape("w", w, len(img), config.w_dim)
        drawn = self.sketch(a, below)
        found = self.backbone(torch.cat([shrink(img, r) - drawn, drawn], 1))
        fine, middle, coarse = (
            level + self._fit(project(x), level)
            for level, project, x in zip(levels, self.project, found, strict=True)
        )
        missing = F.silu(self.missing(F.silu(self.norm(self.tail(found[2]))).flatten(1)))
        return Seen(w + self.w_std * self.head(missing), (fine, middle, coarse), missing)

    def sketch(self, a: Tensor, below: Tensor) -> Tensor:
        """G(w) as far as it is drawn [N, 3, r, r], from what `forward` is given."""
        drawn: Tensor = upsample2d(below) + self.read(a)
        return drawn

    @staticmethod
    def _fit(x: Tensor, level: Tensor) -> Tensor:
        if x.shape[-1] == level.shape[-1]:
            return x
        return F.interpolate(x, size=level.shape[-2:], mode="bilinear", align_corners=False)
