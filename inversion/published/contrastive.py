"""CLCAE's contrastive encoders of pictures and of latents, by the names of their published weights."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.published.heads import COARSE_STEPS, MapToStyle
from inversion.published.trunk import PyramidEncoder
from stylegan2.checks import check_shape

_TEMPERATURE = 0.07  # that training starts with
_SIZE = 256  # pixels a side


class _Projection(nn.Module):
    """[N, width] -> [N, width]: the perceptron before the embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, width, bias=False)
        self.bn = nn.BatchNorm1d(width)
        self.lin2 = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.lin2(F.relu(self.bn(self.lin1(x))))
        return projected


class _StyleReader(PyramidEncoder):
    """The trunk with one head. The pyramid's layers are in the published weights and lead nowhere."""

    def __init__(self, channels: tuple[int, int, int, int, int]) -> None:
        super().__init__(channels)
        self.styles = nn.ModuleList([MapToStyle(channels[-1], COARSE_STEPS)])

    def forward(self, img: Tensor) -> Tensor:
        style: Tensor = self.styles[0](self.coarse(img))
        return style


class ContrastiveImageEncoder(nn.Module):
    """Picture less the mean picture -> embedding of length 1 (CLCAE section 3.1).

    Args:
        channels: Widths of the trunk's stem and stages; the last is the embedding's.
    """

    def __init__(self, channels: tuple[int, int, int, int, int] = (64, 64, 128, 256, 512)) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / _TEMPERATURE)))
        self.encoder = _StyleReader(channels)
        self.image_projection = _Projection(channels[-1])

    def forward(self, img: Tensor) -> Tensor:
        """Embed.

        Args:
            img: `img - G(w_avg)` [N, 3, 256, 256].

        Returns:
            [N, width], of length 1.

        Raises:
            ShapeError: `img` has another shape.
        """
        check_shape("img", img, "N", 3, _SIZE, _SIZE)
        return F.normalize(self.image_projection(self.encoder(img)), dim=-1)


class _LatentLayer(nn.Module):
    """Post-norm transformer layer (arXiv:1706.03762) whose positions are added to queries and keys alone."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        placed = x + position
        x = self.norm1(x + self.self_attn(placed, placed, x, need_weights=False)[0])
        result: Tensor = self.norm2(x + self.linear2(F.relu(self.linear1(x))))
        return result


class ContrastiveLatentEncoder(nn.Module):
    """Latent less the mean of W -> embedding of length 1 (CLCAE section 3.1).

    A latent is one token, so that neither its position nor the queries and keys can matter.

    Args:
        width: Of w and of the embedding; a multiple of `heads`.
        heads: Attention heads.
        hidden: Units of the perceptrons.
    """

    def __init__(self, width: int = 512, heads: int = 4, hidden: int = 1024) -> None:
        super().__init__()
        self.width = width
        self.pos_embedding = nn.Parameter(torch.randn(1, 1, width))
        self.coarse = _LatentLayer(width, heads, hidden)
        self.medium = _LatentLayer(width, heads, hidden)
        self.fine = _LatentLayer(width, heads, hidden)
        self.latent_projection = _Projection(width)

    def forward(self, w: Tensor) -> Tensor:
        """Embed `w - w_avg` [N, width] to [N, width], of length 1.

        Raises:
            ShapeError: `w` has another shape.
        """
        check_shape("w", w, "N", self.width)
        x = w[:, None]
        for layer in (self.coarse, self.medium, self.fine):
            x = layer(x, self.pos_embedding)
        return F.normalize(self.latent_projection(x[:, 0]), dim=-1)
