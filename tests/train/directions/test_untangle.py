import numpy as np
import pytest
import torch

from inversion.directions.linear import EditDirection, apply_direction
from train.directions.untangle import bending_weights, mixed, mixing_weights, worst

ANY = np.ones((3, 3), bool)


def test_what_edits_drag_along_is_taken_back_by_those_that_are_about_it():
    effects = np.array([[1.0, 0.3, 0.0, 0.2], [0.0, 0.9, -0.2, 0.0], [0.1, 0.0, 1.1, 0.0]])
    wanted = np.eye(3, 4)
    found = mixing_weights(effects, wanted, np.ones((3, 4)), ANY) @ effects
    assert np.abs(found[:, :3] - np.eye(3)).max() < 0.07
    assert np.abs(found - wanted).max() < np.abs(effects - wanted).max()


def test_an_edit_takes_only_of_those_that_it_may():
    effects = np.array([[1.0, 0.3, 0.2], [0.2, 0.9, 0.0], [0.1, 0.0, 1.1]])
    bent, allowed = np.full((3, 3), 0.2), np.eye(3, dtype=bool)
    allowed[0, 1] = True
    for found in (
        mixing_weights(effects, np.eye(3), np.ones((3, 3)), allowed),
        bending_weights(effects, bent, np.ones((3, 3)), allowed),
    ):
        assert ((found != 0) == allowed).all()


def test_what_may_go_along_is_left():
    effects = np.array([[1.0, 0.5], [0.0, 1.0]])
    weight = np.array([[1.0, 0.0], [1.0, 1.0]])
    assert mixing_weights(effects, np.eye(2), weight, ANY[:2, :2])[0] == pytest.approx([1, 0], abs=0.01)
    flat = np.zeros((2, 2))
    assert worst(effects, flat, [0, 1], weight).tolist() == [0, 0]
    assert worst(effects, flat, [0, 1], np.ones((2, 2))).tolist() == [0.5, 0]
    assert worst(effects / 2, flat, [0, 1], np.ones((2, 2))).tolist() == [0.5, 0]  # little of it drags little
    bent = np.array([[9.0, 0.2], [0.0, 9.0]])  # its own bend is no side effect
    assert worst(effects, bent, [0, 1], np.ones((2, 2))) == pytest.approx([0.8, 0])


def test_what_both_ends_change_alike_is_taken_back_by_a_bend():
    effects = np.array([[1.0, 0.1, 0.0], [0.0, 0.9, 0.0], [0.0, 0.0, 1.1]])
    bent = np.array([[0.5, 0.4, -0.3], [0.0, 0.2, 0.0], [0.0, 0.0, 0.0]])
    weight = np.ones((3, 3)) - np.eye(3)
    left = bent + bending_weights(effects, bent, weight, ANY) @ effects
    assert np.abs(left[0, 1:]).max() < 0.06
    assert np.abs(bending_weights(effects, np.zeros((3, 3)), weight, ANY)).max() == 0


def edit(name, seed, size=1.0, bend=True):
    rng = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(2, 4, generator=rng), dim=1)
    common = {"label": "x", "group": "x", "low": "x", "high": "x", "range": (-9.0, 9.0), "layers": (0, 2)}
    bent = torch.randn(2, 4, generator=rng) if bend else None
    return EditDirection(name=name, direction=rows, sigma=0.5, bend=bent, unit_size=size, **common)


def test_a_mixture_goes_where_its_parts_go_together():
    edits = {"a": edit("a", 0), "b": edit("b", 1, size=5.0), "c": edit("c", 2, bend=False)}
    slopes = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, 0.0], [0.25, 0.0, 1.0]])
    bends = np.array([[0.0, 0.0, 0.3], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found, ws, s = mixed(edits, slopes, bends), torch.randn(3, 2, 4), 0.8
    steps = {name: each.unit_size * each.sigma * each.direction for name, each in edits.items()}
    should = ws + s * (steps["a"] + 0.5 * steps["b"]) + s**2 * (edits["a"].bend + 0.3 * steps["c"])
    assert torch.allclose(apply_direction(ws, found["a"], s), should, atol=5e-3)
    doubled = apply_direction(ws, edits["b"], 4.0)
    assert torch.allclose(apply_direction(ws, found["b"], 2.0), doubled, atol=5e-3)
    assert found["b"].unit_size == 5
    assert torch.allclose(found["c"].bend, torch.zeros(2, 4))
