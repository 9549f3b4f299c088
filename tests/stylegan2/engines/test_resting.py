import gc
import threading
import weakref

import pytest
import torch
from torch import nn

from stylegan2.engines.resting import SMALL, RestingWeights
from stylegan2.errors import CheckpointError


def network(seed=0, side=256):
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Linear(side, side), nn.BatchNorm1d(side))
    made.register_buffer("table", torch.randn(side, side))
    return made.eval().requires_grad_(False)


@pytest.fixture
def resting():
    one = network()
    return one, RestingWeights([one], lambda: [network()])


def test_large_tensors_go_and_come_back_as_they_were(resting):
    one, weights = resting
    x = torch.randn(2, 256)
    before, large = one(x), weakref.ref(one[0].weight)
    weights.rest()
    gc.collect()
    assert not weights.here
    assert large() is None
    assert one[0].weight.is_meta
    assert one.table.is_meta
    assert not one[0].bias.is_meta  # small ones stay
    assert one[0].bias.nbytes < SMALL
    with weights.in_use():
        assert weights.here
        assert torch.equal(one(x), before)
        assert isinstance(one[0].weight, nn.Parameter)
        assert not one[0].weight.requires_grad
    assert one[0].weight.is_meta


def test_they_stay_until_they_are_told_to_rest(resting):
    one, weights = resting
    with weights.in_use():
        pass
    assert weights.here
    with weights.in_use():
        weights.rest()
        assert weights.here  # somebody uses them
    assert not weights.here
    assert one[0].weight.is_meta


def test_several_may_use_them_and_the_last_one_lets_them_go(resting):
    _, weights = resting
    weights.rest()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with weights.in_use():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    with weights.in_use():
        pass
    assert weights.here
    leave.set()
    thread.join()
    assert not weights.here


def test_files_that_are_others_by_now_are_refused():
    one = network()
    weights = RestingWeights([one], lambda: [network(side=128)])
    weights.rest()
    with pytest.raises(CheckpointError, match=r"the model's files are others by now: .*does not fit"):
        weights.in_use().__enter__()
    assert not weights.here


def test_without_networks_nothing_happens():
    weights = RestingWeights((), list)
    weights.rest()
    with weights.in_use():
        pass
