"""What optimisation gains: `python -m benchmarks.optimise --data FACES.tar --steps 30`."""

import argparse
import statistics
import time

from benchmarks.machine import describe
from editor.measure.detail import crop_psnr
from inversion.chain.decoder import FeatureRenderer
from inversion.chain.inverter import Inverter
from inversion.networks.checkpoint import load_encoder, load_refiners
from stylegan2.bundle.block import load_bundle_generator
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from stylegan2.engines.renderer import Renderer
from train.data.images import find_images, read_images

ROW = "w {:.2f} -> {:.2f} dB, w+ {:.2f} -> {:.2f} dB, f {:.2f} -> {:.2f} dB; {:.1f} s a face"


def main() -> None:
    """Optimise some faces and print what each step brought."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="cropped faces: a shard or a folder")
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE)
    parser.add_argument("--faces", type=int, default=8)
    parser.add_argument("--steps", type=int, default=30, help="in each space")
    args = parser.parse_args()
    bundle = load_bundle(args.bundle)
    generator = load_bundle_generator(bundle)
    if bundle.encoder_path is None or bundle.refiners_path is None:
        raise SystemExit("the bundle has no encoder and refiners to start from")
    refiners = load_refiners(bundle.refiners_path).fold_attention()
    renderer = Renderer(generator, engine="torch")
    features = FeatureRenderer(generator, refiners, engine="torch")
    inverter = Inverter(
        generator,
        load_encoder(bundle.encoder_path),
        refiners=refiners,
        engine="torch",
    )
    print(f"machine: {describe()}")
    rows = []
    for pixels in read_images(find_images(args.data), bundle.resolution, 1, limit=args.faces):
        start = inverter.invert(pixels)
        began = time.perf_counter()
        found = inverter.optimise(pixels, start, args.steps)
        seconds = time.perf_counter() - began
        both = (start, found)
        drawn = [renderer.render(generator.broadcast(each.w)) for each in both]
        drawn += [renderer.render(each.ws) for each in both]
        drawn += [features.render(each.f.ws, each.f) for each in both if each.f is not None]
        rows.append([*(crop_psnr(pixels[0].numpy(), img[0].numpy()) for img in drawn), seconds])
        print(ROW.format(*rows[-1]) + f", {found.steps} steps")
    print("median: " + ROW.format(*(statistics.median(column) for column in zip(*rows, strict=True))))


if __name__ == "__main__":
    main()
