import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from inversion.__main__ import main
from inversion.chain.onnx_graphs import inversion_graphs
from inversion.networks.checkpoint import load_encoder, load_refiners, save_encoder, save_refiners
from inversion.networks.refiners import Refiners
from stylegan2.__main__ import main as generator_main
from stylegan2.bundle.checkpoint import file_sha256, load_generator
from stylegan2.bundle.folder import CropConfig, save_bundle
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from stylegan2.errors import EngineError
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.onnx.files import Graph, write_graphs
from tests.helpers.plain_chain import PlainChain
from tests.helpers.refiners import CONFIG, VARIANTS, stirred

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

CLOSE = {"atol": 1e-3, "rtol": 0}

# What a program without torch does: the README's block, then an edit.
PROGRAM = """
import sys
sys.modules["torch"] = None
{block}
img, moved = np.load("img.npy"), np.load("moved.npy")
{calls}
"""


def write_model(folder, generator, encoder, refiners=None):
    save_bundle(folder, generator, name="Tiny", crop_config=CropConfig(), licence="none", dtype=torch.float32)
    listing = yaml.safe_load((folder / "bundle.yaml").read_text())
    save_encoder(encoder, folder / "encoder.safetensors", dtype=torch.float32)
    roles = ["encoder"]
    if refiners is not None:
        save_refiners(refiners, folder / "refiners.safetensors", dtype=torch.float32)
        roles.append("refiners")
    for role in roles:
        file = f"{role}.safetensors"
        listing["files"][role] = {"file": file, "sha256": file_sha256(folder / file)}
    (folder / "bundle.yaml").write_text(yaml.safe_dump(listing))
    return folder


def run_block(folder, img, moved, calls):
    """What the README's program, which cannot import torch, saves as `out.npz`."""
    (block,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.S)
    np.save(folder / "img.npy", img.numpy())
    np.save(folder / "moved.npy", moved.numpy())
    (folder / "program.py").write_text(PROGRAM.format(block=block, calls=calls))
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name: torch.from_numpy(value) for name, value in np.load(folder / "out.npz").items()}


def framed(config, encoder):
    refiners = Refiners(config)
    refiners.frame(encoder.w_avg, encoder.w_std)
    return stirred(refiners)


def check_chain(folder, generator, encoder, refiners, pictures):
    chain = PlainChain(
        synthesis=FoldedSynthesis(generator.synthesis).eval(),
        encoder=encoder,
        refiners=refiners.fold_attention(),
    )
    with torch.no_grad():
        ws = generator.broadcast(generator.sample_w(pictures, seed=5, truncation_psi=0.7)).contiguous()
        img = chain.draw_ws(ws.flip(1) * 0.9 + 0.1 * ws).clamp(-1, 1)
        latents = chain.invert(img)
        moved = 0.5 * (generator.sample_w(pictures, seed=6) - generator.w_avg)[:, None]
        expected = {
            "ws": latents.ws_f,
            "code": latents.code,
            "same": chain.draw(latents).clamp(-1, 1),
            "edited": chain.draw(latents, latents.ws_f + moved).clamp(-1, 1),
        }
    calls = """
ws, code, a = invert(img)
same, edited = draw(ws, code, a), draw(ws + moved, code, a)
np.savez("out.npz", ws=ws, code=code, same=same, edited=edited)
"""
    found = run_block(folder, img, moved, calls)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, **CLOSE, msg=lambda text, name=name: f"{name}: {text}")
    assert (found["edited"] - found["same"]).abs().max() > 0.01


@pytest.mark.parametrize(
    ("config", "pictures"),
    [(CONFIG, 3), (replace(VARIANTS["none"], second_look=False), 1)],
)
def test_onnxruntime_alone_inverts_and_edits_as_the_chain(
    tiny_generator, tiny_encoder, tmp_path, capsys, config, pictures
):
    refiners = framed(config, tiny_encoder)
    model = write_model(tmp_path / "m", tiny_generator, tiny_encoder, refiners)
    out = tmp_path / "onnx"
    assert main(["export", str(model), "--out", str(out)]) == 0
    assert capsys.readouterr().out.count("opset 17, within") == 7 + config.second_look
    check_chain(out, tiny_generator, tiny_encoder, refiners, pictures)


def test_without_refiners_the_chain_ends_at_w(tiny_generator, tiny_encoder, tmp_path):
    out = tmp_path / "onnx"
    assert (
        main(["export", str(write_model(tmp_path / "m", tiny_generator, tiny_encoder)), "--out", str(out)])
        == 0
    )
    img = torch.rand(3, 3, 32, 32) * 2 - 1
    calls = 'ws = invert(img)\nnp.savez("out.npz", ws=ws, img=draw(ws + moved))'
    found = run_block(out, img, torch.zeros(1), calls)
    with torch.no_grad():
        ws = tiny_generator.broadcast(tiny_encoder(img))
        torch.testing.assert_close(found["ws"], ws, **CLOSE)
        torch.testing.assert_close(found["img"], tiny_generator.synthesis(ws).clamp(-1, 1), **CLOSE)


def test_a_generator_draws_the_same(tiny_generator, tmp_path, capsys):
    save_bundle(
        tmp_path / "m",
        tiny_generator,
        name="Tiny",
        crop_config=CropConfig(),
        licence="none",
        dtype=torch.float32,
    )
    out = tmp_path / "onnx"
    command = ["export", str(tmp_path / "m"), "--to", "onnx", "--out", str(out)]
    assert generator_main(command) == 0
    assert "mapping.onnx: opset 17, within" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "mapping.onnx", "synthesis.onnx"]
    assert "| in | `ws` | [N, 8, 32] |" in (out / "README.md").read_text()
    mapping, synthesis = (
        onnxruntime.InferenceSession(out / f"{name}.onnx") for name in ("mapping", "synthesis")
    )
    for pictures, psi in ((1, 0.5), (3, 1.0)):
        z = torch.randn(pictures, 32)
        (ws,) = mapping.run(None, {"z": z.numpy(), "truncation_psi": np.array(psi, np.float32)})
        (img,) = synthesis.run(None, {"ws": ws})
        w = tiny_generator.mapping(z, truncation_psi=psi)
        torch.testing.assert_close(torch.from_numpy(ws), tiny_generator.broadcast(w), **CLOSE)
        expected = tiny_generator(z, truncation_psi=psi).clamp(-1, 1)
        torch.testing.assert_close(torch.from_numpy(img), expected, **CLOSE)
    assert generator_main(command) == 2
    assert "not empty; --force" in capsys.readouterr().err
    assert generator_main([*command, "--force"]) == 0


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(tiny_generator, tmp_path, monkeypatch, capsys, package):
    save_bundle(tmp_path / "m", tiny_generator, name="Tiny", crop_config=CropConfig(), licence="none")
    monkeypatch.setitem(sys.modules, package, None)
    assert generator_main(["export", str(tmp_path / "m"), "--to", "onnx", "--out", str(tmp_path / "o")]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: package '{package}': not there")
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_a_model_without_encoder_is_refused(tiny_generator, tmp_path, capsys):
    save_bundle(tmp_path / "m", tiny_generator, name="Tiny", crop_config=CropConfig(), licence="none")
    assert main(["export", str(tmp_path / "m"), "--out", str(tmp_path / "o")]) == 2
    assert "no encoder in it; python -m stylegan2 export" in capsys.readouterr().err


@pytest.mark.parametrize("config", [VARIANTS["reference"], replace(CONFIG, second_look=False)])
def test_the_other_variants_are_exported_too(tiny_generator, tiny_encoder, tmp_path, config):
    refiners = framed(config, tiny_encoder)
    graphs = inversion_graphs(tiny_generator, tiny_encoder, refiners)
    chosen = [graph for graph in graphs if graph.name in ("styles", "code")]
    assert max(write_graphs(tmp_path / "o", chosen, "").values()) <= 1e-3


class _FixedBatch(torch.nn.Module):
    def forward(self, x):
        return x + torch.full((), float(len(x)))


def test_a_graph_that_differs_is_not_written(tmp_path):
    graph = Graph(
        name="odd", about="", module=_FixedBatch().eval(), inputs={"x": torch.randn(3, 4)}, outputs=("y",)
    )
    with pytest.raises(EngineError, match=r"odd\.onnx: differs from torch by"):
        write_graphs(tmp_path / "o", [graph], "")
    assert not list((tmp_path / "o").iterdir())


@pytest.mark.weights
def test_the_bundled_model_is_the_same_in_onnx(tmp_path):
    bundle, out = load_bundle(), tmp_path / "onnx"
    assert main(["export", str(DEFAULT_BUNDLE), "--out", str(out)]) == 0
    generator, encoder = load_generator(bundle.generator_path), load_encoder(bundle.encoder_path)
    check_chain(out, generator, encoder, load_refiners(bundle.refiners_path), 1)
