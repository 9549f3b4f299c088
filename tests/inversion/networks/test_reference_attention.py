import pytest
import torch

from inversion.networks.reference_attention import FoldedReferenceAttention, ReferenceCrossAttention, fold
from stylegan2.errors import ShapeError

# Of `encoder.cross_attention.0` in the published weights.
PUBLISHED = {
    "multihead_attn.in_proj_weight": (1536, 512),
    "multihead_attn.in_proj_bias": (1536,),
    "multihead_attn.out_proj.weight": (512, 512),
    "multihead_attn.out_proj.bias": (512,),
    "linear1.weight": (1024, 512),
    "linear1.bias": (1024,),
    "linear2.weight": (512, 1024),
    "linear2.bias": (512,),
    "norm1.weight": (512,),
    "norm1.bias": (512,),
    "norm2.weight": (512,),
    "norm2.bias": (512,),
    "norm3.weight": (512,),
    "norm3.bias": (512,),
}


def stirred(module):
    """In evaluation mode; torch starts the biases of attention and norms where they do not matter."""
    for value in module.parameters():
        value.data += 0.2 * torch.randn_like(value)
    return module.eval()


def slow_twin(block, query, context):
    """The formula by hand: one sample, one query, one head at a time."""
    weights, attention, width = block.state_dict(), block.multihead_attn, block.width
    projections = zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
    (wq, bq), (wk, bk), (wv, bv) = projections
    part = width // attention.num_heads

    def norm(x, name):
        spread = (x.var(unbiased=False) + 1e-5).sqrt()
        return (x - x.mean()) / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    out = torch.zeros_like(query)
    for n, tokens in enumerate(query):
        k, v = context[n] @ wk.T + bk, context[n] @ wv.T + bv
        for i, token in enumerate(tokens):
            q, heads = wq @ token + bq, []
            for start in range(0, width, part):
                own = slice(start, start + part)
                heads.append((k[:, own] @ q[own] / part**0.5).softmax(0) @ v[:, own])
            t = norm(token + attention.out_proj(torch.cat(heads)), "norm2")
            out[n, i] = norm(t + block.linear2(block.linear1(t).clamp(min=0)), "norm3")
    return out


@pytest.mark.parametrize("keys", [1, 3])
def test_the_block_is_its_slow_twin(keys):
    block = stirred(ReferenceCrossAttention(8, 2, 12))
    query, context = torch.randn(2, 4, 8), torch.randn(2, keys, 8)
    torch.testing.assert_close(block(query, context), slow_twin(block, query, context))


def test_names_and_shapes_are_those_of_the_published_weights():
    with torch.device("meta"):
        state = ReferenceCrossAttention(512).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == PUBLISHED
    assert len(state) == 14


def test_with_one_key_what_asks_never_learns():
    """The rows of Q and K get a gradient of exactly 0, and with several keys they do not."""
    block = stirred(ReferenceCrossAttention(8, 2, 12))
    for keys, learns in ((1, False), (3, True)):
        block.zero_grad()
        block(torch.randn(2, 4, 8), torch.randn(2, keys, 8)).square().sum().backward()
        weight, bias = block.multihead_attn.in_proj_weight.grad, block.multihead_attn.in_proj_bias.grad
        assert weight[:8].any() == weight[8:16].any() == bias[:8].any() == learns
        assert weight[16:].any()  # V
    assert not bias[8:16].abs().max() > 1e-5  # K's bias moves all scores alike: it never matters
    assert block.norm1.weight.grad is None


def test_with_one_key_the_attention_does_not_hear_the_query():
    block = stirred(ReferenceCrossAttention(8, 2, 12))
    query, other, context = torch.randn(2, 4, 8), torch.randn(2, 4, 8), torch.randn(2, 3, 8)
    assert torch.equal(block.attend(query, context[:, :1]), block.attend(other, context[:, :1]))
    assert not torch.allclose(block.attend(query, context), block.attend(other, context))
    # Only the residual carries it.
    assert not torch.allclose(block(query, context[:, :1]), block(other, context[:, :1]))


def test_dropout_is_for_training_only():
    block, query, context = ReferenceCrossAttention(8, 2, 12), torch.randn(2, 4, 8), torch.randn(2, 1, 8)
    assert not torch.equal(block(query, context), block(query, context))
    block.eval()
    assert torch.equal(block(query, context), block(query, context))


def test_the_block_has_the_right_gradient():
    block = ReferenceCrossAttention(4, 2, 6).double().eval()
    query, context = (torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(block, (query, context))


@pytest.mark.parametrize("length", [1, 16])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_folded_block_is_the_block(batch, length):
    block = stirred(ReferenceCrossAttention(32, 4, 64))
    folded, before = fold(block), [value.clone() for value in block.parameters()]
    query, context = torch.randn(batch, length, 32), torch.randn(batch, 1, 32)
    torch.testing.assert_close(folded(query, context), block(query, context), atol=1e-5, rtol=1e-5)
    folded.linear1.weight.data.zero_()  # a copy of its own
    assert all(torch.equal(a, b) for a, b in zip(before, block.parameters(), strict=True))


def test_the_folded_block_has_no_query_and_no_key():
    block = ReferenceCrossAttention(32, 4, 64)
    folded = fold(block)
    ours, theirs = (sum(p.numel() for p in module.parameters()) for module in (folded, block))
    assert theirs - ours == 3 * 32 * 32 + 3 * 32 + 2 * 32  # Q, K, one of V and out; norm1
    assert not folded.training
    assert not any(p.requires_grad for p in folded.parameters())
    assert fold(block.double()).attended.weight.dtype == torch.float64


@pytest.mark.parametrize("block", [ReferenceCrossAttention(8, 2, 12), FoldedReferenceAttention(8, 12)])
def test_wrong_widths_are_refused(block):
    query, context = torch.zeros(2, 4, 8), torch.zeros(2, 1, 8)
    with pytest.raises(ShapeError, match=r"query: expected \[N, L, 8\], got \[2, 4, 7\]"):
        block(query[..., :7], context)
    with pytest.raises(ShapeError, match=r"context: expected \[2, [S1], 8\], got \[2, 1, 7\]"):
        block(query, context[..., :7])
    with pytest.raises(ShapeError, match=r"context: expected \[2, [S1], 8\], got \[1, 1, 8\]"):
        block(query, context[:1])


def test_a_folded_block_hears_one_token_only():
    with pytest.raises(ShapeError, match=r"context: expected \[2, 1, 8\], got \[2, 3, 8\]"):
        FoldedReferenceAttention(8, 12)(torch.zeros(2, 4, 8), torch.zeros(2, 3, 8))
