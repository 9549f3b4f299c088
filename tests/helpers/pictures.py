"""Pictures that several tests make, and the files that they put them into."""

import io
import tarfile

import numpy as np
from PIL import Image


def picture(width=64, height=48):
    """Smooth colours, so that lossy formats stay close; no symmetry."""
    y, x = np.mgrid[:height, :width]
    channels = x * 200 // width, y * 220 // height, (x + y) * 120 // (width + height) + 60
    return np.stack(channels, axis=-1).astype(np.uint8)


def two_faces(portrait):
    """A portrait [512, 512, 3] twice on grey, the second time smaller: pixels [512, 900, 3]."""
    pixels = np.full((512, 900, 3), 120, np.uint8)
    pixels[:, :512] = portrait
    pixels[60:444, 514:898] = np.asarray(Image.fromarray(portrait).resize((384, 384)))
    return pixels


def encoded(image, fmt, **options):
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, fmt, **options)
    return stream.getvalue()


def write_shard(path, pictures):
    """A WebDataset shard of PNGs; pictures: uint8 arrays [H, W, 3]."""
    with tarfile.open(path, "w") as tar:
        for number, pixels in enumerate(pictures):
            data = encoded(pixels, "PNG")
            info = tarfile.TarInfo(f"{number:04}.png")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
