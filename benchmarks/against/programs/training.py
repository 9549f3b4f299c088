"""Pictures a second of one stage of training, and the memory that it takes, as JSON; run in a checkout.

The settings are those of the recipe in train/configs, but for the pictures, which the bundled model draws:
what they show does not matter to the time. Uses nothing that the older checkout lacks.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from stylegan2.layouts.loading import load_generator
from stylegan2.settings import read_settings
from train.assemble import build_generator, build_inversion, build_refinement
from train.core.hardware import keep_compiled, keep_memory
from train.encoder.config import InversionConfig
from train.gan.config import GeneratorTrainingConfig
from train.refiners.config import RefinementConfig

FACES, WARM, STEPS = 96, 4, 16  # a multiple of the 16 steps after which a penalty is due
DATA = ["data.validation_fraction=0.1", "data.validation_images=4", "data.shuffle_buffer=8"]
PAIRS = ["pairs.pool=64", "pairs.cache=null", "identity_weights=null"]
STAGES = {
    "generator": (build_generator, GeneratorTrainingConfig, ["feature_images=0"], 0),
    "inversion": (build_inversion, InversionConfig, [*PAIRS, "hardware.compile=true"], 1),
    "refiners": (build_refinement, RefinementConfig, PAIRS, 0),
}


def draw_faces(folder: Path) -> None:
    """Faces to train on."""
    generator = load_generator(load_bundle(DEFAULT_BUNDLE).generator_path)
    rng = torch.Generator().manual_seed(0)
    for number in range(FACES):
        with torch.no_grad():
            img = generator(torch.randn(1, generator.z_dim, generator=rng), truncation_psi=0.7)[0]
        pixels = ((img.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0)
        Image.fromarray(pixels.numpy()).save(folder / f"{number:03}.png")


def main(name: str) -> None:
    """Train a little and print."""
    build, kind, changes, phase = STAGES[name]
    keep_memory()
    keep_compiled()
    with tempfile.TemporaryDirectory() as folder:
        draw_faces(Path(folder))
        changed = [f"data.images={folder}", *DATA, *changes]
        config = read_settings(Path(f"train/configs/{name}.yaml"), kind, changed)
        stage = build(config, report=lambda _: None)
        stage.enter_phase(phase)
        stage.prepare(lambda done, total: None)
        for step in range(WARM):
            stage.step(step, 0.0)
        begin = time.perf_counter()
        for step in range(WARM, WARM + STEPS):
            stage.step(step, 0.0)
        seconds = time.perf_counter() - begin
    images = stage.phases[phase].images * STEPS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({f"{name}: images/s": images / seconds, f"{name}: memory at its peak, MB": peak / 1e6}))


if __name__ == "__main__":
    main(sys.argv[1])
