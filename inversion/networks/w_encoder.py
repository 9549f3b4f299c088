"""WEncoder: one forward pass from a cropped image to the foundation latent w."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.networks.backbone import Backbone, residual_stage
from inversion.networks.config import EncoderConfig
from stylegan2.checks import check_shape


class WEncoder(nn.Module):
    """img -> w: backbone on `img - G(w_avg)`, head predicting the offset from the mean (CLCAE section 3.2).

    w = w_avg + w_std * head(backbone(img - img_avg))

    The three constants are buffers, so that a checkpoint carries them: `w_avg` [w_dim], the root mean
    square spread of w around it `w_std` [], and the picture of the mean `img_avg` [3, R, R] in [-1, 1].
    """

    w_avg: Tensor
    w_std: Tensor
    img_avg: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        r = config.in_resolution
        self.backbone = Backbone(config.channels[:4], config.depths[:3])
        self.tail = residual_stage(config.channels[3], config.channels[4], config.depths[3])
        self.norm = nn.BatchNorm2d(config.channels[4])
        self.hidden = nn.Linear(config.channels[4] * (r // 32) ** 2, config.hidden)
        self.out = nn.Linear(config.hidden, config.w_dim)
        # A small last layer starts every picture near the mean face, where G is well behaved.
        nn.init.normal_(self.out.weight, std=0.1 / config.hidden**0.5)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("w_std", torch.ones([]))
        self.register_buffer("img_avg", torch.zeros(3, r, r))

    def forward(self, img: Tensor) -> Tensor:
        """Invert `img` [N, 3, R, R] to w [N, w_dim]; see `encode`."""
        return self.encode(img)[0]

    def encode(self, img: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Invert `img`, and hand out what the refiners look at.

        Args:
            img: Cropped pictures [N, 3, R, R] in [-1, 1], R = `config.in_resolution`.

        Returns:
            w [N, w_dim], and the backbone's fine, middle and coarse level.

        Raises:
            ShapeError: `img` has another shape.
        """
        r = self.config.in_resolution
        check_shape("img", img, "N", 3, r, r)
        levels: tuple[Tensor, Tensor, Tensor] = self.backbone(img - self.img_avg)
        x = F.silu(self.norm(self.tail(levels[2]))).flatten(1)
        offset: Tensor = self.out(F.silu(self.hidden(x)))
        return self.w_avg + self.w_std * offset, levels
