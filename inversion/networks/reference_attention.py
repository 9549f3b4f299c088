"""ReferenceCrossAttention: the block of CLCAE's published code, and what is left of it with one key."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.checks import check_shape


class ReferenceCrossAttention(nn.Module):
    """Post-norm cross-attention and a perceptron, both residual, with the names of the published weights.

        a = MHA(Q = query, K = V = context)
        t = norm2(query + dropout(a))
        o = norm3(t + dropout(W2 dropout(relu(W1 t))))

    The published networks give it one token as the context. The softmax over one key is 1, so `a` is the
    same whatever is asked, and the weights of Q and K never get a gradient; see `fold`.

    Args:
        width: Of query and context; a multiple of `heads`.
        heads: Attention heads.
        hidden: Units of the perceptron.
        dropout: Share of values that training leaves out, of whole heads too where there is one key.
    """

    def __init__(self, width: int, heads: int = 4, hidden: int = 1024, dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.multihead_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width)  # never used; the published weights have it
        self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Update the query from the context.

        Args:
            query: Tokens [N, L, width].
            context: Tokens [N, S, width]; S = 1 in the published networks.

        Returns:
            [N, L, width], normalised over the width.

        Raises:
            ShapeError: An argument does not have the shape above.
        """
        check_shape("query", query, "N", "L", self.width)
        check_shape("context", context, len(query), "S", self.width)
        a = self.attend(query, context)
        t = self.norm2(query + self.dropout(a))
        changed = self.linear2(self.dropout(F.relu(self.linear1(t))))
        o: Tensor = self.norm3(t + self.dropout(changed))
        return o

    def attend(self, query: Tensor, context: Tensor) -> Tensor:
        """The attention alone, before its residual: [N, L, width]."""
        a: Tensor = self.multihead_attn(query, context, context)[0]
        return a


class FoldedReferenceAttention(nn.Module):
    """`ReferenceCrossAttention` for a context of one token, without what cannot matter then.

        a = W context + b,  W = W_out W_v,  b = W_out b_v + b_out

    For inference: there is no dropout.

    Args:
        width: Of query and context.
        hidden: Units of the perceptron.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.width = width
        self.attended = nn.Linear(width, width)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Update the query from the context.

        Args:
            query: Tokens [N, L, width].
            context: One token [N, 1, width].

        Returns:
            [N, L, width], as the unfolded block in evaluation mode.

        Raises:
            ShapeError: An argument does not have the shape above.
        """
        check_shape("query", query, "N", "L", self.width)
        check_shape("context", context, len(query), 1, self.width)
        t = self.norm2(query + self.attended(context))
        o: Tensor = self.norm3(t + self.linear2(F.relu(self.linear1(t))))
        return o


@torch.no_grad()
def fold(module: ReferenceCrossAttention) -> FoldedReferenceAttention:
    """A copy of `module` for inference with a context of one token; `module` stays as it is."""
    attention, width = module.multihead_attn, module.width
    folded = FoldedReferenceAttention(width, module.linear1.out_features)
    for name in ("linear1", "linear2", "norm2", "norm3"):
        setattr(folded, name, copy.deepcopy(getattr(module, name)))
    # In float64, so that the fold rounds once and not twice.
    out, out_bias = attention.out_proj.weight.double(), attention.out_proj.bias.double()
    value = attention.in_proj_weight[2 * width :].double()
    value_bias = attention.in_proj_bias[2 * width :].double()
    folded.to(attention.out_proj.weight)  # device and dtype
    folded.attended.weight.copy_(out @ value)
    folded.attended.bias.copy_(out @ value_bias + out_bias)
    return folded.eval().requires_grad_(False)
