"""What refinement by optimisation gains: `python -m benchmarks.refine --data FACES.tar --steps 100`."""

import argparse
import statistics
import time
from dataclasses import replace

import cv2

from benchmarks.machine import describe
from inversion.checkpoint import load_encoder
from inversion.inverter import Inverter
from stylegan2.bundle import DEFAULT_BUNDLE, load_bundle
from stylegan2.checkpoint import load_generator
from stylegan2.renderer import Renderer
from train.data import find_images, read_images


def main() -> None:
    """Refine some faces and print what each step brought."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="aligned faces: a shard or a folder")
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE)
    parser.add_argument("--faces", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    args = parser.parse_args()
    bundle = load_bundle(args.bundle)
    generator = load_generator(bundle.generator_path)
    if bundle.encoder_path is None:
        raise SystemExit("the bundle has no encoder to start from")
    inverter = Inverter(generator, load_encoder(bundle.encoder_path), engine="torch")
    renderer = Renderer(generator, engine="torch")
    print(f"machine: {describe()}")
    before, after_w, after, seconds = [], [], [], []
    for pixels in read_images(find_images(args.data), bundle.resolution, 1, limit=args.faces):
        start = inverter.invert(pixels)
        began = time.perf_counter()
        found = inverter.refine(pixels, start, args.steps)
        seconds.append(time.perf_counter() - began)
        target = pixels[0].numpy()
        through_w = replace(found, ws=generator.broadcast(found.w))
        for values, inversion in ((before, start), (after_w, through_w), (after, found)):
            values.append(cv2.PSNR(target, renderer.render(inversion.ws)[0].numpy()))
        print(f"{before[-1]:6.2f} dB -> w {after_w[-1]:6.2f}, ws {after[-1]:6.2f} dB, {found.steps} steps")
    medians = [statistics.median(values) for values in (before, after_w, after, seconds)]
    print("median: encoder {:.2f} dB, w {:.2f} dB, ws {:.2f} dB, {:.1f} s a face".format(*medians))


if __name__ == "__main__":
    main()
