"""Pictures whose zones have styles of their own."""

import pytest
import torch

from stylegan2.engines.renderer import Renderer
from stylegan2.errors import ShapeError
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.synthesis import draw_styles


@pytest.fixture
def halves():
    """Left, right and nowhere."""
    left = torch.zeros(16, 16)
    left[:, :8] = 1
    return torch.stack([left, torch.zeros(16, 16), 1 - left])


@pytest.fixture
def ws(tiny_generator):
    return tiny_generator.broadcast(tiny_generator.sample_w(2, seed=3, truncation_psi=1.0))


def zoned(generator, maps):
    return FoldedSynthesis(generator.synthesis, maps).eval()


def test_equal_styles_draw_the_plain_picture(tiny_generator, halves, ws):
    synthesis = zoned(tiny_generator, halves)
    plain = draw_styles(FoldedSynthesis(tiny_generator.synthesis), ws)
    torch.testing.assert_close(draw_styles(synthesis, synthesis.in_zones(ws)), plain, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(draw_styles(synthesis, ws), plain, atol=1e-5, rtol=1e-4)


def test_a_zone_without_a_place_changes_nothing(tiny_generator, halves, ws):
    synthesis = zoned(tiny_generator, halves)
    styles = synthesis.in_zones(ws).clone()
    styles[:, 1] += 1
    torch.testing.assert_close(draw_styles(synthesis, styles), draw_styles(synthesis, ws))


def test_a_zone_that_is_everywhere_draws_as_the_plain_picture_of_its_styles(tiny_generator, ws):
    maps = torch.stack([torch.ones(16, 16), torch.zeros(16, 16)])
    synthesis = zoned(tiny_generator, maps)
    styles, finest = synthesis.in_zones(ws).clone(), tiny_generator.num_ws - 3  # the last block's
    styles[:, 0, :finest] += 0.5
    torch.testing.assert_close(
        draw_styles(synthesis, styles), draw_styles(synthesis, styles[:, 0]), atol=1e-5, rtol=1e-4
    )
    styles = synthesis.in_zones(ws).clone()
    styles[:, 0, finest + 1 :] += 0.5  # of the finest layers only the last zone's count
    torch.testing.assert_close(draw_styles(synthesis, styles), draw_styles(synthesis, ws))


def test_a_zone_changes_its_own_half_most(tiny_generator, halves, ws):
    synthesis = zoned(tiny_generator, halves)
    styles = synthesis.in_zones(ws).clone()
    styles[:, 0, 4:] += 0.5
    change = (draw_styles(synthesis, styles) - draw_styles(synthesis, ws)).abs().mean((0, 1, 2))
    assert change[:8].mean() > 20 * change[-8:].mean() > 0


def test_gradients_reach_every_zone(tiny_generator, halves, ws):
    synthesis = zoned(tiny_generator, halves)
    styles = synthesis.in_zones(ws).clone().requires_grad_(True)
    draw_styles(synthesis, styles).square().sum().backward()
    sizes = styles.grad.abs().sum((0, 2, 3))
    assert sizes[0] > 0
    assert sizes[1] == 0
    assert sizes[2] > 0


def test_openvino_draws_zones_as_torch(tiny_generator, halves, ws, tmp_path):
    pytest.importorskip("openvino")
    styles = zoned(tiny_generator, halves).in_zones(ws).clone()
    styles[:, 0] += 0.3
    slow, fast = (
        Renderer(tiny_generator, zones=halves, engine=engine, cache=tmp_path)
        for engine in ("torch", "openvino")
    )
    assert (slow.zones, Renderer(tiny_generator, engine="torch").zones) == (3, 1)
    change = (slow.render(styles).float() - fast.render(styles).float()).abs()
    assert change.mean() < 1.5
    assert fast.engine.name.startswith("OpenVINO")
    assert torch.equal(slow.render(ws), slow.render(slow.synthesis.in_zones(ws)))


def test_styles_of_other_shapes_are_refused(tiny_generator, halves, ws):
    synthesis = zoned(tiny_generator, halves)
    for wrong in (ws[:, :-1], ws[:, None].expand(-1, 2, -1, -1), ws[0]):
        with pytest.raises(ShapeError, match="ws"):
            synthesis.in_zones(wrong)
    with pytest.raises(ShapeError, match="ws"):
        FoldedSynthesis(tiny_generator.synthesis).in_zones(ws[:, None])
