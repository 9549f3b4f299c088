import os
import subprocess
import sys
import threading
import time

import pytest
import torch
from torch import nn

from inversion.chain.inverter import Inverter
from inversion.directions.bank import DIRECTIONS_ROOT, find_directions
from inversion.networks.checkpoint import load_encoder, load_refiners
from stylegan2.bundle.checkpoint import load_generator
from stylegan2.bundle.opening import load_bundle
from stylegan2.engines import openvino
from stylegan2.engines.engine import choose_device
from stylegan2.engines.hashes import weights_hash
from stylegan2.engines.int8 import LEAST_PSNR
from stylegan2.engines.live import LiveEngine
from stylegan2.engines.openvino import OpenVINOEngine, inference_precision
from stylegan2.engines.renderer import Renderer
from stylegan2.errors import EngineError, ShapeError
from stylegan2.image import psnr, to_uint8
from stylegan2.network.folded import FoldedSynthesis

F16_TOLERANCE = 2  # of 255, for f16 and f32
# bf16 keeps 8 bits: single pixels may be off further, the picture as a whole may not.
BF16_TOLERANCE, BF16_MEAN = 10, 1.0
MILD = 0.25  # of toy styles: glaring pictures put some pixel beyond any bound in bf16, whatever draws them


def reference(generator, ws):
    return to_uint8(generator.synthesis(ws))


def assert_draws(renderer, ws, expected):
    """The pixels are `expected` to the tolerance of the engine's number format."""
    drawn = renderer.render(ws)
    off = (drawn.int() - expected.int()).abs()
    if renderer.engine.name.endswith("int8"):
        assert psnr(drawn, expected).min().item() >= LEAST_PSNR
        return
    if not renderer.engine.name.endswith("bf16"):
        assert off.max().item() <= F16_TOLERANCE
        return
    assert off.max().item() <= BF16_TOLERANCE
    assert off.float().mean().item() <= BF16_MEAN


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_each_engine_draws_the_reference(tiny_generator, tmp_path, engine):
    renderer = Renderer(tiny_generator, device="cpu", engine=engine, cache=tmp_path)
    assert renderer.engine.name.lower().startswith(engine)
    ws = MILD * torch.randn(3, tiny_generator.num_ws, 32)
    assert_draws(renderer, ws, reference(tiny_generator, ws))


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("zones", [None, 2])
def test_two_graphs_draw_what_one_draws(tiny_generator, tmp_path, engine, zones):
    shares = None if zones is None else torch.rand(zones, 32, 32).softmax(0)
    options = {"device": "cpu", "zones": shares, "cache": tmp_path}
    one, two = (
        Renderer(tiny_generator, engine="torch", **options),
        Renderer(tiny_generator, engine=engine, shared=8, **options),
    )
    assert [each.name.lower().startswith(engine) for each in two.engines] == [True, True]
    ws = MILD * torch.randn(3, *([] if zones is None else [zones]), tiny_generator.num_ws, 32)
    assert_draws(two, ws, one.render(ws))
    if engine == "torch":
        assert torch.equal(two.render(ws), one.render(ws))


def test_what_lies_below_the_layers_that_move_is_drawn_once(tiny_generator, tmp_path):
    renderer = Renderer(tiny_generator, engine="torch", shared=8, cache=tmp_path)
    lower, ws = renderer.lower, torch.randn(1, tiny_generator.num_ws, 32)
    first, drawn = renderer.render(ws), lower(ws)
    above, below = ws.clone(), ws.clone()
    above[:, 3:] += 1.0  # of 4 x 4 and 8 x 8 are the first three
    below[:, 2] += 1.0
    assert lower(above)[0] is drawn[0]
    assert not torch.equal(renderer.render(above), first)
    assert not torch.equal(lower(below)[0], drawn[0])
    for n in range(6):
        renderer.render(ws + n + 1)
    assert lower(ws)[0] is not drawn[0]  # was forgotten
    assert torch.equal(renderer.render(ws), first)


def test_a_graph_that_is_kept_is_waited_for(tiny_generator, tmp_path, monkeypatch):
    Renderer(tiny_generator, engine="openvino", cache=tmp_path)
    renderer, told = Renderer(tiny_generator, device="cpu", cache=tmp_path), threading.Event()
    load = OpenVINOEngine.settle

    def slowly(self):
        told.wait(10)
        load(self)

    monkeypatch.setattr(OpenVINOEngine, "settle", slowly)
    renderer.engine.prepare()
    time.sleep(0.5)  # until it knows that there is one
    threading.Timer(0.3, told.set).start()
    renderer.render(torch.zeros(1, tiny_generator.num_ws, 32))
    assert renderer.engine.converted


def test_large_models_are_exported_to_the_same_graph(tiny_generator, tmp_path, monkeypatch):
    ws = MILD * torch.randn(1, tiny_generator.num_ws, 32)
    traced = Renderer(tiny_generator, device="cpu", engine="openvino", cache=tmp_path / "traced")
    monkeypatch.setattr(openvino, "LARGE", 32)
    monkeypatch.setattr(torch.jit, "trace", lambda *_, **__: pytest.fail("is traced"))
    exported = Renderer(tiny_generator, device="cpu", engine="openvino", cache=tmp_path / "exported")
    assert exported.engine.name == traced.engine.name
    off = (exported.render(ws).int() - traced.render(ws).int()).abs()
    assert off.max() <= 1


def test_mapped_weights_survive_that_memory_is_taken_back(tiny_generator, tmp_path):
    ws = torch.randn(1, tiny_generator.num_ws, 32)
    Renderer(tiny_generator, engine="openvino", cache=tmp_path)
    module = FoldedSynthesis(tiny_generator.synthesis).eval()
    engine = OpenVINOEngine(module, (ws,), folder=tmp_path)
    before = engine(ws)[0].clone()
    engine.settle()
    assert torch.equal(engine(ws)[0], before)


@pytest.mark.weights
@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_each_engine_draws_the_bundled_reference(tmp_path, engine):
    generator = load_generator(load_bundle().generator_path)
    ws = generator.broadcast(generator.sample_w(2, seed=0, truncation_psi=0.8))
    renderer = Renderer(generator, device="cpu", engine=engine, cache=tmp_path)
    assert_draws(renderer, ws, reference(generator, ws))


@pytest.mark.parametrize(
    ("capabilities", "processor", "precision"),
    [
        (["FP32", "FP16", "BF16"], {"avx512_fp16": True, "amx_fp16": True}, "f16"),
        (["FP32", "FP16", "BF16"], {"avx512_fp16": True, "amx_fp16": False}, "bf16"),
        (["FP32", "FP16"], {"avx512_fp16": True, "amx_fp16": False}, "f32"),
        (["FP32", "FP16"], {"neon": True}, "f16"),
        (["FP32", "BF16"], {}, "bf16"),
        (["FP32"], {}, "f32"),
    ],
)
def test_the_number_format_follows_the_processor(capabilities, processor, precision):
    assert inference_precision(capabilities, processor) == precision


@pytest.mark.weights
def test_the_number_format_hardly_moves_latents(tmp_path):
    """By a fiftieth of the unit of any edit, at most."""
    bundle = load_bundle()
    generator, encoder = load_generator(bundle.generator_path), load_encoder(bundle.encoder_path)
    options = {"refiners": load_refiners(bundle.refiners_path), "device": "cpu", "cache": tmp_path}
    pixels = to_uint8(generator.synthesis(generator.broadcast(generator.sample_w(1, seed=0))))
    edits = find_directions(bundle.generator_sha256, generator.w_dim, generator.num_ws, DIRECTIONS_ROOT)
    rows = torch.stack([edit.direction.expand(generator.num_ws, -1) for edit in edits.values()])
    lengths = torch.tensor([edit.sigma * edit.unit_size for edit in edits.values()])
    units = rows / (rows.square().sum((1, 2)) * lengths)[:, None, None]
    exact, fast = (Inverter(generator, encoder, engine=engine, **options) for engine in ("torch", "openvino"))
    assert fast.engine.name.startswith("OpenVINO")
    exact, fast = exact.invert(pixels), fast.invert(pixels)
    for a, b in ((exact.w, fast.w), (exact.f.ws, fast.f.ws)):
        apart = (a - b).reshape(-1, generator.w_dim).expand(generator.num_ws, -1)
        assert 0 < torch.einsum("elw,lw->e", units, apart).abs().max() < 0.02


def test_auto_answers_at_once_and_then_faster(tiny_generator, tmp_path):
    renderer = Renderer(tiny_generator, device="cpu", cache=tmp_path)
    ws = MILD * torch.randn(1, tiny_generator.num_ws, 32)
    assert renderer.engine.name == "torch cpu float32"
    before = renderer.render(ws)
    renderer.engine.prepare()
    renderer.engine.wait()
    assert renderer.engine.name.startswith("OpenVINO cpu")
    assert not renderer.engine.note
    assert_draws(renderer, ws, before)


@pytest.mark.weights
def test_several_engines_may_be_prepared_at_once(tmp_path):
    generator = load_generator(load_bundle().generator_path)
    renderers = [Renderer(generator, device="cpu", cache=tmp_path / str(i)) for i in range(2)]
    for renderer in renderers:
        renderer.engine.prepare()
    for renderer in renderers:
        renderer.engine.wait()
        assert renderer.engine.note == ""
        assert renderer.engine.name.startswith("OpenVINO cpu")


def test_the_converted_graph_is_cached_by_the_weights(tiny_generator, tmp_path):
    ws = torch.randn(1, tiny_generator.num_ws, 32)
    first = Renderer(tiny_generator, engine="openvino", cache=tmp_path).render(ws)
    (file,) = tmp_path.glob("*.blob")
    stamp = file.stat().st_mtime_ns
    again = Renderer(tiny_generator, engine="openvino", cache=tmp_path).render(ws)
    assert torch.equal(first, again)
    assert [entry.stat().st_mtime_ns for entry in tmp_path.glob("*.blob")] == [stamp]


@pytest.mark.parametrize(
    ("disk", "damage"),
    [
        ("writable", "half a graph"),
        ("writable", "bits of weights"),
        ("writable", "no hashes"),
        ("full", "half a graph"),
        ("full, in other words", "bits of weights"),
    ],
)
def test_a_damaged_cache_is_converted_again(tiny_generator, tmp_path, monkeypatch, damage, disk):
    ws = torch.randn(1, tiny_generator.num_ws, 32)
    first = Renderer(tiny_generator, engine="openvino", cache=tmp_path).render(ws)
    (file,) = tmp_path.glob("*.blob")
    if damage == "half a graph":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif damage == "bits of weights":
        data = bytearray(file.read_bytes())
        for place in range(64, len(data), len(data) // 6):
            data[place] ^= 0x40
        file.write_bytes(data)
    else:
        file.with_suffix(".sha256").unlink()
    if disk != "writable":

        def refuse(*_):
            raise OSError("No space left on device") if disk == "full" else RuntimeError("Can't open")

        monkeypatch.setattr("stylegan2.engines.openvino._Compiled._save", refuse)
    again = Renderer(tiny_generator, engine="openvino", cache=tmp_path)
    assert again.engine.name.startswith("OpenVINO")
    drawn = again.render(ws)
    # Weights that were never saved are not halved.
    assert torch.equal(first, drawn) or disk != "writable"
    assert (first.float() - drawn.float()).abs().mean() < 1


def test_an_unwritable_cache_costs_nothing(tiny_generator, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    renderer = Renderer(tiny_generator, engine="openvino", cache=blocked / "below")
    assert renderer.engine.name.startswith("OpenVINO")


def test_the_hash_follows_every_weight(tiny_encoder):
    example = torch.zeros(1)
    before = weights_hash(tiny_encoder, example)
    assert before == weights_hash(tiny_encoder, example)
    tiny_encoder.w_std += 1
    assert before != weights_hash(tiny_encoder, example)


def test_the_cache_key_follows_settings_without_tensors():
    example = torch.zeros(1, 3, 8, 8)
    assert weights_hash(nn.AvgPool2d(2), example) != weights_hash(nn.AvgPool2d(4), example)
    assert weights_hash(nn.AvgPool2d(2), example) == weights_hash(nn.AvgPool2d(2), example)


def test_openvino_missing_falls_back_with_a_sentence(tiny_generator, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    renderer = Renderer(tiny_generator, engine="openvino", cache=tmp_path)
    assert renderer.engine.name == "torch cpu float32"
    assert renderer.engine.note.startswith("OpenVINO does not load on this machine")
    assert renderer.engine.note.endswith("rendering with torch instead.")


def test_openvino_refusing_falls_back_with_a_sentence(tmp_path):
    class Odd(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.eigvals(x).real

    engine = LiveEngine(Odd(), (torch.eye(3)[None],), engine="openvino", cache=tmp_path)
    assert engine.name == "torch cpu float32"
    assert engine.note.startswith("OpenVINO refuses this model")
    assert "\n" not in engine.note


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"engine": "warp"}, "engine: 'warp'; must be one of auto, torch, openvino"),
        ({"device": "tpu"}, "device: 'tpu'; must be one of auto, cpu, cuda, mps"),
    ],
)
def test_unknown_choices_are_named(tiny_generator, choice, message):
    with pytest.raises(EngineError, match=message):
        Renderer(tiny_generator, **choice)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_missing_device_is_named():
    with pytest.raises(
        EngineError, match="device: 'cuda' is not available to torch on this machine; have: cpu"
    ):
        choose_device("cuda")


def test_w_is_used_for_every_layer(tiny_generator):
    renderer = Renderer(tiny_generator, engine="torch")
    w = torch.randn(2, 32)
    assert torch.equal(renderer.render(w), renderer.render(tiny_generator.broadcast(w)))


def test_wrong_styles_are_refused(tiny_generator):
    with pytest.raises(ShapeError, match=r"ws: expected \[N, 8, 32\]"):
        Renderer(tiny_generator, engine="torch").render(torch.zeros(1, 7, 32))


def test_openvino_is_imported_without_its_telemetry():
    code = (
        "from stylegan2.engines.openvino import import_openvino\n"
        "import sys, socket\n"
        "def refuse(*a, **k): raise SystemExit('a name was looked up')\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
        "openvino = import_openvino()\n"
        "openvino.Core()\n"
        "import openvino.tools.ovc\n"
        "loaded = [n for n, m in sys.modules.items() if n.startswith('openvino_tele') and m is not None]\n"
        "raise SystemExit(f'loaded {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr
