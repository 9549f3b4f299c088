import sys

import numpy as np
import pytest
import torch

import app
from editor.model.opening import open_model
from editor.ui.serving.zerogpu import LentGPU
from editor.ui.starting.spaces import is_zerogpu
from inversion.chain.inverter import Inverter
from stylegan2.bundle.folder import CropConfig, save_bundle
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import ConfigError

# Lends the CPU, and notes to whom and for how long.
SPACES = """
import gradio
lent, free = [], [True]

def GPU(task, *, duration):
    def decorated(model, device, *others):
        if not free[0]:
            raise gradio.Error("GPU quota exceeded")
        lent.append((task.__name__, device, duration(model, device, *others)))
        yield from task(model, "cpu", *others)

    return decorated
"""


@pytest.fixture
def spaces(tmp_path, monkeypatch):
    """A package of that name, on a Space with a GPU that is lent."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "spaces.py").write_text(SPACES)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    import spaces

    yield spaces
    del sys.modules["spaces"]


@pytest.fixture
def model(tmp_path, tiny_generator):
    folder = tmp_path / "toy"
    save_bundle(
        folder, tiny_generator, name="toy", crop_config=CropConfig(scale=0.66, center=0.48), licence="own"
    )
    return folder


@pytest.fixture
def target(tiny_generator):
    """A picture [1, 32, 32, 3] uint8, and where to start from."""
    here = Inverter(tiny_generator, None, engine="torch")
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8))
    return pixels, here.invert(pixels)


class Nowhere:
    """An inverter that must not be asked."""

    def optimise(self, *_, **__):
        pytest.fail("optimised without the GPU")


def test_it_is_one_only_where_the_environment_says_so_and_the_package_is_there(spaces, monkeypatch):
    assert is_zerogpu()
    for value in ("", "false", "0"):
        monkeypatch.setenv("SPACES_ZERO_GPU", value)
        assert not is_zerogpu()
    monkeypatch.delenv("SPACES_ZERO_GPU")
    assert not is_zerogpu()


def test_it_is_none_where_the_package_is_not(monkeypatch):
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert not is_zerogpu()


def test_what_the_package_decorated_is_what_optimises(spaces, model, target):
    pixels, start = target
    told = []
    found = LentGPU().optimise(model, Nowhere(), pixels, start, 4, lambda news: told.append(news) or True)
    assert spaces.lent == [("_search", "cuda", pytest.approx(20.8))]
    alone = open_model(load_bundle(model), device="cpu", engine="torch").inverter.optimise(pixels, start, 4)
    assert torch.equal(found.w, alone.w)
    assert torch.equal(found.ws, alone.ws)
    assert (found.steps, len(told)) == (alone.steps, alone.steps)
    assert {news.space for news in told} == {"w", "w+"}


def test_what_a_start_remembers_of_networks_stays_here(spaces, model, target):
    pixels, start = target
    start = start.__class__(w=start.w, ws=start.ws, foundation=lambda: "no process takes this")
    assert LentGPU().optimise(model, Nowhere(), pixels, start, 1).foundation is start.foundation


def test_a_stop_is_heard_where_the_gpu_is(spaces, model, target):
    pixels, start = target
    told = []
    found = LentGPU().optimise(model, Nowhere(), pixels, start, 2000, told.append)
    assert found.stopped
    assert found.steps < 200  # a step or two come before the word is there


def test_no_call_asks_for_the_gpu_for_longer_than_it_is_lent(spaces, model, target):
    LentGPU().optimise(model, Nowhere(), *target, 2000, lambda _: False)
    assert spaces.lent[0][2] == 120


def test_without_a_free_gpu_the_work_is_done_here(spaces, model, target, tiny_generator):
    spaces.free[0] = False
    here, told = Inverter(tiny_generator, None, engine="torch"), []
    found = LentGPU().optimise(model, here, *target, 2, lambda news: told.append(news) or True)
    assert spaces.lent == []
    assert (found.steps, len(told)) == (4, 4)


def test_what_the_user_did_wrong_is_not_lost_on_the_way(spaces, model, target, tiny_generator):
    with pytest.raises(ConfigError, match="steps: 0; must be from 1"):
        LentGPU().optimise(model, Inverter(tiny_generator, None, engine="torch"), *target, 0)


@pytest.mark.parametrize("zero", [True, False])
def test_the_same_app_takes_the_gpu_for_optimisations_alone(spaces, model, monkeypatch, zero):
    if not zero:
        monkeypatch.delenv("SPACES_ZERO_GPU")
    else:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # as the package has torch say
    args = app.build_parser().parse_args(["--engine", "torch"])
    editor = app._opener(args)(model)
    session = editor.sample(1)
    assert editor.engine_name(session) == "torch cpu float32"
    assert editor.render(session).shape == (32, 32, 3)
    assert spaces.lent == []  # nothing of what sliders ask for
    editor.optimise(session, 2)
    assert len(spaces.lent) == zero
    editor.detector.close()
