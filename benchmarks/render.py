"""How fast one picture is drawn and one face inverted: `python -m benchmarks.render`.

Prints medians per engine, the ratio to the plain float32 network in the same run, and how long after a
start the fast engine answers with a cold and with a warm cache.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import describe
from editor.model.opening import open_model
from stylegan2.bundle.block import load_bundle_generator
from stylegan2.bundle.folder import ModelBundle
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from stylegan2.engines.renderer import Renderer
from stylegan2.image import to_uint8


def median_ms(run: Callable[[], object], repeats: int) -> float:
    """Median time of a call after two that warm up, in milliseconds."""
    times = []
    for i in range(repeats + 2):
        start = time.perf_counter()
        run()
        if i >= 2:
            times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def convolution_rate(repeats: int) -> float:
    """What torch reaches on a convolution that fills the processor, in GFLOP/s."""
    x, weight = torch.randn(8, 256, 32, 32), torch.randn(256, 256, 3, 3)
    took = median_ms(lambda: F.conv2d(x, weight, padding=1), repeats)
    return 2 * x.numel() * weight[0].numel() / took / 1e6


def main() -> None:
    """Time every engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE)
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    bundle = load_bundle(args.bundle)
    generator = load_bundle_generator(bundle)
    ws = generator.broadcast(generator.sample_w(1, seed=0)).contiguous()
    print(f"machine: {describe()}")
    print(f"model: {bundle.name}, {bundle.resolution} px, batch 1, median of {args.repeats}")

    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            generator.synthesis(ws)
        work, rate = counter.get_total_flops() / 1e9, convolution_rate(args.repeats)
        print(f"work: {work:.1f} GFLOP a picture; a large convolution runs at {rate:.0f} GFLOP/s here")
        baseline = median_ms(lambda: to_uint8(generator.synthesis(ws)), args.repeats)
    print(f"{'draw: plain torch network, float32':45s} {baseline:8.1f} ms   1.0 x")

    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        for state in ("cold", "warm"):
            start = time.perf_counter()
            renderer = Renderer(generator, device="cpu", cache=cache)
            if state == "cold":
                first = median_ms(lambda r=renderer: r.render(ws), args.repeats)
                name = f"draw: {renderer.engine.name}, the first seconds"
                print(f"{name:45s} {first:8.1f} ms   {baseline / first:.1f} x")
                start = time.perf_counter()
            renderer.engine.prepare()
            renderer.engine.wait()
            name = f"ready: {renderer.engine.name}, {state} cache"
            print(f"{name:45s} {time.perf_counter() - start:8.1f} s    {renderer.engine.note}")
        fast = median_ms(lambda: renderer.render(ws), args.repeats)
        print(f"{'draw: ' + renderer.engine.name + ', warm':45s} {fast:8.1f} ms   {baseline / fast:.1f} x")

        if bundle.encoder_path is not None:
            time_inversion(bundle, cache, args.repeats)


def time_inversion(bundle: ModelBundle, cache: Path, repeats: int) -> None:
    """Time inversion and drawing, and an edited picture in F, of the model as the product opens it."""
    for engine in ("torch", "openvino"):
        opened = open_model(bundle, device="cpu", engine=engine, cache=cache)
        opened.prepare()
        opened.wait()
        generator, inverter, decoder = opened.generator, opened.inverter, opened.decoder
        ws = generator.broadcast(generator.sample_w(2, seed=0)).contiguous()
        pixels = decoder.renderer.render(ws[:1])
        found, space, amount = inverter.invert(pixels), opened.spaces[-1], count(1)

        def everything(inverter=inverter, decoder=decoder, pixels=pixels, space=space) -> None:
            decoder.draw(inverter.invert(pixels), space)

        def edited(decoder=decoder, found=found, other=ws[1:], space=space, amount=amount) -> None:
            share = next(amount) / 1000  # another edit every time: layers that stay as they are are not drawn
            decoder.draw(found, space, lambda styles: styles.lerp(other, share))

        row(f"inversion and picture in {space.upper()}: {engine}", median_ms(everything, repeats))
        name = f"an edited picture in {space.upper()}: {decoder.engine(found, space).name}"
        row(name, median_ms(edited, repeats))


def row(name: str, milliseconds: float) -> None:
    """Print one line of the table."""
    print(f"{name:45s} {milliseconds:8.1f} ms")


if __name__ == "__main__":
    main()
