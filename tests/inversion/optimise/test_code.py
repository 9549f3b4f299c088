from types import SimpleNamespace

import pytest
import torch

from inversion.chain.steps import FeatureSynthesis
from inversion.optimise.code import optimise_code
from inversion.optimise.latents import OptimiseConfig
from inversion.optimise.search import SearchConfig
from stylegan2.errors import ShapeError
from stylegan2.network.folded import FoldedSynthesis
from tests.helpers.refiners import tiny_refiners


@pytest.fixture
def feature_synthesis(tiny_generator, tiny_encoder):
    return FeatureSynthesis(FoldedSynthesis(tiny_generator.synthesis), tiny_refiners(tiny_encoder))


def test_codes_that_are_refined_together_end_as_each_would_alone(feature_synthesis, tiny_generator):
    synthesis = feature_synthesis.double()
    w = tiny_generator.sample_w(2, seed=5).double()
    ws, code = w[:, None].repeat(1, 8, 1), torch.randn(2, 8, 16, 16).double()
    target = torch.rand(2, 3, 32, 32).double() * 2 - 1
    together = optimise_code(synthesis, target, ws, code, 4)
    for i in (slice(0, 1), slice(1, 2)):
        alone = optimise_code(synthesis, target[i], ws[i], code[i], 4)
        torch.testing.assert_close(together.best[i], alone.best)


def test_a_code_never_gets_worse_and_needs_no_step(feature_synthesis, tiny_generator):
    ws, code = tiny_generator.broadcast(tiny_generator.sample_w(1, seed=5)), torch.randn(1, 8, 16, 16)
    a = feature_synthesis.lower(ws)[0]
    target = feature_synthesis(ws, code, a)
    assert torch.equal(optimise_code(feature_synthesis, target, ws, code, 0).best, code)
    wild = OptimiseConfig(code=SearchConfig(lr=100.0))
    assert torch.equal(optimise_code(feature_synthesis, target, ws, code, 3, config=wild).best, code)


class Linear:
    """Draws the first channels of a code, for codes of any size."""

    def __init__(self, size):
        self.size, self.synthesis = size, SimpleNamespace(const=torch.zeros(1))

    def lower(self, ws):
        return None, None

    def unedited(self, below, ws, code, a):
        return code[:, :3] / self.size


def test_a_code_moves_in_its_own_measure():
    """Codes of some models are a hundred times as large as those of others."""
    target, small = torch.rand(1, 3, 16, 16) - 0.5, torch.randn(1, 8, 16, 16)
    moved = [
        (optimise_code(Linear(size), target, torch.zeros(1, 2, 3), size * small, 8).best - size * small)
        / size
        for size in (1, 64)
    ]
    assert moved[0].abs().max() > 0.01
    torch.testing.assert_close(*moved)


def test_codes_of_other_pictures_are_refused(feature_synthesis, tiny_generator):
    ws = tiny_generator.broadcast(tiny_generator.sample_w(1, seed=5))
    with pytest.raises(ShapeError, match="code: expected"):
        optimise_code(feature_synthesis, torch.zeros(1, 3, 32, 32), ws, torch.zeros(2, 8, 16, 16), 1)
