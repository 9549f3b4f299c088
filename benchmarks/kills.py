"""Training that is killed again and again, against training in peace: `python -m benchmarks.kills`.

Every stage is trained once undisturbed, and once with SIGKILL at random moments, each followed by `--resume`.
What both leave behind is compared file by file and bit by bit.
The model is the bundled one, the faces are its own, and batches are small: endings matter here, not quality.
"""

import argparse
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from benchmarks.machine import describe
from stylegan2 import load_generator
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle

FACES = 48
PARTS_SHARD, PART_FACES = "parts.tar", 12
PAIRS = {"pool": 32, "block": 8, "refresh": 0.5}
DATA = {"validation_fraction": 0.2, "validation_images": 4, "shuffle_buffer": 7}
ENCODER = {
    "in_resolution": 128,
    "w_dim": 512,
    "channels": [8, 8, 16, 16, 32],
    "depths": [1, 1, 1, 1],
    "hidden": 64,
}
CONTRASTIVE = {"in_resolution": 128, "w_dim": 512, "channels": [8, 8, 16, 16, 32], "latent_hidden": 32}
REFINERS = {"f_resolution": 32, "attention": "tokens", "second_look": False}


def _phase(name: str, steps: int, **settings: object) -> dict[str, Any]:
    return {"name": name, "max_steps": steps, "warmup_steps": 2, **settings}


def stages(steps: int, faces: Path) -> dict[str, dict[str, Any]]:
    """Settings of every stage: two phases each where a stage can have them, for kills between them."""
    bundle, images = {"bundle": str(DEFAULT_BUNDLE)}, {"data": {"images": str(faces), **DATA}}
    half = steps // 2
    both = {"real_batch": 2, "pair_batch": 2}
    pixels = {"l2": 6.0, "latent": 0.1}
    drawn = {"ws": {"l2": 6.0}, "f": {"l2": 40.0}, "edit": {"l2": 5.0}}
    return {
        "generator": {
            **images,
            "model": {"name": "killed", "licence": "none"},
            "generator": {"img_resolution": 32, "z_dim": 64, "w_dim": 64, "mapping_layers": 2},
            "phases": [_phase("adversarial", 2 * steps, batch=4)],
            "feature_images": 0,
        },
        "contrastive": {
            **bundle,
            "pairs": PAIRS,
            "contrastive": CONTRASTIVE,
            "validation_pairs": 8,
            "phases": [_phase("one", half, pair_batch=8), _phase("two", half, pair_batch=6)],
        },
        "inversion": {
            **bundle,
            **images,
            "pairs": PAIRS,
            "encoder": ENCODER,
            "phases": [
                _phase("latents", half, pair_batch=8, loss={"latent": 1.0}),
                _phase("pixels", half, **both, loss=pixels),
            ],
        },
        "refiners": {
            **bundle,
            **images,
            "pairs": PAIRS,
            "refiners": REFINERS,
            "phases": [_phase("one", half, **both, loss=drawn), _phase("two", half, **both, loss=drawn)],
        },
        "parts": {
            "faces": str(faces / PARTS_SHARD),
            "phases": [_phase("one", half, batch=2), _phase("two", half, batch=2)],
        },
        "transfer": {
            **bundle,
            "transfer": {"channels": [8, 16]},
            "examples": 6,
            "validation_examples": 2,
            "engine": "torch",
            "phases": [_phase("one", half, batch=2), _phase("two", half, batch=2)],
        },
    }


def draw_faces(folder: Path, count: int) -> None:
    """Pictures of the bundled model as files."""
    folder.mkdir()
    generator = load_generator(load_bundle(DEFAULT_BUNDLE).generator_path)
    rng = torch.Generator().manual_seed(0)
    for number in range(count):
        with torch.no_grad():
            img = generator(torch.randn(1, generator.z_dim, generator=rng), truncation_psi=0.7)[0]
        pixels = ((img.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0)
        Image.fromarray(pixels.numpy()).save(folder / f"{number:03}.png")


def draw_parts(faces: Path) -> None:
    """A shard of some of the faces with parts that nobody drew, as `train.parts.faces` reads them."""
    rng = np.random.default_rng(0)
    with tarfile.open(faces / PARTS_SHARD, "w") as shard:
        for file in sorted(faces.glob("*.png"))[:PART_FACES]:
            with Image.open(file) as image:
                picture = image.resize((256, 256))
            parts = Image.fromarray(rng.integers(0, 19, (8, 8), np.uint8)).resize(
                (256, 256), Image.Resampling.NEAREST
            )
            for suffix, kept in (("webp", picture), ("png", parts)):
                data = io.BytesIO()
                kept.save(data, suffix.upper())
                told = tarfile.TarInfo(f"{file.stem}.{suffix}")
                told.size = data.tell()
                shard.addfile(told, io.BytesIO(data.getvalue()))


class Training:
    """One run of a stage in a folder of its own."""

    def __init__(self, stage: str, settings: Mapping[str, Any], home: Path):
        run = {"folder": str(home / "run"), "log_every": 5, "validate_every": 9, "checkpoint_every": 3}
        own: dict[str, Any] = {"run": run, "hardware": {"device": "cpu", "compile": False}, "seed": 0}
        if "pairs" in settings:
            own["pairs"] = {**settings["pairs"], "cache": str(home / "pairs")}
        if "examples" in settings:
            own["cache"] = str(home / "examples")
        home.mkdir()
        self._config = home / "settings.yaml"
        self._config.write_text(yaml.safe_dump({**settings, **own}), encoding="utf-8")
        self._command = [sys.executable, "-m", "train", stage, "--config", str(self._config)]
        self.folder = home / "run"

    def run(self, limit: float | None = None) -> int:
        """Begin, or go on where there is a checkpoint; killed after `limit` seconds.

        Returns:
            The exit status; -9 where it was killed.
        """
        resume = ["--resume"] if (self.folder / "checkpoint.pt").exists() else []
        with (self._config.parent / "output.txt").open("ab") as output:
            process = subprocess.Popen(
                [*self._command, *resume], stdout=output, stderr=output, start_new_session=True
            )
            try:
                return process.wait(limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return process.wait()

    def said(self) -> str:
        """What it printed last."""
        return (self._config.parent / "output.txt").read_text(encoding="utf-8")[-2000:]


def same(a: Path, b: Path) -> tuple[int, list[str]]:
    """Number of weights files below `a`, and the names of those that differ in `b`."""
    files = sorted(file.relative_to(a) for file in a.rglob("*.safetensors"))
    different = []
    for name in files:
        left, right = load_file(a / name), load_file(b / name) if (b / name).is_file() else {}
        if left.keys() != right.keys() or any(not torch.equal(left[key], right[key]) for key in left):
            different.append(str(name))
    return len(files), different


def main() -> int:
    """Print a line for every stage; exit status 1 where anything differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=12, help="over all stages [%(default)s]")
    parser.add_argument("--steps", type=int, default=24, help="of every stage [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="of the moments [%(default)s]")
    options = parser.parse_args()
    print(f"{describe()}; {options.kills} kills, seed {options.seed}", flush=True)
    rng, failures = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        draw_faces(home / "faces", FACES)
        draw_parts(home / "faces")
        settings = stages(options.steps, home / "faces")
        for number, (stage, chosen) in enumerate(settings.items()):
            failures += not _try(stage, chosen, home, _share(options.kills, len(settings), number), rng)
    return int(failures > 0)


def _share(total: int, parts: int, number: int) -> int:
    return total // parts + (number < total % parts)


def _try(stage: str, settings: Mapping[str, Any], home: Path, kills: int, rng: random.Random) -> bool:
    peaceful = Training(stage, settings, home / f"{stage}-peaceful")
    start = time.perf_counter()
    if peaceful.run() != 0:
        print(f"{stage}: does not train\n{peaceful.said()}")
        return False
    seconds = time.perf_counter() - start
    killed, moments = Training(stage, settings, home / f"{stage}-killed"), []
    while len(moments) < kills:
        # What is left gets shorter with every sitting; early moments hit the start and the pool's drawing.
        moment = rng.uniform(0.1, 0.5) * seconds
        if killed.run(moment) == 0:
            break
        moments.append(moment)
    rc = killed.run()
    count, different = same(peaceful.folder, killed.folder)
    when = ", ".join(f"{moment:.1f}" for moment in moments)
    found = "all bit-equal" if not different else f"different: {', '.join(different)}"
    print(
        f"{stage:12} {seconds:5.1f} s in peace; killed after {when} s; rc {rc}; {count} files, {found}",
        flush=True,
    )
    if rc != 0 or count == 0:
        print(killed.said())
    return rc == 0 and count > 0 and not different


if __name__ == "__main__":
    sys.exit(main())
