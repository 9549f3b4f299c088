"""Damaged photos and damaged weights files, some hundred of each: `python -m benchmarks.damage`.

Every file is a good one with bytes flipped, cut, doubled, zeroed or swapped, half of the time near its head.
It has to be read or refused by the project's own error; anything else is told with its number, which `--seed`
brings back.
"""

import argparse
import io
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, features

from benchmarks.machine import describe
from editor.errors import ImageInputError
from editor.photo.reading import check_pixels, load_photo
from inversion.published import check_encoder
from stylegan2 import Generator, GeneratorConfig, save_generator
from stylegan2.bundle.conversion import runs_here
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from stylegan2.errors import StyleGANError
from stylegan2.layouts.loading import check_generator
from stylegan2.layouts.recognise import recognise
from stylegan2.layouts.writing import save_rosinality
from stylegan2.reading import read_document

PHOTO = Path(__file__).resolve().parent.parent / "editor" / "ui" / "assets" / "astronaut.jpg"
HEAD = 4096  # bytes: where headers, tables and directories are
Damage = Callable[[bytearray, int, random.Random], None]


def _flip(data: bytearray, at: int, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 4, 32))):
        place = min(len(data) - 1, at + rng.randrange(64))
        data[place] ^= 1 << rng.randrange(8)


def _cut(data: bytearray, at: int, rng: random.Random) -> None:
    del data[at:]


def _drop(data: bytearray, at: int, rng: random.Random) -> None:
    del data[at : at + rng.randrange(1, 200)]


def _double(data: bytearray, at: int, rng: random.Random) -> None:
    data[at:at] = data[at : at + rng.randrange(1, 200)]


def _fill(data: bytearray, at: int, rng: random.Random) -> None:
    count = min(len(data) - at, rng.randrange(1, 200))
    data[at : at + count] = bytes([rng.choice((0, 255))]) * count


def _swap(data: bytearray, at: int, rng: random.Random) -> None:
    data[:] = data[at:] + data[:at]


DAMAGES: tuple[Damage, ...] = (_flip, _flip, _flip, _cut, _drop, _double, _fill, _swap)


def damaged(good: bytes, rng: random.Random) -> bytes:
    """`good` with one or two damages, no two alike."""
    data = bytearray(good)
    for _ in range(rng.choice((1, 1, 2))):
        if data:
            reach = min(len(data), HEAD) if rng.random() < 0.5 else len(data)
            rng.choice(DAMAGES)(data, rng.randrange(reach), rng)
    return bytes(data)


def photos() -> Iterator[tuple[str, bytes]]:
    """Good pictures of all formats that are taken, with profiles, EXIF or several frames."""
    with Image.open(PHOTO) as opened:
        image = opened.convert("RGB").resize((320, 320))
    exif, profile = Image.Exif(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif[274] = 6
    alpha = image.copy()
    alpha.putalpha(image.convert("L"))
    deep = Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257)
    more = {"save_all": True, "append_images": [image.rotate(90)]}
    yield from (
        ("JPEG", _encoded(image, "JPEG", exif=exif, icc_profile=profile)),
        ("JPEG, progressive", _encoded(image, "JPEG", progressive=True)),
        ("JPEG, CMYK", _encoded(image.convert("CMYK"), "JPEG")),
        ("MPO", _encoded(image, "MPO", **more)),
        ("PNG", _encoded(image, "PNG", exif=exif, icc_profile=profile)),
        ("PNG, palette", _encoded(image.quantize(64), "PNG", transparency=3)),
        ("PNG with alpha", _encoded(alpha, "PNG")),
        ("PNG, 16-bit grey", _encoded(deep, "PNG")),
        ("WebP", _encoded(image, "WEBP", exif=exif, icc_profile=profile)),
        ("WebP, lossless", _encoded(alpha, "WEBP", lossless=True)),
        ("WebP, moving", _encoded(image, "WEBP", **more)),
        ("GIF", _encoded(image.quantize(64), "GIF", **more)),
        ("BMP", _encoded(image, "BMP")),
        ("TIFF", _encoded(image, "TIFF", exif=exif)),
        ("TIFF, LZW", _encoded(image, "TIFF", compression="tiff_lzw")),
        ("TIFF, JPEG", _encoded(image, "TIFF", compression="jpeg")),
        ("TIFF, 32-bit float", _encoded(image.convert("F"), "TIFF")),
    )
    if features.check("avif"):
        yield "AVIF", _encoded(image, "AVIF")


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def weights(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Good weights files of a small generator, and the bundled model's smallest parts."""
    torch.manual_seed(0)
    channels = dict.fromkeys((4, 8, 16, 32), 16)
    config = GeneratorConfig(img_resolution=32, z_dim=16, w_dim=16, mapping_layers=2, channels=channels)
    generator = Generator(config).eval().requires_grad_(False)
    save_generator(generator, folder / "own.safetensors")
    save_rosinality(generator, folder / "rosinality.pt")
    document = torch.load(folder / "rosinality.pt", weights_only=True)
    torch.save(document, folder / "older.pt", _use_new_zipfile_serialization=False)
    for name in ("own.safetensors", "rosinality.pt", "older.pt"):
        yield name, (folder / name).read_bytes()


def read_weights(path: Path) -> None:
    """What `inspect` and `convert` do before they write."""
    found = recognise(read_document(path))
    check_generator(found)
    if runs_here(found):
        check_encoder(found)


def read_settings(path: Path) -> None:
    """The bundled model with another description."""
    shutil.copy(path, path.parent / "model" / "bundle.yaml")
    load_bundle(path.parent / "model")


def trial(
    title: str,
    files: dict[str, bytes],
    count: int,
    read: Callable[[bytes, str], None],
    error: type[Exception],
    seed: int,
) -> int:
    """Read `count` damaged files; print what came of them.

    Returns:
        How many ended in another way than being read or refused by `error`.
    """
    found: Counter[str] = Counter()
    slowest, names = (0.0, ""), sorted(files)
    for name in names:
        read(files[name], name)  # good as it is
    for number in range(count):
        name = names[number % len(names)]
        data = damaged(files[name], random.Random(f"{seed} {title} {number}"))
        start = time.perf_counter()
        try:
            read(data, name)
            found["read"] += 1
        except error:
            found["refused"] += 1
        except Exception:  # noqa: BLE001  (what is looked for)
            found["failed"] += 1
            print(f"{title} {number}, {name}:\n{traceback.format_exc()}")
        slowest = max(slowest, (time.perf_counter() - start, f"{name}, number {number}"))
    ways = ", ".join(f"{found[way]} {way}" for way in ("read", "refused", "failed"))
    print(
        f"{title}: {count} of {len(names)} kinds; {ways}; slowest {slowest[0]:.2f} s ({slowest[1]})",
        flush=True,
    )
    return found["failed"]


def main() -> int:
    """Print a line for photos, weights files and descriptions; exit status 1 where an error was not ours."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=700, help="damaged photos [%(default)s]")
    parser.add_argument("--weights", type=int, default=500, help="damaged weights files [%(default)s]")
    parser.add_argument("--descriptions", type=int, default=200, help="damaged bundle.yaml [%(default)s]")
    parser.add_argument(
        "--also", type=Path, nargs="*", default=[], metavar="FILE", help="weights to damage too"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "model").mkdir()
        for file in DEFAULT_BUNDLE.iterdir():
            if file.name != "bundle.yaml":
                (home / "model" / file.name).symlink_to(file)

        def written(read: Callable[[Path], None]) -> Callable[[bytes, str], None]:
            def reading(data: bytes, name: str) -> None:
                path = home / f"damaged{Path(name).suffix}"
                path.write_bytes(data)
                read(path)

            return reading

        files = {**dict(weights(home)), **{file.name: file.read_bytes() for file in options.also}}
        description = {"bundle.yaml": (DEFAULT_BUNDLE / "bundle.yaml").read_bytes()}
        seed = options.seed
        failed = (
            trial(
                "photos", dict(photos()), options.photos, lambda data, _: _read(data), ImageInputError, seed
            )
            + trial("weights", files, options.weights, written(read_weights), StyleGANError, seed)
            + trial(
                "descriptions", description, options.descriptions, written(read_settings), StyleGANError, seed
            )
        )
    return int(failed > 0)


def _read(data: bytes) -> None:
    pixels = load_photo(data)
    check_pixels("photo", pixels)


if __name__ == "__main__":
    sys.exit(main())
