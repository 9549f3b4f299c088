import numpy as np
import pytest
import torch

from inversion.directions.errors import DirectionError
from inversion.directions.rated import (
    FILE,
    Measures,
    Texture,
    find_measures,
    load_measures,
    save_measures,
    telling_faces,
    weights_of_ratings,
)
from stylegan2.errors import CheckpointError

NAMES = ("smile", "age", "beard")


def measures():
    steps = torch.zeros(3, 2, 4)
    for k in range(3):
        steps[k, :, k] = k + 1
    scale = {"mean": np.array([1.0, 40, 0]), "spread": np.array([0.5, 10, 1])}
    return Measures(
        names=NAMES, steps=steps, texture=Texture(mean=np.zeros(2), whitener=np.eye(2), limit=3.0), **scale
    )


@pytest.mark.parametrize("hidden", [0, 3, 7])
def test_what_a_user_judges_by_is_found_from_twenty_ratings(hidden):
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        table = rng.normal(size=(20, 25))
        weights = weights_of_ratings(table, np.sign(table[:, hidden]))
        found.append(weights[hidden] / np.linalg.norm(weights))
    assert np.median(found) > 0.9
    assert np.quantile(found, 0.2) > 0.6


def test_ratings_of_two_things_give_both():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(200, 10))
    weights = weights_of_ratings(table, table[:, 1] - table[:, 4] + 0.1 * rng.normal(size=200))
    assert weights[1] > 0
    assert weights[4] < 0
    others = np.delete(weights, [1, 4])
    assert np.abs(others).max() < 0.1 * min(weights[1], -weights[4])


def test_the_scale_of_ratings_does_not_matter_and_their_sign_turns_the_edit():
    table, ratings = np.random.default_rng(1).normal(size=(12, 4)), np.arange(12.0)
    found = weights_of_ratings(table, ratings)
    assert weights_of_ratings(table, 30 * ratings - 7) == pytest.approx(found)
    assert weights_of_ratings(table, -ratings) == pytest.approx(-found)


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ([1, -1, 1], "ratings: 3; must be at least 4"),
        ([1, 1, 1, 1], "all are equal"),
        ([1, -1, float("nan"), 1], "no numbers"),
    ],
)
def test_ratings_that_tell_nothing_are_refused(ratings, message):
    with pytest.raises(DirectionError, match=message):
        weights_of_ratings(np.random.default_rng(0).normal(size=(len(ratings), 3)), ratings)


def test_telling_faces_differ_from_each_other():
    rng = np.random.default_rng(0)
    table = np.concatenate([rng.normal(size=(50, 3)) * 0.1, 5 * np.eye(3)])
    assert set(telling_faces(table, 3)) == {50, 51, 52}
    assert len(set(telling_faces(table, 20))) == 20
    assert sorted(telling_faces(table[:4], 9)) == [0, 1, 2, 3]


def test_a_mixture_moves_what_its_weights_say():
    step = measures().mixture(np.array([3.0, 0.0, -4.0]))
    assert step[0].tolist() == pytest.approx([0.6, 0, -2.4, 0])
    assert measures().mixture(np.array([1.0, 0.01, 0]))[0].tolist() == pytest.approx([1, 0, 0, 0], abs=1e-3)
    with pytest.raises(DirectionError, match="nothing that is measured"):
        measures().mixture(np.zeros(3))


def test_measures_are_pulled_in_to_three_deviations():
    assert measures().standardised(np.array([[1.5, 0, 9]])).tolist() == [[1, -3, 3]]


def test_measures_are_found_for_their_generator_alone(tmp_path):
    (tmp_path / "model").mkdir()
    save_measures(tmp_path / "model", measures(), "ours")
    found = find_measures("ours", tmp_path)
    assert found.names == NAMES
    assert torch.equal(found.steps, measures().steps)
    assert found.spread.tolist() == [0.5, 10, 1]
    assert found.texture.whitener.tolist() == [[1, 0], [0, 1]]
    assert found.texture.limit == 3
    assert find_measures("theirs", tmp_path) is None
    assert load_measures(tmp_path, "ours") is None
    (tmp_path / "model" / FILE).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        find_measures("ours", tmp_path)
