"""Contrastive alignment of pictures and W: two encoders into one space, and how well a pair agrees."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.networks.backbone import Backbone, residual_stage
from inversion.networks.config import ContrastivePairConfig
from stylegan2.checks import check_shape

INITIAL_LOGIT_SCALE = 1 / 0.07  # as CLIP's (arXiv:2103.00020, section 2.5), and CLCAE's
MAX_LOGIT_SCALE = 100.0  # CLIP's bound: beyond it the softmax is too sharp to train
_LEARNABLE_LOG_SCALE = math.log(MAX_LOGIT_SCALE) - 1e-6  # below the bound, however its exponential is rounded


@dataclass(frozen=True)
class Alignment:
    """Where pictures and latents lie in the common space."""

    image_emb: Tensor  # unit vectors [N, embedding_dim]
    latent_emb: Tensor  # unit vectors [N, embedding_dim]
    logit_scale: Tensor  # factor on their cosines [], in (0, 100]


class ProjectionHead(nn.Module):
    """Features [N, width] -> embeddings [N, embedding_dim], N >= 2 in training (CLCAE section 3.1)."""

    def __init__(self, width: int, embedding_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, embedding_dim, bias=False)
        self.norm = nn.BatchNorm1d(embedding_dim)
        self.out = nn.Linear(embedding_dim, embedding_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Project `x` [N, width]; the result is not normalised."""
        projected: Tensor = self.out(F.relu(self.norm(self.hidden(x))))
        return projected


class ImageEncoder(nn.Module):
    """Pictures less the mean's picture [N, 3, R, R] -> features [N, width], h_I of CLCAE section 3.1.

    The mean and the maximum over the last 4 x 4 features (at 128 px) stand side by side: what the whole
    picture is like, and what there is anywhere in it. A layer on the flattened features would cost as many
    weights as everything before it.
    """

    def __init__(self, config: ContrastivePairConfig) -> None:
        super().__init__()
        self.backbone = Backbone(config.channels[:4], config.depths[:3])
        self.tail = residual_stage(config.channels[3], config.channels[4], config.depths[3])
        self.norm = nn.BatchNorm2d(config.channels[4])
        self.width = 2 * config.channels[4]

    def forward(self, x: Tensor) -> Tensor:
        """Features of `x` [N, 3, R, R]."""
        h = F.silu(self.norm(self.tail(self.backbone(x)[2])))
        # Not amax: it sends gradients to all that equal the maximum, and in compiled bfloat16, where one side
        # of the comparison is not rounded, none does; the gradient is then 0 / 0.
        return torch.cat([h.mean((2, 3)), h.flatten(2).max(2).values], 1)


class _LatentBlock(nn.Module):
    """Pre-norm residual MLP on [N, width]."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.out(F.silu(self.hidden(self.norm(x))))
        return result


class LatentEncoder(nn.Module):
    """Offsets from the mean of W, (w - w_avg) / w_std [N, w_dim] -> features [N, width]: a residual MLP.

    CLCAE section 3.1 has a transformer here. Its sequence is the one token w, and a softmax over one key is
    1: attention hands its values on whatever the queries and keys say, so that every layer is a residual
    MLP. This is that MLP, without the projections that never learn.
    """

    def __init__(self, config: ContrastivePairConfig) -> None:
        super().__init__()
        blocks = [_LatentBlock(config.w_dim, config.latent_hidden) for _ in range(config.latent_blocks)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(config.w_dim)
        self.width = config.w_dim

    def forward(self, x: Tensor) -> Tensor:
        """Features of `x` [N, w_dim]."""
        features: Tensor = self.norm(self.blocks(x))
        return features


class ContrastivePair(nn.Module):
    """(img, w) -> `Alignment`: pairs G(w), w are to lie close, all others far apart (CLCAE section 3.1).

    Pictures enter as img - img_avg, latents as (w - w_avg) / w_std. The constants are buffers, so that a
    checkpoint carries them: `w_avg` [w_dim], the root mean square spread of w around it `w_std` [], and the
    picture of the mean `img_avg` [3, R, R] in [-1, 1].
    """

    w_avg: Tensor
    w_std: Tensor
    img_avg: Tensor

    def __init__(self, config: ContrastivePairConfig) -> None:
        super().__init__()
        self.config = config
        r = config.in_resolution
        self.image_encoder = ImageEncoder(config)
        self.latent_encoder = LatentEncoder(config)
        self.image_projection = ProjectionHead(self.image_encoder.width, config.embedding_dim)
        self.latent_projection = ProjectionHead(self.latent_encoder.width, config.embedding_dim)
        self.log_logit_scale = nn.Parameter(torch.tensor(math.log(INITIAL_LOGIT_SCALE)))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("w_std", torch.ones([]))
        self.register_buffer("img_avg", torch.zeros(3, r, r))

    @property
    def logit_scale(self) -> Tensor:
        """Inverse temperature [], in (0, 100]."""
        # The second bound is for the rounding of the exponential: exp(ln 100) may exceed 100 by a bit.
        return self.log_logit_scale.clamp(max=math.log(MAX_LOGIT_SCALE)).exp().clamp(max=MAX_LOGIT_SCALE)

    @torch.no_grad()
    def bound_logit_scale(self) -> None:
        """Bring the parameter of `logit_scale` back to where gradients reach it; for after an update.

        At the bound the clamp of `logit_scale` has no slope: a parameter that an update carried beyond it
        would stay there.
        """
        self.log_logit_scale.clamp_(max=_LEARNABLE_LOG_SCALE)

    def forward(self, img: Tensor, w: Tensor) -> Alignment:
        """Embed pictures and latents.

        Args:
            img: Cropped pictures [N, 3, R, R] in [-1, 1], R = `config.in_resolution`.
            w: Latents [M, w_dim].

        Returns:
            Float32, whatever format the layers compute in.

        Raises:
            ShapeError: `img` or `w` has another shape.
        """
        return Alignment(self.image_embedding(img), self.latent_embedding(w), self.logit_scale)

    def image_embedding(self, img: Tensor) -> Tensor:
        """Unit vectors [N, embedding_dim] of pictures; `img` as in `forward`.

        Raises:
            ShapeError: `img` has another shape.
        """
        r = self.config.in_resolution
        check_shape("img", img, "N", 3, r, r)
        return F.normalize(self.image_projection(self.image_encoder(img - self.img_avg)).float(), dim=1)

    def latent_embedding(self, w: Tensor) -> Tensor:
        """Unit vectors [M, embedding_dim] of latents; `w` as in `forward`.

        Raises:
            ShapeError: `w` has another shape.
        """
        check_shape("w", w, "N", self.config.w_dim)
        offset = (w - self.w_avg) / self.w_std
        return F.normalize(self.latent_projection(self.latent_encoder(offset)).float(), dim=1)

    def score(self, img: Tensor, w: Tensor) -> Tensor:
        """How well each picture fits the latent beside it.

        Args:
            img: Pictures [N, 3, R, R], as in `forward`.
            w: Latents [N, w_dim].

        Returns:
            Cosines [N] in [-1, 1].

        Raises:
            ShapeError: A shape is another, or there are more of one than of the other.
        """
        image_emb = self.image_embedding(img)
        check_shape("w", w, len(img), self.config.w_dim)
        # Rounding may carry a cosine past one.
        return (image_emb * self.latent_embedding(w)).sum(1).clamp(-1, 1)
