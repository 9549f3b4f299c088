"""Commands on what inversion and editing need: `python -m inversion directions|export`."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from inversion.chain.onnx_graphs import inversion_graphs, inversion_guide
from inversion.directions.bank import imported_root
from inversion.directions.errors import DirectionError
from inversion.directions.foreign import read_directions
from inversion.directions.linear import EditDirection
from inversion.directions.target import DirectionTarget
from inversion.directions.writing import save_directions
from inversion.networks.checkpoint import load_encoder, load_refiners
from inversion.published import load_published
from inversion.published.onnx_graphs import published_graphs, published_guide
from stylegan2.bundle.block import load_bundle_generator
from stylegan2.bundle.opening import load_bundle
from stylegan2.command import exit_status
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.onnx.files import OPSET, Graph, write_graphs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a mistake of the user ends with one line on stderr."""
    options = build_parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    return exit_status(lambda: options.run(options))


def build_parser() -> argparse.ArgumentParser:
    """Command line of `python -m inversion`."""
    parser = argparse.ArgumentParser(prog="python -m inversion", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    directions = commands.add_parser("directions", help="take over edit directions of other projects")
    directions.add_argument("files", type=Path, nargs="+", metavar="FILE", help="or a folder of directions")
    directions.add_argument(
        "--model", type=Path, required=True, metavar="BUNDLE_OR_FILE", help="that they move"
    )
    directions.add_argument("--name", help="of the only direction [the file's name, or a known one]")
    directions.add_argument(
        "--layers", metavar="FIRST:END", help="styles that move, END excluded [the file's]"
    )
    directions.add_argument(
        "--range", metavar="LOW:HIGH", help="strengths in deviations [-3:3, or the file's]"
    )
    directions.add_argument("--out", type=Path, metavar="FOLDER", help="[in the cache, where the app looks]")
    directions.add_argument("--force", action="store_true", help="take what seems to be another generator's")
    directions.set_defaults(run=_directions)

    export = commands.add_parser("export", help="write a model's networks as ONNX files")
    export.add_argument("model", type=Path, metavar="MODEL", help="a bundle, or a file of CLCAE, pSp or e4e")
    export.add_argument("--out", type=Path, required=True, metavar="DIR")
    export.add_argument("--force", action="store_true", help="write into a folder that is not empty")
    export.set_defaults(run=_export)
    return parser


def _joined(arguments: Sequence[str]) -> list[str]:
    """`--range -3:3` as one word: argparse would take the second for an option."""
    words: list[str] = []
    for word in arguments:
        if words and words[-1] == "--range":
            words[-1] = f"--range={word}"
        else:
            words.append(word)
    return words


def _directions(options: argparse.Namespace) -> None:
    model = load_bundle(options.model)
    target = DirectionTarget(load_bundle_generator(model), model.generator_sha256, options.force)
    sources: list[Path] = options.files
    found = [(path, edit) for path in sources for edit in read_directions(path, target)]
    if options.name is not None and len(found) != 1:
        raise ConfigError(f"--name: for {len(found)} directions; it can name one only")
    edits = [_changed(edit, options, target.generator.num_ws) for _, edit in found]
    twice = [name for name, count in Counter(edit.name for edit in edits).items() if count > 1]
    if twice:
        raise DirectionError(
            f"{', '.join(twice)}: in several of the files; take these one at a time, with --name"
        )
    # Of different generators' copies of one file only the hash differs.
    own = f"{'-'.join(path.stem for path in sources)}-{model.generator_sha256[:8]}"
    folder: Path = options.out or imported_root() / own
    made_by = f"python -m inversion directions {' '.join(path.name for path in sources)}"
    save_directions(folder, edits, model.generator_sha256, made_by=made_by, force=options.force)
    for (path, _), edit in zip(found, edits, strict=True):
        print(f"{edit.name}: {_words(edit)}, from {path.name}")
    print(f"{folder}: {len(edits)} directions for {model.name} ({model.generator_sha256[:12]})")


def _export(options: argparse.Namespace) -> None:
    model = load_bundle(options.model)
    if model.inverter_path is not None:
        generator = load_bundle_generator(model)
        published = load_published(model.inverter_path, generator)
        published.draw_mean(generator)
        _write(options, published_graphs(generator, published), published_guide(published))
        return
    if model.encoder_path is None:
        raise CheckpointError(
            f"{options.model}: no encoder in it; python -m stylegan2 export --to onnx writes the generator"
        )
    generator, encoder = load_bundle_generator(model), load_encoder(model.encoder_path)
    refiners = None if model.refiners_path is None else load_refiners(model.refiners_path)
    graphs = inversion_graphs(generator, encoder, refiners)
    _write(options, graphs, inversion_guide(generator, encoder, refiners))


def _write(options: argparse.Namespace, graphs: Sequence[Graph], guide: str) -> None:
    for name, difference in write_graphs(options.out, graphs, guide, force=options.force).items():
        print(f"{options.out / name}.onnx: opset {OPSET}, within {difference:.1g} of torch")


def _changed(edit: EditDirection, options: argparse.Namespace, num_ws: int) -> EditDirection:
    if options.name is not None:
        edit = replace(edit, name=options.name, label=options.name)
    if options.layers is not None:
        first, end = (int(value) for value in _pair("--layers", options.layers, whole=True))
        if not 0 <= first < end <= num_ws:
            raise ConfigError(
                f"--layers: {options.layers}; must lie within 0:{num_ws}, the first below the end"
            )
        edit = replace(edit, layers=(first, end))
    if options.range is not None:
        low, high = _pair("--range", options.range)
        if not low <= 0 <= high or low == high:
            raise ConfigError(f"--range: {options.range}; must hold 0, for example -3:3")
        edit = replace(edit, range=(low, high))
    return edit


def _pair(option: str, text: str, *, whole: bool = False) -> tuple[float, float]:
    kind = int if whole else float
    try:
        low, high = (kind(part) for part in text.split(":"))
        if not abs(low) < 1e6 or not abs(high) < 1e6:
            raise ValueError
    except ValueError:
        numbers = "two whole numbers" if whole else "two numbers"
        raise ConfigError(f"{option}: {text!r}; must be {numbers} with a colon between them") from None
    return low, high


def _words(edit: EditDirection) -> str:
    shape = "one vector" if edit.direction.ndim == 1 else "a vector a layer"
    rule = {"absolute": "absolute coordinate"}.get(edit.rule, edit.rule)
    low, high = edit.range
    return (
        f"{shape}, {rule}, layers {edit.layers[0]}:{edit.layers[1]}, {low:g} to {high:g} x {edit.sigma:.3g}"
    )


if __name__ == "__main__":
    sys.exit(main())
