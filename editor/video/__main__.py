"""Edit a clip from the shell: `python -m editor video IN.mp4 --set smile=1 --out OUT.mp4`."""

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from editor.model.opening import model_of_results
from editor.model.source import resolve_model
from editor.photo.export import edit_note
from editor.pipeline import Editor, open_editor
from editor.recipe import parse_edits
from editor.video.edits import EditsFrames
from editor.video.reading import open_clip
from editor.video.run import Progress, run_video
from editor.video.writing import CRF, MAX_CRF, SUFFIXES
from inversion.chain.inversion import Space
from stylegan2.bundle.opening import DEFAULT_BUNDLE
from stylegan2.engines.engine import DEVICES, ENGINES
from stylegan2.errors import ConfigError, StyleGANError


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command line."""
    parser = argparse.ArgumentParser(
        "python -m editor video",
        description="Edit the faces of a clip, and write it with its sound. The same command goes on with a "
        "run that was broken off.",
    )
    parser.add_argument("clip", help="an MP4, MOV, MKV, WebM or AVI file")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=STRENGTH",
                        help="an edit, in its unit; may be repeated")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="OUT.mp4",
                        help=f"where to write the clip: {', '.join(SUFFIXES)}")  # fmt: skip
    parser.add_argument("--every-face", action="store_true", help="edit all faces; the largest, without")
    parser.add_argument("--space", choices=("w", "w+", "f"), default="w", help="latents to edit (default w)")
    parser.add_argument("--crf", type=int, default=CRF,
                        help=f"0 to {MAX_CRF}: lower is nearer to the clip (default {CRF})")  # fmt: skip
    parser.add_argument("--model", default=DEFAULT_BUNDLE,
                        help="a bundle's folder, a weights file, or owner/name of Hugging Face")  # fmt: skip
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--engine", choices=ENGINES, default="auto")
    parser.add_argument("--json", action="store_true", help="print what happened as one line of JSON")
    return parser


def open_edits(
    editor: Editor, strengths: Mapping[str, float], *, every_face: bool, space: Space
) -> EditsFrames:
    """What finds, follows and edits the faces."""
    from editor.motion.moving import MovingEdit

    edits: EditsFrames = MovingEdit(editor, strengths, every_face=every_face, space=space)
    return edits


def show_progress(progress: Progress) -> None:
    """One line on a terminal's error stream that overwrites itself."""
    if sys.stderr.isatty():
        minutes, seconds = divmod(round(progress.left), 60)
        print(
            f"\rframe {progress.frame}/{progress.frames}, {progress.per_second:.1f} a second, "
            f"{minutes}:{seconds:02d} left ",
            end="\n" if progress.frame == progress.frames else "",
            file=sys.stderr,
        )


class Stopped(BaseException):
    """The process was asked to end."""


@contextmanager
def stopping() -> Iterator[None]:
    """Let SIGTERM raise `Stopped`, as Ctrl-C raises KeyboardInterrupt."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do what the flags say; returns what happened."""
    _check(args)
    strengths = parse_edits(args.set)
    clip = open_clip(args.clip)
    editor = open_editor(resolve_model(args.model), device=args.device, engine=args.engine)
    editor.directions.check(strengths)
    editor.prepare()
    editor.wait()  # all frames come of the same engine, also those after a run was broken off
    settings = {
        "model": model_of_results(editor.sha256, editor.generator),
        "device": args.device,
        "engine": args.engine,
        "strengths": strengths,
        "every_face": args.every_face,
        "space": args.space,
    }
    with editor.detector:
        edits = open_edits(editor, strengths, every_face=args.every_face, space=args.space)
        report = run_video(
            edits,
            clip,
            args.out,
            settings=settings,
            note=edit_note(strengths, edited="Video"),
            crf=args.crf,
            tell=show_progress,
        )
    return {
        "out": str(args.out),
        "frames": report.frames,
        "frames_with_face": report.changed,
        "frames_done_before": report.before,
        "seconds": round(report.seconds, 2),
        "frames_per_second": round(report.per_second, 2),
        "notes": list(report.notes),
    }


def _check(args: argparse.Namespace) -> None:
    """Refuse flags that cannot be, before anything is opened."""
    if args.out is None:
        raise ConfigError("--out: missing; name the clip to write")
    if args.out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out: {args.out}; must end in one of {', '.join(SUFFIXES)}")
    if args.out.resolve() == Path(args.clip).resolve():
        raise ConfigError(f"--out: {args.out} is the clip itself; name another file")
    if not 0 <= args.crf <= MAX_CRF:
        raise ConfigError(f"--crf: {args.crf}; must be from 0 to {MAX_CRF}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 2 where the clip, a flag or the weights are at fault, 130 or 143 where it was stopped."""
    args = build_parser().parse_args(argv)
    try:
        with stopping():
            report = run(args)
    except StyleGANError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Stopped) as stop:
        print("\nstopped: the same command goes on where this one ended", file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(stop, Stopped) else signal.SIGINT)
    if args.json:
        print(json.dumps(report))
    else:
        speed = f"{report['frames_per_second']} frames a second"
        print(
            f"wrote {report['out']}: {report['frames']} frames, {report['frames_with_face']} of them edited, "
            f"{speed}",
            *report["notes"],
            sep="\n",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
