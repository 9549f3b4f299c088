import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.helpers.training import tiny_generator
from train.directions.choice import CLOSE, STRENGTH, Change, gentlest_step
from train.directions.fit import partial_directions, sparing_directions
from train.directions.identity_gradients import identity_gradients

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def world():
    """Latents; two attributes, each read off three coordinates; gradients of identity along the first."""
    rng = RNG(0)
    w = rng.normal(size=(4000, 8))
    reading = np.zeros((2, 8))
    reading[0, :3] = reading[1, 3:6] = 1
    attributes = w @ reading.T + rng.normal(size=(4000, 2)) * 0.1
    gradients = rng.normal(size=(500, 8)) * ([5] + [0.5] * 7)
    return w, reading, attributes, gradients


def test_sparing_directions_go_round_what_identity_hangs_on(world):
    w, reading, attributes, gradients = world
    plain, spared = partial_directions(w, attributes), sparing_directions(w, attributes, gradients, 5.0)

    def cost(direction):  # of identity, at equal change of the attribute
        return np.square(gradients @ direction / (reading[0] @ direction)).mean()

    assert cost(spared[0]) < cost(plain[0]) / 4
    effect = spared @ reading.T
    assert np.all(np.diag(effect) > 0.5)
    assert abs(effect[0, 1]) < 0.05
    assert abs(effect[1, 0]) < 0.05
    np.testing.assert_allclose(np.linalg.norm(spared, axis=1), 1)


def test_without_weight_only_commonness_counts(world):
    w, reading, attributes, gradients = world
    spared = sparing_directions(w, attributes, gradients, 0.0)
    np.testing.assert_allclose(spared, sparing_directions(w, attributes, gradients[:9] * 7, 0.0))
    np.testing.assert_allclose(spared, reading / np.sqrt(3), atol=0.05)


def test_the_scale_of_the_gradients_does_not_matter(world):
    w, _, attributes, gradients = world
    np.testing.assert_allclose(
        sparing_directions(w, attributes, gradients, 2.0),
        sparing_directions(w, attributes, gradients * 1000, 2.0),
    )


def test_gradients_tell_what_a_small_step_costs():
    generator = tiny_generator().double()
    weights = torch.randn(4, 3 * 32 * 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def embed(img):
        return F.normalize(img.flatten(1) @ weights.T, dim=1)

    w = generator.sample_w(1, seed=3, truncation_psi=0.7).double()
    g = identity_gradients(generator, embed, w.expand(3000, -1), seed=1)
    step = torch.randn(1, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 1e-3
    with torch.no_grad():
        before, after = (embed(generator.synthesis(generator.broadcast(at))) for at in (w, w + step))
    lost = 1 - (before * after).sum()
    assert torch.isclose((g @ step[0]).square().mean() / 2, lost, rtol=0.1)


def probe(curve, cost, found=1.0):
    """Faces that change by `curve` of the step's first number, and lose `cost` of its second."""

    def measure_step(step):
        identity = 1 - cost * abs(step[1])
        share = found if step[1] < 1 else 1.0
        return Change(effects=np.array([curve(step[0])]), found=share, identity=identity)

    return measure_step


PLAIN = np.array([1.0, 1.0])


def saturating(x):
    return np.tanh(x / 2)


def test_another_way_is_lengthened_to_the_same_change_and_taken():
    weight, step = gentlest_step(probe(saturating, 0.1), PLAIN, {1.0: np.array([0.4, 0.1])}, 0)
    assert weight == 1.0
    np.testing.assert_allclose(step[1] / step[0], 0.25)
    assert abs(saturating(STRENGTH * step[0]) / saturating(STRENGTH) - 1) <= CLOSE


def test_the_best_of_several_ways_is_taken():
    others = {0.5: np.array([1.0, 0.5]), 1.0: np.array([1.0, 0.2]), 2.0: np.array([1.0, 0.4])}
    assert gentlest_step(probe(float, 0.1), PLAIN, others, 0)[0] == 1.0


@pytest.mark.parametrize(
    ("measure_step", "other"),
    [
        (probe(float, 0.1), np.array([0.5, 0.6])),  # dearer at equal change
        (probe(float, 0.1, found=0.5), np.array([1.0, 0.1])),  # loses faces
        (probe(float, 0.1), np.array([-1.0, 0.1])),  # changes the opposite
        (probe(lambda x: min(x, 1.5), 0.1), np.array([0.0, 0.1])),  # changes nothing
    ],
)
def test_the_plain_way_stays_where_no_other_is_better(measure_step, other):
    weight, step = gentlest_step(measure_step, PLAIN, {1.0: other}, 0)
    assert weight == 0
    assert step is PLAIN


def test_a_way_that_drags_another_attribute_along_is_passed_over():
    def measure_step(step):
        return Change(effects=step[:2], found=1.0, identity=1 - 0.1 * abs(step[2]))

    plain, others = (
        np.array([1.0, 0.1, 1.0]),
        {1.0: np.array([1.0, 0.5, 0.1]), 2.0: np.array([1.0, 0.3, 0.2])},
    )
    assert gentlest_step(measure_step, plain, others, 0)[0] == 2.0
    assert gentlest_step(measure_step, plain + np.array([0, 0.4, 0]), others, 0)[0] == 1.0


def test_what_no_edit_is_about_may_move_less():
    def measure_step(step):
        return Change(effects=step[:2], found=1.0, identity=1 - 0.1 * abs(step[2]))

    plain, others = np.array([1.0, 0.1, 1.0]), {1.0: np.array([1.0, 0.25, 0.1])}
    assert gentlest_step(measure_step, plain, others, 0)[0] == 1.0
    assert gentlest_step(measure_step, plain, others, 0, controls=[1])[0] == 0.0


def test_unmeasured_identity_leaves_the_plain_way():
    def measure_step(step):
        return Change(effects=step[:1], found=1.0, identity=float("nan"))

    assert gentlest_step(measure_step, PLAIN, {1.0: np.array([1.0, 0.0])}, 0)[0] == 0


def test_nothing_is_measured_where_there_is_one_way():
    assert gentlest_step(lambda step: pytest.fail("measured"), PLAIN, {}, 0)[0] == 0
