"""What several tests of training need: a toy model as a bundle, broken runs, comparison of states."""

import os
import signal

import torch
import yaml

from inversion.networks.checkpoint import save_contrastive_pair
from inversion.networks.config import ContrastivePairConfig
from inversion.networks.contrastive import ContrastivePair
from stylegan2 import Generator, GeneratorConfig, save_generator
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.settings import settings_to_dict
from train.assemble import frame_network
from train.core.loop import training_loop

TINY_REFINERS = {
    "f_resolution": 16,
    "width": 16,
    "heads": 2,
    "blocks": 1,
    "f_width": 16,
    "f_blocks": 1,
    "f_hidden": 16,
    "code": 8,
    "carry_width": 8,
}


def tiny_generator():
    torch.manual_seed(0)
    channels = {4: 16, 8: 16, 16: 8, 32: 8}
    config = GeneratorConfig(img_resolution=32, z_dim=16, w_dim=16, mapping_layers=2, channels=channels)
    generator = Generator(config).eval().requires_grad_(False)
    with torch.no_grad():
        generator.mapping.w_avg.copy_(generator.mapping(torch.randn(2000, 16)).mean(0))
        for block in generator.synthesis.blocks:
            block.torgb.weight.mul_(0.3)
    return generator


def tiny_contrastive_pair():
    """Untrained, but framed as for training: its embeddings differ from picture to picture."""
    torch.manual_seed(1)
    sizes = {"channels": (8, 8, 8, 8, 16), "depths": (1, 1, 1, 1), "latent_hidden": 16, "embedding_dim": 16}
    contrastive = ContrastivePair(ContrastivePairConfig(in_resolution=32, w_dim=16, **sizes))
    frame_network(contrastive, tiny_generator(), (0.7, 1.0), 0)
    return contrastive.eval().requires_grad_(False)


def write_contrastive_pair(folder):
    """The file of `tiny_contrastive_pair` in `folder`."""
    save_contrastive_pair(tiny_contrastive_pair(), folder / "contrastive.safetensors")
    return folder / "contrastive.safetensors"


def write_bundle(folder, *, generator, **files):
    """A model bundle in `folder`; files: further ones by role, names of files that lie there."""
    save_generator(generator, folder / "generator.safetensors", dtype=torch.float32)
    files = {"generator": "generator.safetensors", **files}
    description = {
        "name": "tiny",
        "resolution": generator.img_resolution,
        "crop": {"scale": 0.66, "center": 0.48},
        "licence": "none",
        "files": {role: {"file": name, "sha256": file_sha256(folder / name)} for role, name in files.items()},
    }
    (folder / "bundle.yaml").write_text(yaml.safe_dump(description))


def run_stage(build, config, stage=None, resume=False):
    """Train `stage`, or what `build` makes of `config`, to its end; the stage, and how the loop ended."""
    stage = stage or build(config)
    result = training_loop(
        stage, config.run, settings_to_dict(config), resume=resume, report=lambda line: None
    )
    return stage, result


def interrupting(stage, at, number=signal.SIGTERM):
    """The stage, which sends its own process a signal during step `at`, counted over all phases."""
    step, count = stage.step, [0]

    def counted(*arguments):
        count[0] += 1
        if count[0] == at:
            os.kill(os.getpid(), number)
        return step(*arguments)

    stage.step = counted
    return stage


def assert_equal(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_equal(left, right)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b
