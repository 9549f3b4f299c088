"""Beside the projects' own code, in one run: `python -m benchmarks.peers --rosinality FOLDER ...`.

FOLDERs are checkouts of rosinality's stylegan2-pytorch, NVIDIA's stylegan2-ada-pytorch and CLCAE's own;
what is not named is left out. Nothing of theirs is in this repository. All draw the same styles by random
weights of one file, in turns, each turn in a process of its own; how far their pictures are from ours is
printed too. Where a project has operators for CUDA alone, its own slow ones, or torch's, stand in for them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.machine import describe, spread
from benchmarks.peers_turn import CROP, DRAWN, GENERATOR, PUBLISHED, ROSINALITY, STYLES
from benchmarks.published import WIDTHS, make_aside
from stylegan2.bundle.checkpoint import save_generator
from stylegan2.image import psnr
from stylegan2.layouts.writing import save_rosinality
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.generator import Generator

PEERS = ("rosinality", "nvidia", "clcae")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    for name in PEERS:
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.threads > len(os.sched_getaffinity(0)):
        parser.error(f"--threads: {args.threads}; this machine has {len(os.sched_getaffinity(0))}")
    folders = {name: getattr(args, name) for name in PEERS}
    for name in [name for name, folder in folders.items() if folder is None]:
        print(f"{name}: left out, no --{name} FOLDER")
    print(f"machine: {describe()}, {args.threads} threads")
    drawing = {name: folders[name] for name in ("rosinality", "nvidia") if folders[name] is not None}
    for resolution in args.resolutions if drawing else []:
        with tempfile.TemporaryDirectory() as work:
            make_generator(Path(work), resolution)
            compare(f"picture at {resolution} px", "ours", drawing, Path(work), args)
    if folders["clcae"] is not None:
        with tempfile.TemporaryDirectory() as work:
            make_aside(Path(work) / PUBLISHED)
            pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
            np.save(Path(work) / CROP, pixels.repeat(16, 0).repeat(16, 1))
            compare("published CLCAE at 1024 px", "published", {"clcae": folders["clcae"]}, Path(work), args)


def make_generator(folder: Path, resolution: int) -> None:
    """Random weights in the projects' sizes, and styles to draw."""
    torch.manual_seed(0)
    channels = {side: width for side, width in WIDTHS.items() if side <= resolution}
    generator = Generator(GeneratorConfig(img_resolution=resolution, channels=channels))
    for block in generator.synthesis.blocks:
        for layer in (block.conv1,) if block.first else (block.conv0, block.conv1):
            nn.init.constant_(layer.noise_strength, 0.1)  # so that a noise in another place is seen
    save_generator(generator, folder / GENERATOR, torch.float32)
    save_rosinality(generator, folder / ROSINALITY)
    np.save(folder / STYLES, generator.sample_w(DRAWN, seed=1).detach().numpy())


def compare(what: str, ours: str, peers: dict[str, Path], work: Path, args: argparse.Namespace) -> None:
    """Let ours and its peers take turns, and print medians, spread and ratios of the processor's time."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in (ours, *peers)}
    for _ in range(args.rounds):
        for name, turns in found.items():
            turns.append(turn(name, peers.get(name), work, args.threads))
    for name in peers:
        pictures = [torch.from_numpy(np.load(work / f"{each}.npy")) for each in (ours, name)]
        print(f"{what}: {name}'s is ours to {float(psnr(*pictures, span=2.0)):.1f} dB")
    first = found[ours]
    for row in first[0]:
        mine = [each[row] for each in first]
        print(f"{what}, {row}: ours {spread(mine)}")
        for name in peers:
            theirs = [each[row] for each in found[name]]
            ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
            print(f"{what}, {row}: {name} {spread(theirs)}, {spread(ratios)} times ours", flush=True)


def turn(name: str, folder: Path | None, work: Path, threads: int) -> dict[str, float]:
    """One turn in a process of its own, on as many cores as threads."""
    cores = sorted(os.sched_getaffinity(0))[:threads]
    command = [
        "taskset",
        "-c",
        ",".join(map(str, cores)),
        sys.executable,
        "-m",
        "benchmarks.peers_turn",
        name,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "CLCAE_CACHE_DIR": str(work / "cache")}
    told = [str(work), *(() if folder is None else (str(folder.resolve()),))]
    done = subprocess.run([*command, *told], env=environment, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
