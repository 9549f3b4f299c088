import pytest
import torch

from inversion.feature_synthesis import FeatureSynthesis
from inversion.optimise import OptimiseConfig
from inversion.optimise_code import optimise_code
from stylegan2.errors import ShapeError
from stylegan2.folded import FoldedSynthesis
from tests.refiners import tiny_refiners


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
        torch.testing.assert_close(together.code[i], alone.code)


def test_a_code_never_gets_worse_and_needs_no_step(feature_synthesis, tiny_generator):
    ws, code = tiny_generator.broadcast(tiny_generator.sample_w(1, seed=5)), torch.randn(1, 8, 16, 16)
    a = feature_synthesis.lower(ws)[0]
    target = feature_synthesis(ws, code, a)
    assert torch.equal(optimise_code(feature_synthesis, target, ws, code, 0).code, code)
    wild = optimise_code(feature_synthesis, target, ws, code, 3, config=OptimiseConfig(lr_code=100.0))
    torch.testing.assert_close(feature_synthesis(ws, wild.code, a), target)


def test_codes_of_other_pictures_are_refused(feature_synthesis, tiny_generator):
    ws = tiny_generator.broadcast(tiny_generator.sample_w(1, seed=5))
    with pytest.raises(ShapeError, match="code: expected"):
        optimise_code(feature_synthesis, torch.zeros(1, 3, 32, 32), ws, torch.zeros(2, 8, 16, 16), 1)
