import pytest
import torch

from inversion.networks.wplus import COARSE, FINE, MIDDLE, build_wplus, level_of_layer
from tests.helpers.refiners import VARIANTS, every_variant, heard, levels, stirred


@every_variant
@pytest.mark.parametrize("batch", [1, 3])
def test_an_untrained_refiner_returns_w_for_every_layer(config, batch):
    w = torch.randn(batch, 32)
    ws = build_wplus(config)(w, levels(batch))
    assert torch.equal(ws, w[:, None].expand(-1, 8, -1))


@every_variant
def test_ws_follows_the_levels_and_the_layer(config):
    refiner, w, seen = stirred(build_wplus(config)), torch.randn(2, 32), levels()
    offset = refiner(w, seen) - w[:, None]
    assert (offset[:, 0] - offset[:, 1]).abs().max() > 1e-3
    for i in range(3):
        changed = tuple(x + 1 if k == i else x for k, x in enumerate(seen))
        assert (refiner(w, changed) - w[:, None] - offset).abs().max() > 1e-4


@pytest.mark.parametrize(("attention", "matters"), [("tokens", True), ("reference", True), ("none", False)])
def test_what_w_asks_matters_where_there_is_attention(attention, matters):
    refiner, w, seen = stirred(build_wplus(VARIANTS[attention])), torch.randn(2, 32), levels()
    change = (refiner(w + 1, seen) - 1 - refiner(w, seen)).abs().max()
    assert change > 1e-3 if matters else change < 1e-5


def test_with_many_keys_the_attention_hears_what_w_asks_and_with_one_it_does_not():
    """The fault that the variant `reference` keeps: w gets into the block past the attention alone."""
    w, seen = torch.randn(2, 32), levels()

    def ask(refiner):
        return [lambda: refiner(w, seen), lambda: refiner(w + 1, seen)]

    tokens, reference = (stirred(build_wplus(VARIANTS[name])) for name in ("tokens", "reference"))
    asked, asked_otherwise = heard(tokens.blocks[0].out, ask(tokens))
    assert (asked - asked_otherwise).abs().max() > 1e-4
    (asked, _), (asked_otherwise, _) = heard(reference.blocks[0].multihead_attn, ask(reference))
    assert torch.equal(asked, asked_otherwise)


def test_every_layer_of_the_reference_reads_its_own_level():
    published = [COARSE] * 3 + [MIDDLE] * 4 + [FINE] * 5
    assert [level_of_layer(k, 12) for k in range(12)] == published
    assert [level_of_layer(k, 8) for k in range(8)] == [COARSE] * 2 + [MIDDLE] * 3 + [FINE] * 3
    refiner, w, seen = stirred(build_wplus(VARIANTS["reference"])), torch.randn(2, 32), levels()
    ws = refiner(w, seen)
    for level in (FINE, MIDDLE, COARSE):
        changed = refiner(w, tuple(x + 1 if k == level else x for k, x in enumerate(seen))) != ws
        assert changed.any(2).all(0).tolist() == [level_of_layer(k, 8) == level for k in range(8)]
