"""What else every edit changes: `python -m benchmarks.edits`.

Invented faces are moved in W and drawn; with `--data` photos are edited by the product's whole way, from the
256 px crop to the edited crop. Sex and age are told by networks that no edit was made with where
`--metrics-dir` holds such (the bundled directions were found with those of the project's metrics folder).
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.machine import describe
from editor.face.landmarks import FaceDetector
from editor.measure.attributes import find_mesh
from editor.model.opening import open_model
from editor.painter import Painter
from editor.parts.parser import FaceParser
from editor.transfer.paint import paint_crop
from editor.transfer.photo_transfer import PhotoTransfer
from inversion.directions.bank import DIRECTIONS_ROOT, find_directions
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from train.data.images import find_images, read_images
from train.directions.simulated_user import HIDDEN, simulate_users
from train.evaluate.config import DEFAULT_METRICS, PHOTO_SIDE
from train.evaluate.measure import load_metric_networks
from train.evaluate.photo.edits import FindOutline, invented_styles, measured_edits, photo_session
from train.evaluate.retention import open_instruments
from train.evaluate.side_effects import Edited, Watcher, measure_combinations, measure_side_effects
from train.evaluate.subject import SPACES, Subject

BAR = 0.3  # standard deviations by which an edit may move what it is not about


def invented(subject: Subject, count: int) -> Iterator[Edited]:
    """Invented faces, truly edited."""
    for seed in range(count):
        ws = invented_styles(subject, seed)
        yield lambda strengths, ws=ws: subject.truth(subject.directions.apply(ws, strengths))[0].numpy()


def photographed(
    subject: Subject, painter: Painter, data: str, count: int, space: str, outline: FindOutline
) -> Iterator[Edited]:
    """Photos, edited as the product does it."""
    for batch in read_images(find_images(data), PHOTO_SIDE, 16, limit=count):
        for pixels in batch.numpy():
            session = photo_session(subject, painter, pixels, outline)
            if session is not None:
                session = replace(session, space=space)

                def edited(strengths, pixels=pixels, session=session):  # type: ignore[no-untyped-def]
                    fields = painter.fields(replace(session, strengths=strengths))
                    return pixels if fields is None else paint_crop(pixels, fields)

                yield edited


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=80, help="invented [%(default)s]")
    parser.add_argument("--pairs", type=int, default=0, help="invented faces under two edits [%(default)s]")
    parser.add_argument("--data", help="cropped faces of 256 px: a shard or a folder")
    parser.add_argument("--photos", type=int, default=40, help="of them [%(default)s]")
    parser.add_argument("--space", choices=SPACES, default="f", help="of photos [%(default)s]")
    parser.add_argument("--metrics-dir", type=Path, default=DEFAULT_METRICS)
    parser.add_argument(
        "--users", type=int, default=0, help="simulated ones, for every attribute [%(default)s]"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.users:
        print_users(args)
    found, combined = measured(args)
    if args.json:
        print(json.dumps({**found, "pairs": combined}))
        return
    print(f"machine: {describe()}")
    for kind, edits in found.items():
        print(f"\n{kind}, at -1.5 / +1.5 standard deviations, or times the unit's size")
        print_ends(edits)
        print(f"own attribute, and others that move by more than {BAR} standard deviations")
        for name, edit in edits.items():
            ends = (f"{edit['own']} {edit[sign]['change']:+.2f}{dragged(edit[sign])}" for sign in "-+")
            print(f"{name:12}" + " / ".join(ends))
    if combined:
        print_pairs(combined)


def print_users(args: argparse.Namespace) -> None:
    """How well edits from 20 thumbs meet what simulated users have in mind."""
    with tqdm(total=args.users * len(HIDDEN), file=sys.stderr, mininterval=30) as bar:
        found = simulate_users(DEFAULT_BUNDLE, args.metrics_dir, args.users, bar.update)
    print("rank correlation of what a user judges by with the strength of the edit from 20 thumbs")
    for name, values in found.items():
        print(f"{name:12} median {median(values):.2f}, least {min(values):.2f}, of {len(values)} users")
    print(f"median of all: {median([value for values in found.values() for value in values]):.2f}")


def measured(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """What edits do, by the kind of faces; and pairs of them."""
    bundle = load_bundle(DEFAULT_BUNDLE)
    model, faces = open_model(bundle), FaceParser()
    transfer = PhotoTransfer(bundle.resolution)
    for part in (model, faces.engine, transfer):
        part.prepare()
        part.wait()
    generator = model.generator
    key = (bundle.generator_sha256, generator.w_dim, generator.num_ws)
    # As far as they are measured, wherever their sliders end.
    subject = Subject(model=model, directions=measured_edits(find_directions(*key, DIRECTIONS_ROOT)))
    painter = Painter(model.decoder, subject.directions, transfer)
    identity = load_metric_networks(args.metrics_dir, bundle, generator.w_avg.device).identity
    found, combined = {}, {}
    total = args.faces + args.pairs + (args.photos if args.data else 0)
    with (
        torch.no_grad(),
        open_instruments(args.metrics_dir) as measure_face,
        FaceDetector() as detector,
        tqdm(total=total, file=sys.stderr, mininterval=30) as bar,
    ):
        watcher = Watcher(measure_face=measure_face, parser=faces, identity=identity)
        told = partial(measure_side_effects, subject.directions, watcher=watcher, count=bar.update)
        if args.faces:
            found["invented faces"] = told(invented(subject, args.faces))
        if args.pairs:
            ways = invented(subject, args.pairs)
            combined = measure_combinations(subject.directions, ways, watcher, bar.update)
        if args.data:
            outline = partial(find_mesh, detector)
            ways = photographed(subject, painter, args.data, args.photos, args.space, outline)
            found[f"photos, {args.space}"] = told(ways)
    return found, combined


COLUMNS = {
    "sex flips": lambda end: f"{end['flips']:.0%}",
    "years": lambda end: f"{end['years']:+.1f}",
    "identity": lambda end: f"{end['identity']:.2f}",
    "corners": lambda end: f"{end['corners']:.0f}",
    "glasses": lambda end: f"{end['worn']['glasses']:.0%}",
    "hat": lambda end: f"{end['worn']['hat']:.0%}",
    "lost": lambda end: f"{1 - end['found']:.0%}",
}


def print_pairs(ends: dict[str, Any]) -> None:
    """The pairs in which most else moves, and how many stay within bars of half as much again."""
    print("\ninvented faces under two edits at a deviation each: the ten in which most else moves")
    most = {key: max(map(abs, end["others"].values()), default=0) for key, end in ends.items()}
    for key in [*sorted(most, key=lambda key: -most[key])[:10], "expressions"]:
        if key in ends:
            cells = "".join(f"{shown(ends[key]):>10}" for shown in COLUMNS.values())
            print(f"{key:24}{cells}{dragged(ends[key])}")
    within = sum(value <= 1.5 * BAR for value in most.values())
    print(f"{within} of {len(most)} move nothing else by more than {1.5 * BAR:g} deviations")


def dragged(end: dict[str, Any]) -> str:
    """What else has moved by more than the bar, largest first."""
    found = {name: change for name, change in end["others"].items() if abs(change) > BAR}
    named = [f"{name} {found[name]:+.2f}" for name in sorted(found, key=lambda name: -abs(found[name]))]
    return f" ({', '.join(named)})" if named else ""


def print_ends(edits: dict[str, Any]) -> None:
    """A line for every edit."""
    print(f"{'':12}" + "".join(f"{column:>16}" for column in COLUMNS) + f"{'rank':>8}{'uneven':>8}")
    for name, edit in edits.items():
        cells = "".join(f"{shown(edit['-']) + ' / ' + shown(edit['+']):>16}" for shown in COLUMNS.values())
        print(f"{name:12}{cells}{edit['rank']:8.2f}{edit['uneven']:8.0%}")


if __name__ == "__main__":
    main()
