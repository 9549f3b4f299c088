import copy
import pickle
from dataclasses import replace

import pytest
import torch

from inversion.networks.carry import FeatureCarrier
from inversion.networks.checkpoint import load_refiners, save_refiners
from inversion.networks.config import RefinerConfig
from inversion.networks.feature import build_feature
from inversion.networks.reference_attention import FoldedReferenceAttention
from inversion.networks.refiners import Refiners
from inversion.networks.wplus import build_wplus
from stylegan2.errors import ConfigError, ShapeError
from stylegan2.network.folded import FoldedSynthesis
from tests.helpers.plain_chain import PlainChain
from tests.helpers.refiners import CONFIG, VARIANTS, every_variant, heard, levels, stirred


@pytest.mark.parametrize(
    ("attention", "styles_matter"), [("tokens", True), ("reference", True), ("none", False)]
)
def test_the_code_follows_all_that_the_refiner_looks_at(attention, styles_matter):
    refiner = stirred(build_feature(VARIANTS[attention]))
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
    ):
        assert (refiner(*changed) - code).abs().max() > 1e-4
    assert torch.equal(refiner(img, drawn, seen, ws + 1), code) != styles_matter


def test_only_tokens_tell_the_styles_of_the_layers_apart():
    img, ws, seen = torch.randn(2, 3, 32, 32), torch.randn(2, 8, 32), levels()
    for attention, differs in (("tokens", True), ("reference", False)):
        refiner = stirred(build_feature(VARIANTS[attention]))
        change = (refiner(img, img, seen, ws.flip(1)) - refiner(img, img, seen, ws)).abs().max()
        assert (change > 1e-4) == differs


def test_what_the_feature_map_asks_changes_what_the_attention_hears_of_the_styles():
    """With one key, as in `reference`, it hears the same whatever the picture asks."""
    img, ws, seen = torch.randn(2, 3, 32, 32), torch.randn(2, 8, 32), levels()

    def ask(refiner):
        return [lambda: refiner(img, img, seen, ws), lambda: refiner(img.flip(3), img, seen, ws)]

    tokens, reference = (stirred(build_feature(VARIANTS[name])) for name in ("tokens", "reference"))
    asked, asked_otherwise = heard(tokens.attention.out, ask(tokens))
    assert (asked - asked_otherwise).abs().max() > 1e-4
    (asked, _), (asked_otherwise, _) = heard(reference.attention.multihead_attn, ask(reference))
    torch.testing.assert_close(asked, asked_otherwise)


@every_variant
@pytest.mark.parametrize("side", [8, 16])
def test_f_may_enter_at_any_resolution(config, side):
    config = replace(config, f_resolution=side)
    img = torch.randn(1, 3, 32, 32)
    code = build_feature(config).eval()(img, img, levels(1), torch.randn(1, 8, 32))
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


def test_faces_that_are_edited_together_are_edited_as_if_alone():
    carrier, (code, a, a_hat) = stirred(FeatureCarrier(CONFIG)), torch.randn(3, 4, 8, 16, 16)
    together = carrier.carry(code, a, a_hat)
    alone = torch.cat(
        [carrier.carry(*face) for face in zip(*(x.split(1) for x in (code, a, a_hat)), strict=True)]
    )
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", ["offset", "replacement"])
def test_the_forms_to_compare_with_edit_as_clcae(form):
    """CLCAE section 3.3: f_hat = f + G_k(ws_hat) - G_k(ws)."""
    carrier = stirred(FeatureCarrier(replace(CONFIG, feature=form)))
    code, a, a_hat = torch.randn(3, 2, 8, 16, 16)
    torch.testing.assert_close(carrier.carry(code, a, a_hat), carrier(code, a) + a_hat - a)
    entered = carrier.offset(torch.nn.functional.silu(carrier.mix(torch.cat([code, a], 1))))
    torch.testing.assert_close(carrier(code, a), a + entered if form == "offset" else entered)


def test_the_gates_open_further_the_more_changes_and_can_always_learn():
    carrier, code, a = FeatureCarrier(CONFIG), torch.randn(1, 8, 16, 16), torch.randn(1, 8, 16, 16)
    opened = [carrier.open_gates(code, a, a + strength).mean().item() for strength in (0.0, 0.2, 1.0, 5.0)]
    assert opened == sorted(opened)
    assert opened[0] == 0
    assert opened[-1] > 0.9
    torch.nn.init.normal_(carrier.offset.weight)
    carrier.gates[2].bias.data.fill_(-5.0)  # shut
    carrier.carry(code, a, a + 0.2).square().sum().backward()
    assert carrier.gates[2].bias.grad.abs().min() > 0


def test_the_gates_open_further_where_a_change_is_gathered():
    """The same change at a place opens them more there if the rest of the face stays."""
    carrier, code, a = FeatureCarrier(CONFIG), torch.randn(1, 8, 16, 16), torch.randn(1, 8, 16, 16)
    with torch.no_grad():
        carrier.gates[2].weight.zero_()  # equally eager everywhere
    gathered = a.clone()
    gathered[..., :4, :4] += 0.2
    corners = [carrier.open_gates(code, a, a_hat)[..., :4, :4].mean() for a_hat in (a + 0.2, gathered)]
    assert corners[1] > corners[0] + 0.1


def test_open_gates_let_go_of_the_code_and_not_of_what_the_activation_calls_for():
    carrier, (code, a, a_hat) = stirred(FeatureCarrier(CONFIG)), torch.randn(3, 1, 8, 16, 16)
    shut, fetching, letting_go = (
        torch.zeros(1, 2, 16, 16),
        torch.zeros(1, 2, 16, 16),
        torch.ones(1, 2, 16, 16),
    )
    fetching[:, 0] = 1
    moved = carrier._moved(code, a, a_hat)
    for gates, held in ((shut, code), (fetching, moved), (letting_go, torch.zeros_like(code))):
        torch.testing.assert_close(carrier.move(code, a, a_hat, gates), carrier(held, a_hat))


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


def test_a_carrier_refuses_wrong_shapes():
    carrier, code, a = FeatureCarrier(CONFIG), torch.randn(1, 8, 16, 16), torch.randn(1, 8, 16, 16)
    with pytest.raises(ShapeError, match=r"code: expected \[N, 8, 16, 16\]"):
        carrier(code[:, :7], a)
    with pytest.raises(ShapeError, match=r"a_hat: expected \[1, 8, 16, 16\]"):
        carrier.carry(code, a, a[..., :8])


@every_variant
def test_refiners_refuse_wrong_shapes(config):
    with pytest.raises(ShapeError, match=r"w: expected \[N, 32\]"):
        build_wplus(config)(torch.zeros(1, 31), levels(1))
    feature, img = build_feature(config), torch.zeros(1, 3, 32, 32)
    with pytest.raises(ShapeError, match=r"img: expected \[N, 3, 32, 32\]"):
        feature(img[..., :16], img, levels(1), torch.zeros(1, 8, 32))
    with pytest.raises(ShapeError, match=r"drawn: expected \[1, 3, 32, 32\]"):
        feature(img, img[..., :16], levels(1), torch.zeros(1, 8, 32))
    with pytest.raises(ShapeError, match=r"ws: expected \[1, 8, 32\]"):
        feature(img, img, levels(1), torch.zeros(1, 7, 32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f_blocks": 0}, "f_blocks: 0; must be at least 1"),
        ({"heads": 3}, r"width: 16; must be a multiple of heads \(3\)"),
        ({"f_resolution": 32}, "f_resolution: 32; must be at most half of 32 and divide it"),
        (
            {"attention": "keys"},
            r"attention: 'keys'; must be one of \['tokens', 'reference', 'none'\]",
        ),
        (
            {"feature": "moved"},
            r"feature: 'moved'; must be one of \['carried', 'offset', 'replacement'\]",
        ),
    ],
)
def test_impossible_refiners_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        RefinerConfig(**{**vars(CONFIG), **change})


@pytest.fixture(params=VARIANTS)
def chain(request, tiny_generator, tiny_encoder):
    refiners = Refiners(VARIANTS[request.param])
    refiners.frame(tiny_encoder.w_avg, tiny_encoder.w_std)
    return PlainChain(synthesis=tiny_generator.synthesis, encoder=tiny_encoder, refiners=stirred(refiners))


def test_the_chain_draws_f_and_edits_it(chain):
    img = torch.randn(2, 3, 32, 32).clamp(-1, 1)
    latents = chain.invert(img)
    plain = chain.draw(latents)
    torch.testing.assert_close(chain.draw(latents, latents.ws_f.clone()), plain)
    edited = chain.draw(latents, latents.ws_f + 0.5)
    assert (edited - plain).abs().max() > 1e-3
    alone = chain.draw(chain.invert(img[1:]))
    torch.testing.assert_close(alone, plain[1:], atol=1e-4, rtol=1e-4)


def test_the_folded_generator_draws_the_same(chain, tiny_generator):
    folded = replace(chain, synthesis=FoldedSynthesis(tiny_generator.synthesis))
    img = torch.randn(2, 3, 32, 32).clamp(-1, 1)
    latents = chain.invert(img)
    torch.testing.assert_close(folded.invert(img).code, latents.code, atol=1e-4, rtol=1e-4)
    ws_hat = latents.ws_f + 0.5
    torch.testing.assert_close(
        folded.draw(latents, ws_hat), chain.draw(latents, ws_hat), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(chain.draw_ws(ws_hat), tiny_generator.synthesis(ws_hat))


def test_folded_attention_draws_the_same(chain):
    folded = replace(chain, refiners=chain.refiners.fold_attention())
    img = torch.randn(2, 3, 32, 32).clamp(-1, 1)
    latents, found = chain.invert(img), folded.invert(img)
    for name in ("w", "ws", "code"):
        torch.testing.assert_close(getattr(found, name), getattr(latents, name), atol=1e-5, rtol=1e-5)
    ws_hat = latents.ws_f + 0.5
    torch.testing.assert_close(folded.draw(found, ws_hat), chain.draw(latents, ws_hat), atol=1e-4, rtol=1e-4)


def test_only_the_reference_has_something_to_fold():
    for name, folds in (("tokens", 0), ("reference", 9), ("none", 0)):
        refiners = Refiners(VARIANTS[name])
        keys = set(refiners.state_dict())
        folded = refiners.fold_attention()
        assert sum(isinstance(m, FoldedReferenceAttention) for m in folded.modules()) == folds
        assert not any("multihead_attn" in key for key in folded.state_dict())
        assert set(refiners.state_dict()) == keys  # it is a copy that was folded
        assert refiners.training
        assert not folded.training


def test_the_tokens_variant_keeps_its_names_and_their_order():
    """Files name weights, and a saved optimiser numbers them: both must fit what was saved earlier."""
    refiners = Refiners(replace(CONFIG, second_look=False))
    assert type(refiners.wplus).__name__ == "TokensWPlus"  # without being asked for

    def tops(network):
        return list(dict.fromkeys(name.split(".")[0] for name, _ in network.named_parameters()))

    assert tops(refiners.wplus) == ["layer", "project", "rows", "columns", "ask", "blocks", "norm", "head"]
    assert tops(refiners.feature) == [
        *("row", "column", "layer", "stem", "shrink", "project", "style", "attention"),
        *("blocks", "norm", "head"),
    ]
    assert {
        "wplus.w_avg",
        "wplus.layer",
        "wplus.project.2.weight",
        "wplus.rows.0",
        "wplus.ask.weight",
        "wplus.blocks.1.norm_context.weight",
        "wplus.blocks.0.mlp.2.bias",
        "wplus.head.weight",
        "feature.w_std",
        "feature.stem.weight",
        "feature.style.weight",
        "feature.attention.query.weight",
        "feature.blocks.0.conv2.weight",
        "feature.head.bias",
        "carrier.mix.weight",
    } <= set(refiners.state_dict())
    with_look = Refiners(CONFIG)
    heard = ["tell", "hear", "answer"]
    assert tops(with_look.wplus) == ["layer", *heard, *tops(refiners.wplus)[1:]]
    assert tops(with_look.look) == ["read", "backbone", "project", "tail", "norm", "missing", "head"]


@every_variant
def test_refiners_are_copied_and_saved_as_what_they_are(config, tmp_path):
    refiners, w, seen = stirred(Refiners(config)), torch.randn(2, 32), levels()
    save_refiners(refiners, tmp_path / "refiners.safetensors", dtype=torch.float32)
    ws = refiners.wplus(w, seen)
    for copied in (
        copy.deepcopy(refiners),
        pickle.loads(pickle.dumps(refiners)),
        load_refiners(tmp_path / "refiners.safetensors"),
    ):
        assert copied.config == config
        assert type(copied.feature) is type(refiners.feature)
        assert torch.equal(copied.wplus(w, seen), ws)


def test_the_frame_of_reference_is_the_encoders(tiny_encoder):
    refiners = Refiners(CONFIG)
    refiners.frame(tiny_encoder.w_avg, tiny_encoder.w_std)
    assert torch.equal(refiners.wplus.w_avg, tiny_encoder.w_avg)
    assert torch.equal(refiners.feature.w_std, tiny_encoder.w_std)
