"""Edit a photo from the shell: `python -m editor PHOTO --set smile=1.5 --out OUT.png`."""

import argparse
import json
import sys
from collections.abc import Sequence

from editor.measure.detail import crop_psnr
from editor.model.source import resolve_model
from editor.photo.export import save_png
from editor.pipeline import OPTIMISATION_STEPS, open_editor
from inversion.directions.errors import StrengthError
from inversion.optimise.search import Progress
from stylegan2.bundle.opening import DEFAULT_BUNDLE
from stylegan2.engines.engine import DEVICES, ENGINES
from stylegan2.errors import StyleGANError


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command line."""
    parser = argparse.ArgumentParser(
        "python -m editor", description="Invert the largest face of a photo and edit it."
    )
    parser.add_argument("photo", help="any common image file")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=STRENGTH", dest="edits",
                        help="an edit, in standard deviations; may be repeated")  # fmt: skip
    parser.add_argument("--out", required=True, metavar="OUT.png", help="where to write the edited face")
    parser.add_argument(
        "--reconstruction", metavar="REC.png", help="where to write the inverted face without edits"
    )
    parser.add_argument(
        "--crop", metavar="CROP.png", help="where to write the cropped face that was inverted"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=0,
        help="optimisation steps after the encoder, in each space "
        f"(default 0; without an encoder {OPTIMISATION_STEPS})",
    )
    parser.add_argument(
        "--space", choices=("w", "w+", "f"), help="latents to draw and edit (default: the most faithful)"
    )
    parser.add_argument(
        "--model",
        default=DEFAULT_BUNDLE,
        help="a bundle's folder, a weights file, or owner/name of Hugging Face",
    )
    parser.add_argument("--identity", help="an ONNX face network (ArcFace family): reports the identity")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--engine", choices=ENGINES, default="auto")
    parser.add_argument("--json", action="store_true", help="print what happened as one line of JSON")
    return parser


def parse_edits(texts: Sequence[str]) -> dict[str, float]:
    """["smile=1.5"] -> {"smile": 1.5}.

    Raises:
        StrengthError: Not of the form NAME=NUMBER.
    """
    edits = {}
    for text in texts:
        name, separator, number = text.partition("=")
        try:
            edits[name.strip()] = float(number)
        except ValueError:
            raise StrengthError(f"--set {text!r}: must be NAME=NUMBER, for example smile=1.5") from None
        if not separator:
            raise StrengthError(f"--set {text!r}: must be NAME=NUMBER, for example smile=1.5")
    return edits


def show_progress(progress: Progress) -> bool:
    """One line on a terminal's error stream that overwrites itself; never cancels."""
    if sys.stderr.isatty():
        print(
            f"\roptimising {progress.space}: {progress.step}/{progress.steps}, {progress.psnr:.1f} dB ",
            end="",
            file=sys.stderr,
        )
    return True


def run(args: argparse.Namespace) -> dict[str, object]:
    """Do what the flags say; returns what happened."""
    edits = parse_edits(args.edits)
    # A single picture is drawn before another engine would be ready.
    engine = "torch" if args.engine == "auto" else args.engine
    model = resolve_model(args.model)
    editor = open_editor(model, device=args.device, engine=engine, identity=args.identity)
    editor.directions.check(edits)
    with editor.detector:
        session = editor.edit(editor.invert(args.photo), edits)
    if args.space:
        session = editor.enter(session, args.space)
    steps = args.steps or (OPTIMISATION_STEPS if editor.awaits_fit(session) else 0)
    if steps:
        session = editor.optimise(session, steps, show_progress)
    reconstruction = editor.reconstruct(session)
    likeness = editor.likeness(session, reconstruction)
    save_png(args.out, editor.render(session), session.strengths)
    if args.reconstruction:
        save_png(args.reconstruction, reconstruction, {})
    if args.crop:
        save_png(args.crop, session.crop, {})
    return {
        "out": str(args.out),
        "space": session.space,
        "strengths": dict(session.strengths),
        "psnr": round(crop_psnr(session.crop, reconstruction), 2),
        "identity": None if likeness is None else round(likeness, 4),
        "steps": session.inversion.steps,
        "milliseconds": {name: round(value, 1) for name, value in session.milliseconds.items()},
        "engine": editor.engine_name(session),
        "notes": list(session.notes),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 2 where the photo, a flag or the weights are at fault."""
    args = build_parser().parse_args(argv)
    try:
        report = run(args)
    except StyleGANError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(report))
    else:
        print(f"wrote {report['out']}: reconstruction {report['psnr']} dB", *report["notes"], sep="\n")  # type: ignore[misc]
    return 0


if __name__ == "__main__":
    sys.exit(main())
