"""A full-size CLCAE file on a CPU, time and memory: `python -m benchmarks.published`.

No published weights are needed: the file is made up, with every tensor of the real one.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.machine import describe
from inversion.chain.decoder import FeatureRenderer
from inversion.published import PublishedInverter, load_published
from inversion.published.config import PublishedConfig
from inversion.published.encoders import build_encoder
from stylegan2.bundle.checkpoint import load_generator
from stylegan2.bundle.opening import load_bundle
from stylegan2.engines.renderer import Renderer
from stylegan2.layouts.rosinality import to_rosinality
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.generator import Generator

WIDTHS = {4 * 2**i: min(512, 32768 // (4 * 2**i)) for i in range(9)}  # of the published 1024 px generator


def main() -> None:
    """Make the file, open it, invert one picture, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="for 4 GB of files [a temporary one]")
    parser.add_argument("--runs", type=int, default=3, help="inversions and frames after the first")
    args = parser.parse_args()
    print(f"machine: {describe()}")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        os.environ["CLCAE_CACHE_DIR"] = f"{folder}/cache"
        file = Path(folder) / "clcae.pt"
        make_aside(file)
        print(f"file: {file.stat().st_size / 1e9:.2f} GB")
        _timed("convert (once for a file)", lambda: load_bundle(file))
        print(f"peak memory so far: {peak():.2f} GB")
        _measure(file, args.runs)
    print(f"peak memory: {peak():.2f} GB")


def make_aside(path: Path) -> None:
    """`make_file` in a process of its own, so that the memory it takes is not counted."""
    maker = multiprocessing.get_context("spawn").Process(target=make_file, args=(path,))
    maker.start()
    maker.join()
    if maker.exitcode:
        raise SystemExit("the file could not be made")


def make_file(path: Path) -> None:
    """Write a CLCAE file of the published sizes; its random weights draw noise."""
    torch.manual_seed(0)
    encoder = build_encoder(PublishedConfig(kind="clcae", num_ws=18))
    decoder = Generator(GeneratorConfig(img_resolution=1024, channels=WIDTHS))
    g_ema = to_rosinality(decoder.state_dict(), decoder.config)["g_ema"]
    state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    state |= {f"decoder.{name}": value for name, value in dict(g_ema).items()}
    torch.save({"state_dict": state, "opts": {"dataset_type": "ffhq_encode_inversion"}, "iter": 0.0}, path)


def peak() -> float:
    """Most memory that this process has held, mapped files included, in GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _measure(file: Path, runs: int) -> None:
    def opened():
        bundle = load_bundle(file)
        generator = load_generator(bundle.generator_path)
        model = load_published(bundle.inverter_path, generator)
        renderer = Renderer(generator, engine="torch")
        features = FeatureRenderer(generator, model, engine="torch")
        return PublishedInverter(model, generator, features=features, engine="torch"), renderer, features

    inverter, renderer, features = _timed("open, with the mean image", opened)
    print(inverter.report)
    pixels = torch.randint(0, 256, (1, 1024, 1024, 3), dtype=torch.uint8)
    found = _timed("first inversion (w, w+, f)", lambda: inverter.invert(pixels))
    _timed("first picture of (w+, f)", lambda: features.render(found.f.ws, found.f))
    print(f"peak memory so far: {peak():.2f} GB")
    for _ in range(runs):
        _timed("inversion", lambda: inverter.invert(pixels))
        _timed("edited picture of (w+, f)", lambda: features.render(found.f.ws + 0.1, found.f))
        _timed("picture of w+", lambda: renderer.render(found.ws))


def _timed(what, work):
    start = time.perf_counter()
    result = work()
    print(f"{what}: {time.perf_counter() - start:.2f} s", flush=True)
    return result


if __name__ == "__main__":
    main()
