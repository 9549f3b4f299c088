from dataclasses import replace

import pytest
import torch

from inversion.chain.steps import Styles
from inversion.networks.config import RefinerConfig
from inversion.networks.refiners import Refiners
from inversion.networks.second_look import SecondLook
from stylegan2.errors import ConfigError, ShapeError
from stylegan2.ops.upfirdn2d import upsample2d
from tests.helpers.refiners import CONFIG, VARIANTS, every_variant, levels, stirred


def drawn():
    """What a generator hands out of two pictures half-way: activation, and the picture below."""
    return torch.randn(2, 8, 16, 16), torch.randn(2, 3, 8, 8)


def test_an_untrained_look_leaves_the_answer_as_it_is():
    img, w, seen = torch.randn(2, 3, 32, 32), torch.randn(2, 32), levels()
    found = SecondLook(CONFIG)(img, *drawn(), w, seen)
    assert torch.equal(found.w, w)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found.levels, seen, strict=True))
    assert found.missing.shape == (2, CONFIG.look_width)


@pytest.mark.parametrize("changed", ["img", "a", "below"])
def test_everything_follows_picture_and_drawing(changed):
    look, w, seen = stirred(SecondLook(CONFIG)), torch.randn(2, 32), levels()
    given = dict(zip(("img", "a", "below"), (torch.randn(2, 3, 32, 32), *drawn()), strict=True))
    first = look(**given, w=w, levels=seen)
    second = look(**{**given, changed: -given[changed]}, w=w, levels=seen)
    assert (first.w - second.w).abs().max() > 1e-3
    assert (first.missing - second.missing).abs().max() > 1e-3
    for ours, theirs in zip(first.levels, second.levels, strict=True):
        assert (ours - theirs).abs().max() > 1e-3


def test_only_the_difference_to_the_sketch_and_the_sketch_are_seen():
    look, w, seen = stirred(SecondLook(CONFIG)), torch.randn(2, 32), levels()
    img, (a, below) = torch.randn(2, 3, 32, 32), drawn()
    look.read.weight.zero_()
    first, second = look(img, a, below, w, seen), look(img, -a, below, w, seen)
    torch.testing.assert_close(look.sketch(a, below), upsample2d(below) + look.read.bias[:, None, None])
    assert torch.equal(first.w, second.w)


def test_w_moves_by_standard_deviations():
    look, img, w, seen = stirred(SecondLook(CONFIG)), torch.randn(2, 3, 32, 32), torch.randn(2, 32), levels()
    a, below = drawn()
    step = look(img, a, below, w, seen).w - w
    look.w_std.fill_(3.0)
    torch.testing.assert_close(look(img, a, below, w, seen).w - w, 3 * step)


def test_levels_of_another_size_are_met():
    config = replace(CONFIG, in_resolution=64)
    seen = tuple(torch.zeros(2, c, side, side) for c, side in ((8, 16), (16, 8), (16, 4)))
    found = stirred(SecondLook(config))(torch.randn(2, 3, 32, 32), *drawn(), torch.randn(2, 32), seen)
    assert all(
        level.shape == s.shape and level.abs().max() > 0 for level, s in zip(found.levels, seen, strict=True)
    )


@every_variant
def test_ws_hears_of_every_look(config):
    refiners, w, seen = stirred(Refiners(config)), torch.randn(2, 32), levels()
    img, (a, below) = torch.randn(2, 3, 32, 32), drawn()
    styles = Styles(refiners)
    (w1, ws1), (w2, ws2) = styles(w, *seen, img, a, below), styles(w, *seen, -img, a, below)
    assert (w1 - w2).abs().max() > 1e-3
    moved = (ws1 - w1[:, None]) - (ws2 - w2[:, None])
    assert moved.abs().amax((0, 2)).min() > 1e-3  # every layer
    assert (moved - moved[:, :1]).abs().max() > 1e-3  # and each in its own way


def test_untrained_refiners_with_a_look_answer_w():
    w = torch.randn(2, 32)
    for config in VARIANTS.values():
        _, ws = Styles(Refiners(config))(w, *levels(), torch.randn(2, 3, 32, 32), *drawn())
        torch.testing.assert_close(ws, w[:, None].expand(-1, 8, -1))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("img", (2, 3, 16, 16)),
        ("img", (2, 1, 32, 32)),
        ("a", (1, 8, 16, 16)),
        ("a", (2, 8, 8, 8)),
        ("below", (2, 3, 16, 16)),
        ("w", (2, 31)),
    ],
)
def test_wrong_shapes_are_refused(name, shape):
    a, below = drawn()
    given = {"img": torch.zeros(2, 3, 32, 32), "a": a, "below": below, "w": torch.zeros(2, 32)}
    with pytest.raises(ShapeError, match=rf"^{name}"):
        SecondLook(CONFIG).eval()(**{**given, name: torch.zeros(shape)}, levels=levels())


@pytest.mark.parametrize("resolution", [8, 32, 24])
def test_a_place_to_look_at_that_does_not_fit_is_refused(resolution):
    with pytest.raises(ConfigError, match=rf"look_resolution: {resolution}; must be a multiple of 16"):
        replace(CONFIG, look_resolution=resolution)
    assert isinstance(replace(CONFIG, look_resolution=resolution, second_look=False), RefinerConfig)
