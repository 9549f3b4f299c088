"""What it brings a training step that memory is kept: `python -m benchmarks.memory`.

Prints the time of a picture, forward and backward through the generator, with and without
`train.core.hardware.keep_memory`: medians of processes that take turns, for one cannot be told to give memory
back.
"""

import argparse
import statistics
import subprocess
import sys
import time

import torch

from benchmarks.machine import describe
from stylegan2.bundle.checkpoint import load_generator
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from train.core.hardware import autocast, choose_precision, keep_memory, to_channels_last

BATCH, STEPS, WARM = 16, 12, 3
KEEP = "--keep"


def step_ms(bundle: str) -> float:
    """Median time of a picture in a compiled step, in milliseconds."""
    device = torch.device("cpu")
    dtype = choose_precision(device, "auto")
    generator = load_generator(load_bundle(bundle).generator_path)
    to_channels_last(generator)
    draw = torch.compile(generator.synthesis, dynamic=False)
    ws = generator.broadcast(generator.sample_w(BATCH, seed=0)).contiguous().requires_grad_(True)
    times = []
    for _ in range(WARM + STEPS):
        start = time.perf_counter()
        with autocast(device, dtype):
            img = draw(ws)
        img.float().square().mean().backward()
        times.append((time.perf_counter() - start) * 1e3 / BATCH)
    return statistics.median(times[WARM:])


def main() -> None:
    """Let the two kinds of process take turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default=str(DEFAULT_BUNDLE))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(KEEP, choices=("yes", "no"), help="be one of the processes")
    args = parser.parse_args()
    if args.keep:
        if args.keep == "yes" and not keep_memory():
            sys.exit("this system's malloc cannot be told to keep memory")
        print(step_ms(args.bundle))
        return
    print(f"machine: {describe()}")
    print(f"a picture, forward and backward, batch {BATCH}, {args.rounds} processes each in turn")
    found: dict[str, list[float]] = {"no": [], "yes": []}
    for _ in range(args.rounds):
        for keep, times in found.items():
            command = [sys.executable, "-m", "benchmarks.memory", "--bundle", args.bundle, KEEP, keep]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            times.append(float(done.stdout))
    baseline = statistics.median(found["no"])
    for name, keep in (("memory given back, as by default", "no"), ("memory kept", "yes")):
        median = statistics.median(found[keep])
        print(f"{name:35s} {median:6.1f} ms   {baseline / median:.2f} x")


if __name__ == "__main__":
    main()
