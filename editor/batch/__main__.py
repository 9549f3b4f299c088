"""Edit many photos from the shell: `python -m editor batch PHOTOS --set smile=1 --out FOLDER`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from editor.batch.run import BatchWork, Done, run_batch
from editor.batch.sources import find_items
from editor.model.source import resolve_model
from editor.pipeline import open_editor
from editor.recipe import parse_edits
from stylegan2.bundle.opening import DEFAULT_BUNDLE
from stylegan2.engines.engine import DEVICES, ENGINES
from stylegan2.errors import ConfigError, StyleGANError


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command line."""
    parser = argparse.ArgumentParser(
        "python -m editor batch",
        description="Edit all photos of a folder or of tar shards. The same command goes on with a run that "
        "was broken off; `accelerate launch` or RANK and WORLD_SIZE share the work among processes.",
    )
    parser.add_argument("photos", help="a folder, which may hold .tar shards, or one shard")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=STRENGTH",
                        help="an edit, in its unit; may be repeated")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write the edited photos")
    parser.add_argument("--latents", type=Path, metavar="FOLDER",
                        help="where to write w, ws and f of every face, as safetensors")  # fmt: skip
    parser.add_argument("--every-face", action="store_true", help="edit all faces; the largest, without")
    parser.add_argument("--space", choices=("w", "w+", "f"), help="latents to edit (default: the best)")
    parser.add_argument("--steps", type=int, default=0, help="optimisation steps in each space (default 0)")
    parser.add_argument("--again", action="store_true", help="try again what failed before")
    parser.add_argument("--model", default=DEFAULT_BUNDLE,
                        help="a bundle's folder, a weights file, or owner/name of Hugging Face")  # fmt: skip
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--engine", choices=ENGINES, default="auto")
    return parser


def share() -> tuple[int, int]:
    """Which of how many processes this is, as `accelerate launch` and `torchrun` say.

    Raises:
        ConfigError: They say something that cannot be.
    """
    texts = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if all(text.isdecimal() for text in texts) and int(texts[0]) < int(texts[1]):
        return int(texts[0]), int(texts[1])
    raise ConfigError(f"RANK={texts[0]!r}, WORLD_SIZE={texts[1]!r}: must be whole numbers, the first below")


def run(args: argparse.Namespace) -> Done:
    """Do what the flags say."""
    if args.out is None and args.latents is None:
        raise ConfigError("--out: missing; name a folder for the edited photos, or one for --latents")
    photos = Path(args.photos).resolve()
    for name, folder in (("--out", args.out), ("--latents", args.latents)):
        if folder is not None and folder.resolve().is_relative_to(photos):
            raise ConfigError(f"{name}: {folder} lies among the photos; name a folder beside them")
    part, items = share(), find_items(photos)
    work = BatchWork(
        strengths=parse_edits(args.set),
        every_face=args.every_face,
        space=args.space,
        steps=args.steps,
        out=args.out,
        latents=args.latents,
    )
    editor = open_editor(resolve_model(args.model), device=args.device, engine=args.engine)
    editor.prepare()
    with editor.detector:
        return run_batch(
            editor, items, work, part=part, again=args.again, report=lambda line: print(line, file=sys.stderr)
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 2 where a flag, a folder or the weights are at fault, 1 where a photo failed."""
    args = build_parser().parse_args(argv)
    try:
        done = run(args)
    except StyleGANError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    earlier = f", {done.before} done before" if done.before else ""
    print(f"{done.edited} photos done, {done.failed} failed{earlier}")
    return 1 if done.failed else 0


if __name__ == "__main__":
    sys.exit(main())
