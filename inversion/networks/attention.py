"""CrossAttentionBlock: tokens look at a context."""

from typing import TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

Levels = tuple[Tensor, Tensor, Tensor]  # fine, middle, coarse, as `Backbone` returns them

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


class CrossAttentionBlock(nn.Module):
    """Pre-norm cross-attention and a perceptron, both residual (arXiv:1706.03762, arXiv:2002.04745).

        a = x + out(softmax(Q K^T / sqrt(d)) V),  Q from norm(x), K and V from norm(context)
        y = a + mlp(norm(a))

    Every query meets several keys, so that which of them it listens to depends on the query. With a single
    key, as in CLCAE's published code, the softmax is 1 and the query could not matter.

    Args:
        width: Of the tokens; a multiple of `heads`.
        context_width: Of the context's tokens.
        heads: Attention heads.
        hidden: Units of the perceptron.
    """

    def __init__(self, width: int, context_width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_query, self.norm_context = nn.LayerNorm(width), nn.LayerNorm(context_width)
        self.query = nn.Linear(width, width)
        self.key, self.value = nn.Linear(context_width, width), nn.Linear(context_width, width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Update the tokens `x` [N, L, width] from `context` [N, S, context_width]."""
        context = self.norm_context(context)
        q, k, v = self.query(self.norm_query(x)), self.key(context), self.value(context)
        heard = F.scaled_dot_product_attention(self._split(q), self._split(k), self._split(v))
        x = x + self.out(heard.transpose(1, 2).flatten(2))
        result: Tensor = x + self.mlp(self.norm(x))
        return result

    def _split(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        return x.reshape(n, length, self.heads, width // self.heads).transpose(1, 2)


def to_tokens(x: Tensor) -> Tensor:
    """Feature map [N, C, H, W] -> tokens [N, H * W, C], row by row."""
    return x.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """Tokens [N, height * width, C] -> feature map [N, C, height, width]."""
    n, _, channels = tokens.shape
    return tokens.transpose(1, 2).reshape(n, channels, height, width)


def zero_started(layer: Layer) -> Layer:
    """`layer`, whose output is zero until it is trained."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
