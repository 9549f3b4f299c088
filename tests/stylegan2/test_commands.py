import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stylegan2.__main__ import main
from stylegan2.bundle.checkpoint import file_sha256, load_generator
from stylegan2.bundle.folder import CropConfig, save_bundle
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import CheckpointError
from stylegan2.layouts.rosinality import channel_multiplier
from stylegan2.layouts.writing import save_rosinality
from stylegan2.network.config import GeneratorConfig
from tests.helpers import layout_writers as write

ROOT = Path(__file__).resolve().parents[2]


def layer(name, o, i, side):
    """Shapes of one of rosinality's styled convolutions."""
    return {
        f"{name}.conv.weight": (1, o, i, 3, 3),
        f"{name}.conv.modulation.weight": (i, 32),
        f"{name}.conv.modulation.bias": (i,),
        f"{name}.noise.weight": (1,),
        f"{name}.activate.bias": (o,),
    }


def to_rgb(name, i):
    return {
        f"{name}.conv.weight": (1, 3, i, 1, 1),
        f"{name}.conv.modulation.weight": (i, 32),
        f"{name}.conv.modulation.bias": (i,),
        f"{name}.bias": (1, 3, 1, 1),
    }


# The whole `g_ema` of a 32 px generator of depth 2 with 24, 16, 16, 12 channels and styles of 32.
G_EMA = {
    "style.1.weight": (32, 32), "style.1.bias": (32,), "style.2.weight": (32, 32), "style.2.bias": (32,),
    "input.input": (1, 24, 4, 4),
    **layer("conv1", 24, 24, 4), **to_rgb("to_rgb1", 24),
    **layer("convs.0", 16, 24, 8), "convs.0.conv.blur.kernel": (4, 4),
    **layer("convs.1", 16, 16, 8), **to_rgb("to_rgbs.0", 16), "to_rgbs.0.upsample.kernel": (4, 4),
    **layer("convs.2", 16, 16, 16), "convs.2.conv.blur.kernel": (4, 4),
    **layer("convs.3", 16, 16, 16), **to_rgb("to_rgbs.1", 16), "to_rgbs.1.upsample.kernel": (4, 4),
    **layer("convs.4", 12, 16, 32), "convs.4.conv.blur.kernel": (4, 4),
    **layer("convs.5", 12, 12, 32), **to_rgb("to_rgbs.2", 12), "to_rgbs.2.upsample.kernel": (4, 4),
    "noises.noise_0": (1, 1, 4, 4), "noises.noise_1": (1, 1, 8, 8), "noises.noise_2": (1, 1, 8, 8),
    "noises.noise_3": (1, 1, 16, 16), "noises.noise_4": (1, 1, 16, 16),
    "noises.noise_5": (1, 1, 32, 32), "noises.noise_6": (1, 1, 32, 32),
}  # fmt: skip


@pytest.fixture(scope="module")
def source():
    return write.small_generator()


@pytest.fixture
def file(source, tmp_path):
    path = tmp_path / "face.pt"
    torch.save({"g_ema": write.rosinality(source), "d": {}}, path)
    return path


def test_an_export_has_rosinalitys_names_and_shapes(source, tmp_path):
    save_rosinality(source, tmp_path / "g.pt")
    saved = torch.load(tmp_path / "g.pt", weights_only=True)
    assert saved.keys() == {"g_ema", "latent_avg"}
    assert {name: tuple(value.shape) for name, value in saved["g_ema"].items()} == G_EMA
    assert {value.dtype for value in saved["g_ema"].values()} == {torch.float32}
    for name, value in write.rosinality(source).items():
        assert torch.equal(saved["g_ema"][name], value), name
    assert torch.equal(saved["latent_avg"], source.w_avg)


def test_an_export_is_read_back_as_it_was(source, tmp_path):
    save_rosinality(source, tmp_path / "g.pt")
    loaded = load_generator(tmp_path / "g.pt")
    z = torch.randn(2, source.z_dim)
    assert torch.equal(loaded(z, truncation_psi=0.7), source(z, truncation_psi=0.7))


def test_an_export_replaces_nothing_unasked(source, tmp_path):
    (tmp_path / "g.pt").touch()
    with pytest.raises(CheckpointError, match="is there already; --force replaces it"):
        save_rosinality(source, tmp_path / "g.pt")
    save_rosinality(source, tmp_path / "g.pt", force=True)
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_rosinality(source, tmp_path / "none" / "g.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["g.pt"]


def test_rosinalitys_own_widths_are_known():
    ffhq = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
    assert channel_multiplier(GeneratorConfig(img_resolution=1024, channels=ffhq)) == 2
    thin = {r: c // 2 if r > 32 else c for r, c in ffhq.items() if r <= 256}
    assert channel_multiplier(GeneratorConfig(img_resolution=256, channels=thin)) == 1
    assert channel_multiplier(GeneratorConfig(img_resolution=128)) is None


def test_inspect_says_what_is_in_a_file(file, capsys):
    assert main(["inspect", str(file)]) == 0
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    lines = {name: finding.strip() for name, finding in lines.items()}
    trained = sum(p.numel() for p in write.small_generator().parameters())
    assert lines == {
        "file": f"{file} ({file.stat().st_size:,} bytes)",
        "sha256": file_sha256(file),
        "format": "torch-zip",
        "layout": "rosinality",
        "generator": f"StyleGAN2, 32 x 32 px, {trained:,} parameters",
        "widths": "24 at 4, 16 at 8, 16 at 16, 12 at 32",
        "mapping": "2 layers, z_dim 32, w_dim 32, 8 styles a picture",
        "w_avg": "not in the file: will be the mean of mapping(z) over 10,000 z of seed 0",
        "encoder": "none",
        "left over": "1: d",
        "crop": "scale 1, center 0.1 (FFHQ's, assumed)",
    }


def test_inspect_names_the_encoder_and_its_options(source, tmp_path, capsys):
    encoder = {"content_layer.convs.0.bias": torch.ones(4), "body.0": torch.ones(3)}
    opts = {"learn_in_w": True, "stylegan_weights": "g.pt", "lr": 0.1}
    tree = write.psp(source, encoder, opts=opts, latent_avg=None)
    del tree["state_dict"]["decoder.conv1.activate.bias"]
    torch.save(tree, tmp_path / "clcae.pt")
    # The report is whole, and ends as `convert` would.
    assert main(["inspect", str(tmp_path / "clcae.pt")]) == 2
    out, err = capsys.readouterr()
    assert main(["convert", str(tmp_path / "clcae.pt"), "--out", str(tmp_path / "b")]) == 2
    assert capsys.readouterr().err == err
    assert "layout:       clcae\n" in out
    assert "encoder:      CLCAE inversion encoder, 7 numbers in 2 tensors\n" in out
    assert "opts:         learn_in_w=True, stylegan_weights='g.pt'\n" in out
    assert "missing:      1: decoder.conv1.activate.bias\n" in out


def test_inspect_knows_how_a_bundle_crops(source, tmp_path, capsys):
    crop_config = CropConfig(scale=0.7, center=0.3)
    save_bundle(tmp_path / "own", source, name="own", crop_config=crop_config, licence="own")
    assert main(["inspect", str(tmp_path / "own" / "generator.safetensors")]) == 0
    assert "crop:         scale 0.7, center 0.3 (of the bundle 'own')" in capsys.readouterr().out


def test_convert_then_export_gives_the_same_pictures(source, file, tmp_path, capsys):
    out, exported = tmp_path / "bundle", tmp_path / "out.pt"
    convert = ["convert", str(file), "--out", str(out), "--name", "Faces", "--licence", "CC0"]
    assert main(convert) == 0
    assert f"{out}: Faces, 32 px, from rosinality layout" in capsys.readouterr().out
    assert load_bundle(out).licence == "CC0"
    assert main(convert) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*convert, "--force"]) == 0
    assert main(["export", str(out), "--to", "rosinality", "--out", str(exported)]) == 0
    assert "its widths are not those of rosinality's own Generator" in capsys.readouterr().out
    z = torch.randn(1, source.z_dim)
    torch.testing.assert_close(load_generator(exported)(z), source(z), atol=1e-5, rtol=0)
    again = ["export", str(file), "--to", "rosinality", "--out", str(exported)]
    assert main(again) == 2
    assert main([*again, "--force"]) == 0


@pytest.mark.parametrize(
    "command", [["inspect"], ["convert", "--out", "b"], ["export", "--to", "rosinality"]]
)
def test_a_mistake_ends_with_one_line(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = [*command, "--out", "b"] if command[0] == "export" else command
    for name, content in (("none.pt", None), ("odd.pt", b"hello"), ("page.pt", b"<!DOCTYPE html>\n<p>quota")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert main([command[0], name, *command[1:]]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith(f"error: {name}")
        assert printed.err.count("\n") == 1
    assert not (tmp_path / "b").exists()


def test_the_commands_run_from_the_shell(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "stylegan2", "inspect", "none.pt"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


def test_who_reads_no_further_ends_a_command_quietly(file, tmp_path):
    command = subprocess.Popen(
        [sys.executable, "-m", "stylegan2", "inspect", str(file)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    command.stdout.close()  # as `head` does once it has its lines
    assert (command.stderr.read(), command.wait()) == ("", 141)
