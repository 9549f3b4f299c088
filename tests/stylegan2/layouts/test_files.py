from argparse import Namespace

import pytest
import torch

from stylegan2.bundle.checkpoint import load_generator
from stylegan2.bundle.opening import load_bundle
from stylegan2.layouts.loading import load_any_generator
from tests.helpers import layout_writers as write
from tests.helpers import nvidia_files


@pytest.fixture(scope="module")
def source():
    return write.small_generator(depth=3)


def write_trainer(generator, path):
    """What rosinality's trainer saves, with all that it keeps beside the generator."""
    state = write.rosinality(generator)
    layer = torch.nn.Linear(2, 2)
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    tree = {
        "g": state,
        "d": layer.state_dict(),
        "g_ema": state,
        "g_optim": optimiser.state_dict(),
        "args": Namespace(size=32, path="lmdb"),
        "ada_aug_p": 0.1,
        "latent_avg": generator.w_avg,
    }
    torch.save(tree, path)


def write_clcae(generator, path, *, new=True):
    encoder = {"styles_others.0.linear.weight": torch.ones(4, 4), "content_layer.convs.0.bias": torch.ones(4)}
    opts = {"device": torch.device("cuda:0"), "learn_in_w": True}
    tree = {**write.psp(generator, encoder, opts=opts, latent_avg=generator.w_avg), "iter": 3.0}
    torch.save(tree, path, _use_new_zipfile_serialization=new)


# Name of the file -> (layout, what writes it).
FILES = {
    "snapshot.pkl": ("nvidia-torch", nvidia_files.write_ada),
    "config-f.pkl": ("nvidia-tf", nvidia_files.write_tf),
    "model_multi_id.pt": ("pti", lambda g, path: torch.save(nvidia_files.generator_module(g), path)),
    "550000.pt": ("rosinality", write_trainer),
    "clcae.pt": ("clcae", write_clcae),
    "legacy.pt": ("clcae", lambda g, path: write_clcae(g, path, new=False)),
    "psp.pt": (
        "psp",
        lambda g, path: torch.save(
            write.psp(
                g, {"a": torch.ones(1)}, opts=Namespace(output_size=32), latent_avg=g.w_avg.repeat(8, 1)
            ),
            path,
        ),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_draws_what_its_source_draws_and_runs_nothing(name, source, tmp_path, monkeypatch):
    layout, write_file = FILES[name]
    with monkeypatch.context() as patch:
        nvidia_files.install(patch)
        write_file(source, tmp_path / name)
    loaded = load_any_generator(tmp_path / name)
    assert (loaded.layout, loaded.w_avg_source) == (layout, "file")
    monkeypatch.setenv("CLCAE_CACHE_DIR", str(tmp_path / "cache"))
    bundled = load_generator(load_bundle(tmp_path / name).generator_path)
    z = torch.randn(2, source.z_dim)
    for psi in (1.0, 0.7):
        wanted = source(z, truncation_psi=psi)
        torch.testing.assert_close(loaded.generator(z, truncation_psi=psi), wanted, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(bundled(z, truncation_psi=psi), wanted, atol=1e-5, rtol=1e-5)
