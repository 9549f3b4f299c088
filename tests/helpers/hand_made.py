"""TIFFs and PNGs that no library writes, put together byte by byte."""

import struct
import zlib

import numpy as np

FORMATS = {"u": 1, "i": 2, "f": 3}  # kind of a NumPy type -> SampleFormat


def tiff(samples, photometric, *, order="<", planes=False, extra=None, deflate=False, bits=None, data=None):
    """A TIFF of `samples` [H, W] or [H, W, C]; `data` are its bytes where NumPy has no such samples."""
    height, width = samples.shape[:2]
    count = 1 if samples.ndim == 2 else samples.shape[2]
    stored = samples.astype(samples.dtype.newbyteorder(order))
    strips = [stored[..., channel] for channel in range(count)] if planes else [stored]
    strips = [data] if data is not None else [strip.tobytes() for strip in strips]
    strips = [zlib.compress(strip) for strip in strips] if deflate else strips
    kind = FORMATS[samples.dtype.kind]
    tags = {
        256: [width],
        257: [height],
        258: [bits or 8 * samples.dtype.itemsize] * count,
        259: [8 if deflate else 1],
        262: [photometric],
        273: [0] * len(strips),
        277: [count],
        278: [height],
        279: list(map(len, strips)),
        284: [2 if planes else 1],
        **({} if extra is None else {338: [extra]}),
        339: [kind] * count,
    }
    end = 8 + 2 + 12 * len(tags) + 4
    long = {tag for tag, values in tags.items() if len(values) > 1}
    start = end + sum(4 * len(tags[tag]) for tag in long)
    tags[273] = [start + sum(map(len, strips[:number])) for number in range(len(strips))]
    entries, blob = b"", b""
    for tag, values in tags.items():
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if tag in long:
            blob += packed
            packed = struct.pack(f"{order}I", end + len(blob) - len(packed))
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + packed
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + entries + bytes(4) + blob + b"".join(strips)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(samples, *chunks, bits=8):
    """A PNG of `samples` [H, W] or [H, W, C], C of 2 to 4; `chunks` come before its data."""
    height, width = samples.shape[:2]
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[1 if samples.ndim == 2 else samples.shape[2]]
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    if bits < 8:
        places = np.arange(bits - 1, -1, -1)
        rows = [np.packbits((row[:, None] >> places & 1).astype(np.uint8)).tobytes() for row in samples]
    else:
        rows = [row.astype(f">u{bits // 8}").tobytes() for row in samples]
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + b"".join(chunks)
        + chunk(b"IDAT", body)
        + chunk(b"IEND", b"")
    )
