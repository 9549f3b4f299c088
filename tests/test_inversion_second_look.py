import pytest
import torch

from inversion.second_look import SecondLook
from stylegan2.errors import ShapeError
from tests.refiners import CONFIG, levels, stirred


def test_an_untrained_look_leaves_the_answer_as_it_is():
    img, w, seen = torch.randn(2, 3, 32, 32), torch.randn(2, 32), levels()
    found = SecondLook(CONFIG)(img, img.flip(3), w, seen)
    assert torch.equal(found.w, w)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found.levels, seen, strict=True))
    assert found.missing.shape == (2, CONFIG.width)


def test_everything_follows_what_is_missing():
    look, w, seen = stirred(SecondLook(CONFIG)), torch.randn(2, 32), levels()
    img, drawn = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32)
    first, second = look(img, drawn, w, seen), look(img, img, w, seen)
    assert (first.w - second.w).abs().max() > 1e-3
    assert (first.missing - second.missing).abs().max() > 1e-3
    for ours, theirs in zip(first.levels, second.levels, strict=True):
        assert (ours - theirs).abs().max() > 1e-3


def test_w_moves_by_standard_deviations():
    look, img, w, seen = stirred(SecondLook(CONFIG)), torch.randn(2, 3, 32, 32), torch.randn(2, 32), levels()
    step = look(img, img, w, seen).w - w
    look.w_std.fill_(3.0)
    torch.testing.assert_close(look(img, img, w, seen).w - w, 3 * step)


@pytest.mark.parametrize(
    ("shape", "message"), [((2, 3, 16, 16), "img"), ((1, 3, 32, 32), r"drawn"), ((2, 1, 32, 32), "img")]
)
def test_wrong_shapes_are_refused(shape, message):
    with pytest.raises(ShapeError, match=message):
        SecondLook(CONFIG).eval()(torch.zeros(shape), torch.zeros(2, 3, 32, 32), torch.zeros(2, 32), levels())
