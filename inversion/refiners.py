"""WPlusRefiner: w -> ws, and FeatureRefiner: what ws cannot hold, both guided by w (CLCAE section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.attention import CrossAttentionBlock, to_map, to_tokens
from inversion.backbone import ResidualBlock, residual_stage
from inversion.carry import FeatureCarrier
from inversion.config import RefinerConfig
from stylegan2.checks import check_shape

Levels = tuple[Tensor, Tensor, Tensor]  # fine, middle, coarse, as `Backbone` returns them


class WPlusRefiner(nn.Module):
    """w and the picture's feature levels -> ws.

        ws_k = w + w_std * head(attention(q_k, K = V = tokens of the three levels))

    The query of layer k is w with an embedding of k, so the foundation latent asks and the picture answers.
    The head starts at zero: an untrained refiner returns w for every layer.
    """

    w_avg: Tensor
    w_std: Tensor

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        width, side = config.width, config.in_resolution // 4
        self.project = nn.ModuleList(nn.Conv2d(c, width, 1) for c in config.level_channels)
        self.rows = nn.ParameterList(
            nn.Parameter(0.02 * torch.randn(width, side // 2**i, 1)) for i in range(3)
        )
        self.columns = nn.ParameterList(
            nn.Parameter(0.02 * torch.randn(width, 1, side // 2**i)) for i in range(3)
        )
        self.ask = nn.Linear(config.w_dim, width)
        self.layer = nn.Parameter(0.02 * torch.randn(config.num_ws, width))
        self.blocks = nn.ModuleList(
            CrossAttentionBlock(width, width, config.heads, 2 * width) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.w_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("w_std", torch.ones([]))

    def forward(self, w: Tensor, levels: Levels) -> Tensor:
        """Refine.

        Args:
            w: Foundation latents [N, w_dim].
            levels: Feature levels of the same pictures.

        Returns:
            ws [N, num_ws, w_dim].

        Raises:
            ShapeError: `w` has another width.
        """
        check_shape("w", w, "N", self.config.w_dim)
        placed = zip(levels, self.project, self.rows, self.columns, strict=True)
        context = torch.cat([to_tokens(project(x) + row + column) for x, project, row, column in placed], 1)
        x = self.ask((w - self.w_avg) / self.w_std)[:, None] + self.layer
        for block in self.blocks:
            x = block(x, context)
        offset: Tensor = self.head(self.norm(x))
        return w[:, None] + self.w_std * offset


class FeatureRefiner(nn.Module):
    """A picture and its reconstruction by ws -> code: what to add to f, wherever the face then moves.

    The queries are the tokens of a feature map at f's resolution, made from the picture, from what its
    reconstruction G(ws) misses, and from the three levels; keys and values are the styles ws, one token a
    layer. `FeatureCarrier` turns the code into f.
    """

    w_avg: Tensor
    w_std: Tensor

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.f_width
        halvings = (config.img_resolution // config.f_resolution).bit_length() - 1
        self.stem = nn.Conv2d(6, width // 2, 5, 2, 2)
        stages = [
            residual_stage(width // 2, width if i == halvings - 2 else width // 2, 1)
            for i in range(halvings - 1)
        ]
        last = [] if stages else [nn.Conv2d(width // 2, width, 1)]
        self.shrink = nn.Sequential(*stages, *last)
        self.project = nn.ModuleList(nn.Conv2d(c, width, 1) for c in config.level_channels)
        self.row = nn.Parameter(0.02 * torch.randn(width, config.f_resolution, 1))
        self.column = nn.Parameter(0.02 * torch.randn(width, 1, config.f_resolution))
        self.style = nn.Linear(config.w_dim, width)
        self.layer = nn.Parameter(0.02 * torch.randn(config.num_ws, width))
        self.attention = CrossAttentionBlock(width, width, config.heads, 2 * width)
        self.blocks = nn.Sequential(*[ResidualBlock(width, width, 1) for _ in range(config.f_blocks)])
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, config.code, 1)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("w_std", torch.ones([]))

    def forward(self, img: Tensor, drawn: Tensor, levels: Levels, ws: Tensor) -> Tensor:
        """Look at what is missing.

        Args:
            img: Pictures [N, 3, R, R] in [-1, 1], R the generator's resolution.
            drawn: Their reconstructions G(ws), the same shape and range.
            levels: Feature levels of the pictures.
            ws: Their styles [N, num_ws, w_dim].

        Returns:
            code [N, code, f_resolution, f_resolution].

        Raises:
            ShapeError: An argument does not have the shape above.
        """
        config, side = self.config, self.config.f_resolution
        check_shape("img", img, "N", 3, config.img_resolution, config.img_resolution)
        check_shape("drawn", drawn, *img.shape)
        check_shape("ws", ws, len(img), config.num_ws, config.w_dim)
        x = self.shrink(self.stem(torch.cat([img, img - drawn], 1)))
        for level, project in zip(levels, self.project, strict=True):
            part = project(level)
            if part.shape[-1] != side:
                part = F.interpolate(part, size=(side, side), mode="bilinear", align_corners=False)
            x = x + part
        context = self.style((ws - self.w_avg) / self.w_std) + self.layer
        tokens = self.attention(to_tokens(x + self.row + self.column), context)
        x = self.blocks(to_map(tokens, side, side))
        code: Tensor = self.head(F.silu(self.norm(x)))
        return code


class Refiners(nn.Module):
    """All that follows the foundation latent: `wplus`, `feature` and `carrier`, trained for one encoder."""

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        self.wplus = WPlusRefiner(config)
        self.feature = FeatureRefiner(config)
        self.carrier = FeatureCarrier(config)

    @torch.no_grad()
    def frame(self, w_avg: Tensor, w_std: Tensor) -> None:
        """Set the frame of reference of the latents: the mean of W [w_dim] and its spread []."""
        for refiner in (self.wplus, self.feature):
            refiner.w_avg.copy_(w_avg)
            refiner.w_std.copy_(w_std)
