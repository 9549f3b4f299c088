"""The bundled model with its weights asleep: what needs them has them, and all else draws on."""

import numpy as np
import pytest
import torch

from editor.own.maker import OwnEdits
from editor.pipeline import open_editor

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def settled():
    editor = open_editor(device="cpu", at_once=True)
    editor.settle()
    return editor


def test_converted_graphs_take_over_and_the_weights_leave(settled):
    assert settled.decoder.converted
    assert settled.inverter.converted
    assert not settled.weights.here
    large = [p for p in settled.generator.synthesis.parameters() if not p.is_meta and p.nbytes > 1 << 16]
    assert large == []


def test_faces_are_invented_inverted_edited_and_optimised_all_the_same(settled):
    invented = settled.sample(1)
    session = settled.invert_crop(invented.crop)
    edited = settled.edit_crop(settled.edit(session, {"smile": 1.0}))
    assert np.abs(edited.astype(int) - session.crop).mean() > 0.5
    better = settled.optimise(session, 2)
    assert better.inversion.steps > 0
    assert not settled.weights.here
    w = settled.generator.sample_w(1, seed=3)
    assert torch.isfinite(w).all()


def test_edits_that_look_into_the_network_find_it(settled):
    maker = OwnEdits(settled)
    assert maker.factor(1).name
    assert not settled.weights.here


def test_by_torch_the_weights_stay():
    editor = open_editor(device="cpu", engine="torch")
    editor.settle()
    assert editor.weights.here
