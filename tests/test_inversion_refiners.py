from dataclasses import replace

import pytest
import torch

from inversion.attention import CrossAttentionBlock, to_map, to_tokens
from inversion.carry import FeatureCarrier
from inversion.chain import Chain
from inversion.config import RefinerConfig
from inversion.refiners import FeatureRefiner, Refiners, WPlusRefiner
from stylegan2.errors import ConfigError, ShapeError
from stylegan2.folded import FoldedSynthesis
from tests.refining import CONFIG, stirred, tiny_refiners


def levels(n=2):
    return tuple(torch.randn(n, c, side, side) for c, side in ((8, 8), (16, 4), (16, 2)))


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


@pytest.mark.parametrize("batch", [1, 3])
def test_an_untrained_refiner_returns_w_for_every_layer(batch):
    w = torch.randn(batch, 32)
    ws = WPlusRefiner(CONFIG)(w, levels(batch))
    assert torch.equal(ws, w[:, None].expand(-1, 8, -1))


def test_ws_follows_the_query_the_levels_and_the_layer():
    refiner, w, seen = stirred(WPlusRefiner(CONFIG)), torch.randn(2, 32), levels()
    offset = refiner(w, seen) - w[:, None]
    assert (offset[:, 0] - offset[:, 1]).abs().max() > 1e-3
    assert (offset - (refiner(w + 1, seen) - w[:, None] - 1)).abs().max() > 1e-3
    for i in range(3):
        changed = tuple(x + 1 if k == i else x for k, x in enumerate(seen))
        assert (refiner(w, changed) - w[:, None] - offset).abs().max() > 1e-4


def test_the_code_follows_all_that_the_refiner_looks_at():
    refiner = stirred(FeatureRefiner(CONFIG))
    img, drawn, ws, seen = (
        torch.randn(2, 3, 32, 32),
        torch.randn(2, 3, 32, 32),
        torch.randn(2, 8, 32),
        levels(),
    )
    code = refiner(img, drawn, seen, ws)
    assert code.shape == (2, 8, 16, 16)
    for changed in (
        (img.flip(3), drawn, seen, ws),
        (img, drawn.flip(3), seen, ws),
        (img, drawn, tuple(x + 1 for x in seen), ws),
        (img, drawn, seen, ws.flip(1)),
    ):
        assert (refiner(*changed) - code).abs().max() > 1e-4


@pytest.mark.parametrize("side", [8, 16])
def test_f_may_enter_at_any_resolution(side):
    config = RefinerConfig(**{**vars(CONFIG), "f_resolution": side})
    img = torch.randn(1, 3, 32, 32)
    code = FeatureRefiner(config).eval()(img, img, levels(1), torch.randn(1, 8, 32))
    assert code.shape == (1, 8, side, side)


def test_an_untrained_carrier_changes_nothing():
    code, a = torch.randn(2, 8, 16, 16), torch.randn(2, 8, 16, 16)
    assert torch.equal(FeatureCarrier(CONFIG)(code, a), a)


def test_without_an_edit_f_hat_is_f_bit_for_bit():
    carrier, code, a = stirred(FeatureCarrier(CONFIG)), torch.randn(2, 8, 16, 16), torch.randn(2, 8, 16, 16)
    assert torch.equal(carrier.carry(code, a, a.clone()), carrier(code, a))


def test_where_the_edit_changes_nothing_the_code_stays():
    """The gates are local: a change in one corner leaves the far corner as it was."""
    carrier, code, a = stirred(FeatureCarrier(CONFIG)), torch.randn(1, 8, 16, 16), torch.randn(1, 8, 16, 16)
    a_hat = a.clone()
    a_hat[..., :4, :4] += 3
    f, f_hat = carrier(code, a), carrier.carry(code, a, a_hat)
    torch.testing.assert_close(f_hat[..., 8:, 8:], f[..., 8:, 8:])
    assert not torch.allclose(f_hat[..., :4, :4] - a_hat[..., :4, :4], (f - a)[..., :4, :4])


def test_a_shifted_activation_fetches_its_code_from_where_it_was():
    """With sharp matching and no place in it, the carried code of a shifted map is the shifted code."""
    carrier = FeatureCarrier(RefinerConfig(**{**vars(CONFIG), "carry_width": 8}))
    with torch.no_grad():
        carrier.row.zero_()
        carrier.column.zero_()
        carrier.match.weight.copy_(20 * torch.eye(8)[:, :, None, None])
        carrier.match.bias.zero_()
    a = torch.nn.functional.normalize(torch.randn(1, 8, 16, 16), dim=1)
    code = torch.randn(1, 8, 16, 16)
    moved = carrier._moved(code, a, a.roll(2, 3))
    torch.testing.assert_close(moved, code.roll(2, 3), atol=0.1, rtol=0.1)


def test_wrong_shapes_are_refused():
    carrier, code, a = FeatureCarrier(CONFIG), torch.randn(1, 8, 16, 16), torch.randn(1, 8, 16, 16)
    with pytest.raises(ShapeError, match=r"code: expected \[N, 8, 16, 16\]"):
        carrier(code[:, :7], a)
    with pytest.raises(ShapeError, match=r"a_hat: expected \[1, 8, 16, 16\]"):
        carrier.carry(code, a, a[..., :8])
    with pytest.raises(ShapeError, match=r"w: expected \[N, 32\]"):
        WPlusRefiner(CONFIG)(torch.zeros(1, 31), levels(1))
    with pytest.raises(ShapeError, match=r"ws: expected \[1, 8, 32\]"):
        FeatureRefiner(CONFIG)(*torch.zeros(2, 1, 3, 32, 32), levels(1), torch.zeros(1, 7, 32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f_blocks": 0}, "f_blocks: 0; must be at least 1"),
        ({"heads": 3}, r"width: 16; must be a multiple of heads \(3\)"),
        ({"f_resolution": 32}, "f_resolution: 32; must be at most half of 32 and divide it"),
    ],
)
def test_impossible_refiners_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        RefinerConfig(**{**vars(CONFIG), **change})


@pytest.fixture
def chain(tiny_generator, tiny_encoder):
    return Chain(
        synthesis=tiny_generator.synthesis, encoder=tiny_encoder, refiners=tiny_refiners(tiny_encoder)
    )


def test_the_chain_draws_f_and_edits_it(chain):
    img = torch.randn(2, 3, 32, 32).clamp(-1, 1)
    latents = chain.invert(img)
    plain = chain.draw(latents)
    torch.testing.assert_close(chain.draw(latents, latents.ws.clone()), plain)
    edited = chain.draw(latents, latents.ws + 0.5)
    assert (edited - plain).abs().max() > 1e-3
    alone = chain.draw(chain.invert(img[1:]))
    torch.testing.assert_close(alone, plain[1:], atol=1e-4, rtol=1e-4)


def test_the_folded_generator_draws_the_same(chain, tiny_generator):
    folded = replace(chain, synthesis=FoldedSynthesis(tiny_generator.synthesis))
    img = torch.randn(2, 3, 32, 32).clamp(-1, 1)
    latents = chain.invert(img)
    torch.testing.assert_close(folded.invert(img).code, latents.code, atol=1e-4, rtol=1e-4)
    ws_hat = latents.ws + 0.5
    torch.testing.assert_close(
        folded.draw(latents, ws_hat), chain.draw(latents, ws_hat), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(chain.draw_ws(ws_hat), tiny_generator.synthesis(ws_hat))


def test_the_frame_of_reference_is_the_encoders(tiny_encoder):
    refiners = Refiners(CONFIG)
    refiners.frame(tiny_encoder.w_avg, tiny_encoder.w_std)
    assert torch.equal(refiners.wplus.w_avg, tiny_encoder.w_avg)
    assert torch.equal(refiners.feature.w_std, tiny_encoder.w_std)
