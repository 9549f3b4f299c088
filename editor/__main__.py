"""Edit a photo: `python -m editor PHOTO --set smile=1 --out OUT.jpg`; more: `editor.batch`, `.video`."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from editor.batch.__main__ import main as batch_main
from editor.face.box import parse_box
from editor.face.photo import FacePhoto, describe_face, face_line
from editor.measure.detail import crop_psnr
from editor.model.source import resolve_model
from editor.photo.export import save_png
from editor.photo.writing.credentials import Credentials
from editor.photo.writing.saving import SUFFIXES
from editor.photo_editing import crop_of, edited_session, save, start
from editor.photo_session import VIEW_PIXELS, PhotoSession
from editor.pipeline import OPTIMISATION_STEPS, Editor, open_editor
from editor.recipe import load_recipe, parse_edits, repeat
from editor.video.__main__ import main as video_main
from inversion.optimise.search import Progress
from stylegan2.bundle.opening import DEFAULT_BUNDLE
from stylegan2.engines.engine import DEVICES, ENGINES
from stylegan2.errors import ConfigError, StyleGANError


class _OfFace(argparse.Action):
    """Notes an edit under the face that was named last."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 (argparse's own type)
        option_string: str | None = None,
    ) -> None:
        edits: dict[int | None, list[str]] = dict(namespace.edits)
        if self.dest == "face":
            namespace.face = values
            edits.setdefault(values, [])
        else:
            edits[namespace.face] = [*edits.get(namespace.face, []), values]
        namespace.edits = edits


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command line."""
    parser = argparse.ArgumentParser(
        "python -m editor",
        description="Edit faces of a photo, and save the photo with the edits in it. Many photos: "
        "`python -m editor batch --help`; a clip: `python -m editor video --help`.",
    )
    parser.set_defaults(edits={})
    parser.add_argument("photo", help="any common image file")
    parser.add_argument("--face", type=int, default=None, action=_OfFace, metavar="N",
                        help="the face that each --set after it is for; the largest, without")  # fmt: skip
    parser.add_argument("--set", action=_OfFace, metavar="NAME=STRENGTH",
                        help="an edit, in its unit; may be repeated")  # fmt: skip
    parser.add_argument("--box", metavar="X,Y,WIDTH",
                        help="edit this part of the photo, in px, and look for no face; its height "
                        "follows from the model")  # fmt: skip
    parser.add_argument("--edit", metavar="EDIT.json",
                        help="do what an edit says that the app saved")  # fmt: skip
    parser.add_argument("--faces", action="store_true",
                        help="print every face with its number and box, and edit nothing")  # fmt: skip
    parser.add_argument(
        "--out", metavar="OUT.jpg", help="where to write the photo, as .jpg, .png or .webp, at its own size"
    )
    parser.add_argument(
        "--crop",
        metavar="CROP.png",
        help="where to write the edited face, cut out and upright, at its own size",
    )
    parser.add_argument(
        "--reconstruction",
        metavar="REC.png",
        help="where to write the face as the model draws it, without edits",
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
    parser.add_argument(
        "--certificate", metavar="CHAIN.pem", help="signs Content Credentials (C2PA); with --key"
    )
    parser.add_argument("--key", metavar="KEY.pem", help="private key of --certificate")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--engine", choices=ENGINES, default="auto")
    parser.add_argument("--json", action="store_true", help="print what happened as one line of JSON")
    return parser


def show_progress(progress: Progress) -> bool:
    """One line on a terminal's error stream that overwrites itself; never cancels."""
    if sys.stderr.isatty():
        print(
            f"\roptimising {progress.space}: {progress.step}/{progress.steps}, {progress.psnr:.1f} dB ",
            end="",
            file=sys.stderr,
        )
    return True


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do what the flags say; returns what happened."""
    _check(args)
    recipe = load_recipe(args.edit) if args.edit else None
    box = recipe.box if recipe else parse_box(args.box) if args.box else None
    by_face = {face: parse_edits(texts) for face, texts in args.edits.items()} or {args.face: {}}
    sign = _credentials(args)
    # A single picture is drawn before another engine would be ready.
    engine = "torch" if args.engine == "auto" else args.engine
    model = resolve_model(args.model)
    editor = open_editor(model, device=args.device, engine=engine, identity=args.identity)
    for wanted in by_face.values():
        editor.directions.check(wanted)
    with editor.detector:
        # As large as the app looks at, where the edit comes from there: what is found is then the same.
        photo = editor.open_photo(args.photo, most_pixels=VIEW_PIXELS if recipe else None, box=box)
    listed = [describe_face(face) for face in photo.faces]
    if args.faces:
        return {"faces": listed}
    if recipe:
        opened = repeat(editor, start(editor, photo, photo.first), recipe, show_progress)
    else:
        opened = _opened(editor, photo, by_face, args)
    session = opened.session
    if args.out:
        save(editor, opened, args.out, sign=sign)
    if args.crop:
        save_png(args.crop, crop_of(editor, photo, session), session.strengths)
    reconstruction = editor.reconstruct(session)
    if args.reconstruction:
        save_png(args.reconstruction, session.content.cut(reconstruction), {})
    likeness = editor.likeness(session, reconstruction)
    return {
        "out": args.out,
        "faces": listed,
        "face": opened.chosen,
        "space": session.space,
        "strengths": dict(session.strengths),
        "psnr": round(crop_psnr(*map(session.content.cut, (session.crop, reconstruction))), 2),
        "identity": None if likeness is None else round(likeness, 4),
        "steps": session.inversion.steps,
        "milliseconds": {name: round(value, 1) for name, value in session.milliseconds.items()},
        "engine": editor.engine_name(session),
        "notes": list(session.notes),
    }


def _check(args: argparse.Namespace) -> None:
    """Refuse flags that go against each other."""
    if not (args.faces or args.out or args.crop or args.reconstruction):
        raise ConfigError("--out: missing; name what to write, or ask for --faces")
    if args.out and Path(args.out).suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out: {args.out}; must end in one of {', '.join(SUFFIXES)}")
    for name, file in (("--crop", args.crop), ("--reconstruction", args.reconstruction)):
        if file and Path(file).suffix.lower() != ".png":
            raise ConfigError(f"{name}: {file}; must end in .png")
    if args.edit and (args.edits or args.space or args.steps or args.box):
        words = "leave out --face, --set, --space, --steps and --box"
        raise ConfigError(f"--edit: says what to do by itself; {words}")


def _opened(
    editor: Editor,
    photo: FacePhoto,
    by_face: Mapping[int | None, Mapping[str, float]],
    args: argparse.Namespace,
) -> PhotoSession:
    """The photo with the edits that flags name."""
    edits = {photo.first if face is None else face: wanted for face, wanted in by_face.items()}
    sessions = {
        face: edited_session(
            editor,
            editor.invert(photo, face),
            wanted,
            space=args.space,
            steps=args.steps,
            progress=show_progress,
        )
        for face, wanted in edits.items()
    }
    return PhotoSession(
        photo=photo, sessions=sessions, chosen=photo.first if args.face is None else args.face
    )


def _credentials(args: argparse.Namespace) -> Credentials | None:
    if bool(args.certificate) != bool(args.key):
        raise ConfigError("--certificate and --key: one is missing; signing needs both")
    return Credentials(Path(args.certificate), Path(args.key)) if args.key else None


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 2 where the photo, a flag or the weights are at fault."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["batch"]:
        return batch_main(argv[1:])
    if argv[:1] == ["video"]:
        return video_main(argv[1:])
    args = build_parser().parse_args(argv)
    try:
        report = run(args)
    except StyleGANError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(report))
    elif args.faces:
        print(*map(face_line, report["faces"]), sep="\n")
    else:
        written = ", ".join(name for name in (args.out, args.crop, args.reconstruction) if name)
        print(f"wrote {written}: reconstruction {report['psnr']} dB", *report["notes"], sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
