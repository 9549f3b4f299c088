import copy

import pytest
import torch
from torch import nn

from stylegan2.engines import int8
from stylegan2.engines.int8 import LEAST_PSNR, in_int8, int8_for, int8_of, rounding_psnr
from stylegan2.engines.openvino import OpenVINOEngine
from stylegan2.engines.renderer import Renderer
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.generator import Generator
from stylegan2.ops.int8 import Int8Conv2d


def drawing(seed, loudness):
    """A toy synthesis and samples of it: the styles of toys draw glaring pictures, which bear nothing."""
    torch.manual_seed(seed)
    channels = {4: 16, 8: 16, 16: 16, 32: 16, 64: 16}
    generator = Generator(GeneratorConfig(img_resolution=64, z_dim=16, w_dim=16, channels=channels)).eval()
    synthesis = Renderer(generator, device="cpu", engine="torch").synthesis
    synthesis.samples = loudness * synthesis.samples
    return synthesis


@pytest.fixture
def synthesis():
    return drawing(0, loudness=0.125)


@pytest.mark.parametrize(
    ("capabilities", "kind"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_vnni": True}, "all"),
        ({"avx2": True, "amx_int8": True}, "all"),
        ({"avx2": True, "avx512_f": True}, "convolutions"),
        ({"avx2": True}, "convolutions"),
        ({}, "none"),
        ({"sve": True}, "none"),
    ],
)
def test_the_rounding_follows_the_processor(capabilities, kind):
    assert int8_of(capabilities) == kind


def test_only_the_upper_layers_are_rounded_and_the_module_stays_exact(synthesis):
    before = copy.deepcopy(synthesis)
    everything, convolutions, nothing = (in_int8(synthesis, kind) for kind in ("all", "convolutions", "none"))
    ws = synthesis.in_zones(synthesis.samples)
    exact = before(ws)
    assert torch.equal(synthesis(ws), exact)
    assert torch.equal(nothing(ws), exact)
    assert torch.equal(everything.lower(ws, 32)[0], before.lower(ws, 32)[0])
    drawn = [each.upper(*each.lower(ws, 32), ws) for each in (before, everything, convolutions)]
    off = [(each - drawn[0]).abs().mean() for each in drawn[1:]]
    assert 0 < off[1] < off[0] < 0.02


def test_a_model_whose_pictures_do_not_bear_it_stays_exact(synthesis, tmp_path, monkeypatch):
    assert rounding_psnr(synthesis, synthesis.samples) >= LEAST_PSNR
    assert int8_for(nn.Sequential(synthesis), "convolutions", tmp_path) == "convolutions"
    (kept,) = tmp_path.iterdir()
    harsh = drawing(0, loudness=1)
    harsh.const += 1e-6  # another model, to the cache
    assert rounding_psnr(harsh, harsh.samples) < LEAST_PSNR
    assert int8_for(harsh, "all", tmp_path) == "none"
    # What was found is kept, and found again where it is damaged.
    monkeypatch.setattr(int8, "rounding_psnr", lambda *_: pytest.fail("is known"))
    assert int8_for(copy.deepcopy(harsh), "all", tmp_path) == "none"
    assert int8_for(copy.deepcopy(synthesis), "all", tmp_path) == "all"
    kept.write_text("half of a num")
    monkeypatch.setattr(int8, "rounding_psnr", lambda *_: 12.0)
    assert int8_for(copy.deepcopy(synthesis), "all", tmp_path) == "none"
    assert kept.read_text() == "12.00\n"


def test_nothing_is_rounded_without_samples_or_below_the_side(synthesis, tiny_generator, tmp_path):
    synthesis.samples = None
    small = Renderer(tiny_generator, device="cpu", engine="torch").synthesis
    for module in (synthesis, small, nn.Conv2d(3, 3, 3)):
        assert int8_for(module, "all", tmp_path) == "none"
    assert not list(tmp_path.iterdir())


def test_an_unwritable_cache_costs_only_time(synthesis, tmp_path):
    (tmp_path / "file").write_text("")
    assert int8_for(synthesis, "all", tmp_path / "file" / "cache") == "all"


@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_are_rounded_where_their_module_says_so(bias):
    class Says(nn.Module):
        int8_convolutions = True

        def __init__(self):
            super().__init__()
            self.conv = Int8Conv2d(8, 4, 3, 2, 1, bias=bias)

    x = 5 * torch.randn(2, 8, 16, 16)
    pair = nn.ModuleDict({"says": Says(), "silent": Int8Conv2d(8, 4, 3)})
    rounded = in_int8(pair, "convolutions")
    assert torch.equal(rounded["silent"](x), pair["silent"](x))
    exact = nn.functional.conv2d(x, pair["says"].conv.weight, pair["says"].conv.bias, 2, 1)
    assert torch.equal(pair["says"].conv(x), exact)
    off = rounded["says"].conv(x) - exact
    assert 0 < off.norm() / exact.norm() < 0.02
    assert rounded["says"].conv(torch.zeros_like(x)).isfinite().all()


def test_a_converted_graph_draws_what_torch_rounds(synthesis, tmp_path):
    example = synthesis.in_zones(synthesis.samples[:1]).contiguous()
    engine = OpenVINOEngine(synthesis, (example,), folder=tmp_path)
    if not engine.name.endswith("int8"):
        pytest.skip(f"this machine computes nothing in 8 bits: {engine.name}")
    kind = int8_of(torch.cpu.get_capabilities())
    (drawn,), expected = engine(example), in_int8(synthesis, kind)(example)
    assert (drawn.int() - expected.int()).abs().float().mean() <= 1
