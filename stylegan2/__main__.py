"""Commands on weights files: `python -m stylegan2 inspect|convert|export`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from inversion.published import check_encoder
from stylegan2.bundle.block import load_bundle_generator
from stylegan2.bundle.checkpoint import file_sha256, load_generator
from stylegan2.bundle.conversion import (
    ASSUMED_CROP,
    UNKNOWN_LICENCE,
    bundle_around,
    content_in,
    convert_file,
    runs_here,
)
from stylegan2.bundle.folder import CropConfig, ModelBundle
from stylegan2.bundle.opening import load_bundle
from stylegan2.command import exit_status
from stylegan2.layouts.found import Found
from stylegan2.layouts.loading import check_generator
from stylegan2.layouts.recognise import recognise
from stylegan2.layouts.report import describe
from stylegan2.layouts.rosinality import channel_multiplier
from stylegan2.layouts.writing import save_rosinality
from stylegan2.onnx.files import OPSET, write_graphs
from stylegan2.onnx.graphs import GENERATOR_GUIDE, generator_graphs
from stylegan2.reading import read_document


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a mistake of the user ends with one line on stderr."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: options.run(options))


def build_parser() -> argparse.ArgumentParser:
    """Command line of `python -m stylegan2`."""
    parser = argparse.ArgumentParser(prog="python -m stylegan2", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    inspect = commands.add_parser("inspect", help="say what is in a weights file, without running it")
    inspect.add_argument("file", type=Path, metavar="FILE")
    _add_class(inspect)
    inspect.set_defaults(run=_inspect)

    convert = commands.add_parser("convert", help="make a model bundle of a weights file of any layout")
    convert.add_argument("file", type=Path, metavar="FILE")
    convert.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the bundle")
    convert.add_argument("--name", help="what people call the model [the file's name]")
    convert.add_argument("--licence", default=UNKNOWN_LICENCE, help="of the weights [%(default)s]")
    convert.add_argument("--force", action="store_true", help="write into a folder that is not empty")
    convert.add_argument(
        "--generator-only", action="store_true", help="leave out an encoder that the file has"
    )
    convert.add_argument(
        "--w-avg", type=Path, metavar="FILE", help="of the same generator: take the mean of W from it"
    )
    convert.add_argument(
        "--pictures",
        type=_size,
        metavar="WIDTHxHEIGHT",
        help="its pictures are no faces, and of this size in px (512x384): photos are cropped by boxes",
    )
    _add_class(convert)
    convert.set_defaults(run=_convert)

    export = commands.add_parser("export", help="write a generator for other projects' code")
    export.add_argument("model", type=Path, metavar="BUNDLE_OR_FILE")
    export.add_argument("--to", choices=["rosinality", "onnx"], required=True, help="whose layout")
    export.add_argument("--out", type=Path, required=True, metavar="FILE.pt|DIR", help="a folder for onnx")
    export.add_argument("--force", action="store_true", help="replace what is there")
    export.set_defaults(run=_export)
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)  # argparse says what is wrong


def _add_class(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--class", dest="class_number", type=int, metavar="N", help="of a conditional generator: what to draw"
    )


def _inspect(options: argparse.Namespace) -> None:
    found = recognise(read_document(options.file), options.class_number)
    lines = [
        ("file", f"{options.file} ({options.file.stat().st_size:,} bytes)"),
        ("sha256", file_sha256(options.file)),
        *describe(found),
    ]
    if found.config is not None:
        home = bundle_around(options.file)
        lines.append(("crop", _crop_of(found, home)))
    for what, finding in lines:
        print(f"{what + ':':14}{finding}")
    # What `convert` would refuse is refused here by the same words.
    check_generator(found)
    if runs_here(found):
        check_encoder(found)


def _convert(options: argparse.Namespace) -> None:
    loaded = convert_file(
        options.file,
        options.out,
        name=options.name,
        licence=options.licence,
        force=options.force,
        generator_only=options.generator_only,
        w_avg_from=options.w_avg,
        class_number=options.class_number,
        check_encoder=check_encoder,
        pictures=options.pictures,
    )
    bundle = load_bundle(options.out)
    print(f"{options.out}: {bundle.name}, {bundle.resolution} px, from {loaded.layout} layout")
    print(f"w_avg: {loaded.w_avg_source}; licence: {bundle.licence}")
    print(f"encoder: {'none' if bundle.inverter_path is None else bundle.inverter_path.name}")


def _export(options: argparse.Namespace) -> None:
    model: Path = options.model
    generator = load_bundle_generator(load_bundle(model)) if model.is_dir() else load_generator(model)
    if options.to == "onnx":
        found = write_graphs(options.out, generator_graphs(generator), GENERATOR_GUIDE, force=options.force)
        for name, difference in found.items():
            print(f"{options.out / name}.onnx: opset {OPSET}, within {difference:.1g} of torch")
        return
    save_rosinality(generator, options.out, force=options.force)
    multiplier = channel_multiplier(generator.config)
    size, depth = generator.img_resolution, generator.config.mapping_layers
    fits = (
        "its widths are not those of rosinality's own Generator, which must be changed to load it"
        if multiplier is None
        else f"loads into Generator({size}, {generator.w_dim}, {depth}, channel_multiplier={multiplier})"
    )
    print(f"{options.out}: {fits}")
    if generator.config.grown_from is not None:
        print(f"its {size} px block takes the style of another layer here: alike elsewhere for one w alone")
    if generator.config.conv_clamp is not None:
        limit = f"+-{generator.config.conv_clamp:g}"
        print(f"its activations are kept within {limit} here, which rosinality's code does not do")


def _crop_of(found: Found, home: ModelBundle | None) -> str:
    """How photos are cropped for a file's generator, and who says so."""
    origin = "FFHQ's, assumed" if home is None else f"of the bundle {home.name!r}"
    content = content_in(found) if home is None else home.content
    if content is not None:
        return f"a box with sides as {content.width:g} to {content.height:g}, drawn by hand; no faces"
    return _crop_words(ASSUMED_CROP if home is None else home.crop_config, origin)


def _crop_words(crop_config: CropConfig, origin: str) -> str:
    return f"scale {crop_config.scale:g}, center {crop_config.center:g} ({origin})"


if __name__ == "__main__":
    sys.exit(main())
