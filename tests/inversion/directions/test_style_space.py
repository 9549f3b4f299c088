import pytest
import torch

from inversion.directions.style_space import channel_at, factorised_edits, style_layers


def test_layers_are_the_convolutions_in_the_order_of_their_styles(tiny_generator):
    layers = style_layers(tiny_generator)
    assert [layer.style for layer in layers] == list(range(7))
    assert layers[0].name == "b4.conv1.affine"
    assert layers[1].name == "b8.conv0.affine"


def test_a_factor_moves_styles_more_than_any_other_way(tiny_generator):
    edits = factorised_edits(tiny_generator, 32)
    rows = torch.cat([layer.affine.weight for layer in style_layers(tiny_generator)])
    rows = rows / rows.norm(dim=1, keepdim=True)
    moved = [float((rows @ edit.direction).norm()) for edit in edits]
    assert moved == sorted(moved, reverse=True)
    anywhere = torch.nn.functional.normalize(torch.randn(200, 32), dim=1)
    assert moved[0] >= float((anywhere @ rows.T).norm(dim=1).max())
    vectors = torch.stack([edit.direction for edit in edits])
    assert torch.allclose(vectors @ vectors.T, torch.eye(32), atol=1e-4)
    assert [edit.name for edit in edits[:2]] == ["factor-1", "factor-2"]


def test_a_factors_unit_is_the_deviation_of_w_along_it(tiny_generator):
    edit = factorised_edits(tiny_generator, 1)[0]
    w = tiny_generator.sample_w(4000, seed=5)
    assert edit.sigma == pytest.approx(float((w @ edit.direction).std()), rel=0.1)


def test_a_channel_changes_the_place_that_was_pointed_at(tiny_generator):
    ws = tiny_generator.broadcast(tiny_generator.sample_w(3, seed=1))
    place = torch.zeros(32, 32)
    place[4:12, 18:26] = 1
    edit = channel_at(tiny_generator, ws, place)
    rows = (edit.direction.norm(dim=1) > 0).nonzero().flatten().tolist()
    assert rows == [edit.layers[0]]
    assert edit.layers[1] == edit.layers[0] + 1

    def inside(one):
        with torch.no_grad():
            before = tiny_generator.synthesis(ws)
            after = tiny_generator.synthesis(ws + 2 * one.sigma * one.direction)
        change = (after - before).abs().mean((0, 1))
        return float(change[place > 0].mean() / change.mean())

    last = channel_at(tiny_generator, ws, place, rank=80)
    assert inside(edit) > 1.5
    assert inside(edit) > inside(last)
    assert channel_at(tiny_generator, ws, place, rank=2).name != edit.name


def test_a_channels_step_hardly_moves_another(tiny_generator):
    ws = tiny_generator.broadcast(tiny_generator.sample_w(1, seed=1))
    edit = channel_at(tiny_generator, ws, torch.ones(32, 32))
    layer = style_layers(tiny_generator)[edit.layers[0]]
    step = edit.sigma * edit.direction[edit.layers[0]]
    moved = (layer.affine.weight * layer.affine.weight_gain @ step).abs()
    channel = int(edit.name.rpartition("-")[2])
    assert int(moved.argmax()) == channel
    deviation = layer.affine(tiny_generator.sample_w(8192, seed=0)).std(0)[channel]
    assert float(moved[channel]) == pytest.approx(float(deviation), rel=0.05)
    assert float(moved.sort().values[-2]) < 0.2 * float(moved[channel])
