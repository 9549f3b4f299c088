"""FeatureRefiner: what ws cannot hold, in the three variants that `RefinerConfig.attention` names."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.networks.attention import CrossAttentionBlock, Levels, to_map, to_tokens
from inversion.networks.backbone import ResidualBlock, residual_stage
from inversion.networks.config import RefinerConfig
from inversion.networks.reference_attention import ReferenceCrossAttention
from stylegan2.checks import check_shape


class FeatureRefiner(nn.Module):
    """A picture and its reconstruction by ws -> code: what to add to f, wherever the face then moves.

    The queries are the tokens of a feature map at f's resolution, made from the picture, from what its
    reconstruction G(ws) misses, and from the three levels. What they learn of the styles differs:
    `build_feature` makes a `TokensFeature`, `ReferenceFeature` or `PlainFeature`, as
    `config.attention` says. `FeatureCarrier` turns the code into f.
    """

    int8_convolutions = True  # see `stylegan2.engines.int8`
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
        # Here and not in the variants' constructors: a saved optimiser knows parameters by their order.
        self._build_attention()
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
        tokens = self._attend(to_tokens(x + self.row + self.column), (ws - self.w_avg) / self.w_std)
        x = self.blocks(to_map(tokens, side, side))
        code: Tensor = self.head(F.silu(self.norm(x)))
        return code

    def _build_attention(self) -> None:
        """Make the layers of `_attend`."""
        raise NotImplementedError

    def _attend(self, tokens: Tensor, normalised: Tensor) -> Tensor:
        """Update the tokens [N, R * R, f_width] from the styles in standard deviations, shaped as ws."""
        raise NotImplementedError


class TokensFeature(FeatureRefiner):
    """Keys and values are the styles, one token a layer."""

    def _build_attention(self) -> None:
        config, width = self.config, self.config.f_width
        self.style = nn.Linear(config.w_dim, width)
        self.layer = nn.Parameter(0.02 * torch.randn(config.num_ws, width))
        self.attention = CrossAttentionBlock(width, width, config.heads, 2 * width)

    def _attend(self, tokens: Tensor, normalised: Tensor) -> Tensor:
        heard: Tensor = self.attention(tokens, self.style(normalised) + self.layer)
        return heard


class ReferenceFeature(FeatureRefiner):
    """As CLCAE's published code: the only key is one token of the foundation latent.

    Its stand-in here is the mean of ws: the refiner is not given w, and of all single latents the mean is
    the nearest to ws. With one key, every place hears the same.
    """

    def _build_attention(self) -> None:
        config, width = self.config, self.config.f_width
        self.style = nn.Linear(config.w_dim, width)
        self.attention = ReferenceCrossAttention(width, config.heads, 2 * width)

    def _attend(self, tokens: Tensor, normalised: Tensor) -> Tensor:
        heard: Tensor = self.attention(tokens, self.style(normalised.mean(1, keepdim=True)))
        return heard


class PlainFeature(FeatureRefiner):
    """Without attention, for comparison: the styles matter only through the picture that they draw."""

    def _build_attention(self) -> None:
        pass

    def _attend(self, tokens: Tensor, normalised: Tensor) -> Tensor:
        return tokens


def build_feature(config: RefinerConfig) -> FeatureRefiner:
    """The variant that `config.attention` names."""
    return _VARIANTS[config.attention](config)


_VARIANTS: dict[str, type[FeatureRefiner]] = {
    "tokens": TokensFeature,
    "reference": ReferenceFeature,
    "none": PlainFeature,
}
