"""Other ways to carry a photo through an edit, beside the product's: `python -m benchmarks.transfer`.

Needs cropped faces of 256 px (`--data`) and the networks that measure (`--metrics-dir`). The closed form
moves the photo's residual along the optical flow between the model's pictures before and after the edit, and
lets go of it where these do not fit: "W, 30" is that of W with a misfit of 30 levels at which it keeps 1/e.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from benchmarks.machine import describe
from editor.face.landmarks import FaceDetector
from editor.measure.attributes import find_mesh
from editor.model.opening import OpenedModel, open_model
from editor.painter import Painter
from editor.parts.checkpoint import BUNDLED_PARSER
from editor.photo.colour import Pixels
from editor.session import EditSession
from editor.transfer.photo_transfer import PhotoTransfer
from inversion.chain.inversion import Space
from inversion.directions.bank import DIRECTIONS_ROOT, direction_folders, find_directions
from inversion.transfer.checkpoint import BUNDLED_TRANSFER
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.bundle.folder import ModelBundle
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from train.data.images import find_images, read_images
from train.evaluate.config import DEFAULT_METRICS, PHOTO_SIDE
from train.evaluate.measure import load_metric_networks
from train.evaluate.photo.edits import Instruments, measure_photo_edits
from train.evaluate.photo.notebook import Notebook
from train.evaluate.retention import open_instruments
from train.evaluate.subject import SPACES, Subject

FLOW_SIDE = 256  # px at which the flow is sought
SIGMAS = {"f": 14.0, "w": 30.0}  # levels of misfit, the best of the closed form in each space


class ClosedForm:
    """The photo's residual, moved by optical flow."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def edit(
        self, space: Space, session: EditSession, photo: Pixels, strengths: Mapping[str, float]
    ) -> Pixels:
        """The photo, edited in a space."""
        decoder, found = self._subject.model.decoder, session.inversion
        drawn = decoder.draw(found, space)[0].numpy()
        edits = self._subject.directions
        edited = decoder.draw(found, space, lambda ws: edits.apply(ws, strengths))[0].numpy()
        side = len(photo)
        before, after = _large(drawn, FLOW_SIDE), _large(edited, FLOW_SIDE)
        grey = [cv2.cvtColor(_levels(x), cv2.COLOR_RGB2GRAY) for x in (before, after)]
        flow = cv2.GaussianBlur(self._dis.calc(grey[1], grey[0], None), (0, 0), 3)
        misfit = cv2.GaussianBlur(np.abs(after - _moved(before, flow)).mean(2), (0, 0), 2.5)
        confidence = cv2.resize(np.exp(-((misfit / SIGMAS[space]) ** 2)), (side, side))[..., None]
        missing = photo.astype(np.float32) - _large(drawn, side)
        flow = cv2.resize(flow, (side, side)) * (side / FLOW_SIDE)
        return _levels(_large(edited, side) + confidence * _moved(missing, flow))

    def mean(self, session: EditSession, photo: Pixels, strengths: Mapping[str, float]) -> Pixels:
        """The mean of both spaces."""
        pair = [self.edit(space, session, photo, strengths).astype(np.float32) for space in ("w", "f")]
        return _levels((pair[0] + pair[1]) / 2)


def _large(pixels: Pixels, side: int) -> np.ndarray:
    return cv2.resize(pixels.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)


def _levels(pixels: np.ndarray) -> Pixels:
    return np.rint(pixels).clip(0, 255).astype(np.uint8)


def _moved(pixels: np.ndarray, flow: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[0 : len(pixels), 0 : len(pixels)].astype(np.float32)
    there = x + flow[..., 0], y + flow[..., 1]
    return cv2.remap(pixels, *there, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def told_settings(bundle: ModelBundle, model: OpenedModel, args: argparse.Namespace) -> dict[str, Any]:
    """All that the numbers of a face depend on."""
    files = [args.weights or BUNDLED_TRANSFER, BUNDLED_PARSER]
    for folder in direction_folders(bundle.generator_sha256):
        files += sorted(file for file in folder.rglob("*") if file.is_file())
    return {
        "model": [bundle.generator_sha256, bundle.encoder_sha256, bundle.refiners_sha256]
        + ([bundle.block_sha256] if bundle.block_sha256 else []),
        "engines": model.engines,
        "files": {file.name: file_sha256(file)[:16] for file in files},
        "data": args.data,
        "ways": [*args.spaces, "alone" if args.alone else "and others"],
    }


def arguments() -> argparse.Namespace:
    """What the command was told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="cropped faces: a shard or a folder")
    parser.add_argument("--model", type=Path, default=DEFAULT_BUNDLE, help="a bundle's folder")
    parser.add_argument("--photos", type=int, default=32)
    parser.add_argument("--invented", type=int, default=32)
    parser.add_argument("--metrics-dir", type=Path, default=DEFAULT_METRICS)
    parser.add_argument("--weights", type=Path, help="another transfer network")
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=["f"], help="of the product")
    parser.add_argument("--alone", action="store_true", help="the product alone, without the closed forms")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--notebook", type=Path, help="a folder by which a run that was ended goes on")
    parser.add_argument("--part", type=int, default=0, help="of --parts, from 0: measure these faces alone")
    parser.add_argument("--parts", type=int, default=1, help="processes that share a notebook")
    args = parser.parse_args()
    if not 0 <= args.part < args.parts or (args.parts > 1 and args.notebook is None):
        parser.error(f"--part: {args.part}; must be one of --parts {args.parts}, which need a --notebook")
    return args


def main() -> None:
    """Measure and print."""
    args = arguments()
    bundle = load_bundle(args.model)
    model = open_model(bundle)
    transfer = PhotoTransfer(bundle.resolution, weights=args.weights)
    for part in (model, transfer):
        part.prepare()
        part.wait()
    generator = model.generator
    key = (bundle.generator_sha256, generator.w_dim, generator.num_ws)
    subject = Subject(model=model, directions=find_directions(*key, DIRECTIONS_ROOT))
    painter = Painter(model.decoder, subject.directions, transfer)
    networks = load_metric_networks(args.metrics_dir, bundle, generator.w_avg.device)
    closed = ClosedForm(subject)
    others = {
        "closed form, F, 14": partial(closed.edit, "f"),
        "closed form, W, 30": partial(closed.edit, "w"),
        "closed form, mean of both": closed.mean,
    }
    photos = torch.cat(list(read_images(find_images(args.data), PHOTO_SIDE, 16, limit=args.photos)))
    with (
        open_instruments(args.metrics_dir) as measure_face,
        FaceDetector() as detector,
        tqdm(total=args.photos + args.invented, file=sys.stderr, mininterval=30) as bar,
    ):
        found = measure_photo_edits(
            subject,
            painter,
            photos,
            Instruments(
                measure_face=measure_face, outline=partial(find_mesh, detector), identity=networks.identity
            ),
            true_faces=args.invented,
            spaces=tuple(args.spaces),
            others={} if args.alone else others,
            count=bar.update,
            notebook=Notebook(
                args.notebook, told_settings(bundle, model, args), part=args.part, parts=args.parts
            ),
        )
    if args.parts > 1:
        print(f"part {args.part} of {args.parts} is in {args.notebook}; without --parts all are put together")
        return
    if args.json:
        print(json.dumps(found))
        return
    print(f"machine: {describe()}")
    for kind in ("real", "truth"):
        for way, values in found[kind].items():
            shown = {k: round(v, 3) for k, v in values.items() if isinstance(v, float)}
            print(f"{kind:6}{way:28}", ", ".join(f"{k} {v}" for k, v in shown.items()))
    for way, values in found["real"].items():
        kept = {name: round(each["kept"], 2) for name, each in values["by_edit"].items()}
        print(f"kept by edit, {way}: {kept}")
    print(f"a slider's smallest step: {found['steady']}")


if __name__ == "__main__":
    main()
