import torch

from inversion.networks.attention import CrossAttentionBlock, to_map, to_tokens


def attention_reference(block, x, context):
    """Slow twin of the block's attention: one query, one head at a time."""
    context = block.norm_context(context)
    q, k, v = block.query(block.norm_query(x)), block.key(context), block.value(context)
    width = q.shape[2] // block.heads
    out = torch.zeros_like(q)
    for n in range(len(x)):
        for h in range(block.heads):
            part = slice(h * width, (h + 1) * width)
            for i in range(x.shape[1]):
                scores = torch.stack([q[n, i, part] @ key / width**0.5 for key in k[n, :, part]])
                out[n, i, part] = (scores.softmax(0)[:, None] * v[n, :, part]).sum(0)
    x = x + block.out(out)
    return x + block.mlp(block.norm(x))


def test_attention_is_its_slow_twin():
    block = CrossAttentionBlock(8, 6, 2, 16)
    x, context = torch.randn(2, 3, 8), torch.randn(2, 5, 6)
    torch.testing.assert_close(block(x, context), attention_reference(block, x, context))


def test_what_is_heard_depends_on_the_query_only_with_several_keys():
    """The fault of attention with a single key: its softmax is 1 whatever is asked."""
    block = CrossAttentionBlock(8, 6, 2, 16)
    query = torch.randn(1, 1, 8, requires_grad=True)
    for keys, matters in ((5, True), (1, False)):
        block.zero_grad()
        block(query, torch.randn(1, keys, 6)).square().sum().backward()
        assert (block.query.weight.grad.abs().max() > 1e-6) == matters


def test_attention_has_the_right_gradient():
    block = CrossAttentionBlock(4, 4, 2, 4).double()
    x, context = (torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(block, (x, context))


def test_maps_become_tokens_and_come_back():
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(to_tokens(x)[1, 7], x[1, :, 1, 2])
    assert torch.equal(to_map(to_tokens(x), 4, 5), x)
