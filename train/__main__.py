"""Commands of training: `python -m train generator|contrastive|inversion|refiners|directions|evaluate`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from stylegan2.bundle import DEFAULT_BUNDLE
from stylegan2.errors import ConfigError, StyleGANError
from stylegan2.settings import read_settings, settings_to_dict
from train.assemble import build_contrastive, build_generator, build_inversion, build_refinement
from train.config import ContrastiveConfig, InversionConfig
from train.directions_config import DirectionsConfig
from train.edit_truth import FACES as EDIT_FACES
from train.evaluate import as_table, evaluate
from train.generator_config import GeneratorTrainingConfig
from train.logbook import REPOSITORY
from train.loop import Stage, training_loop
from train.memory import keep_memory
from train.processes import leaving_together
from train.refinement_config import RefinementConfig
from train.retention import FACES as RETENTION_FACES

DEFAULT_METRICS = REPOSITORY.parent / "shared" / "models" / "metrics"
SIGNAL_EXIT = 128  # added to the number of the signal that stopped a run, as shells do


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit code 0, 2 for an error of the user's, or 128 + signal for a stopped run."""
    options = build_parser().parse_args(arguments)
    keep_memory()
    try:
        return int(options.run(options))
    except StyleGANError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command line."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(
        required=True, metavar="generator|contrastive|inversion|refiners|directions|evaluate"
    )

    for name, help_text, run in (
        ("generator", "train a generator from pictures", _generator),
        ("contrastive", "train the aligner of pictures and W", _contrastive),
        ("inversion", "train the encoder img -> w", _inversion),
        ("refiners", "train the refiners of W+ and F", _refiners),
        ("directions", "find edit directions", _directions),
    ):
        stage = commands.add_parser(name, help=help_text)
        settings = f"settings, as train/configs/{name}.yaml"
        stage.add_argument("--config", type=Path, required=True, help=settings)
        stage.add_argument("--set", action="append", default=[], metavar="A.B=C", help="change one setting")
        stage.set_defaults(run=run)
        if run is not _directions:
            stage.add_argument("--resume", action="store_true", help="go on where the run's folder stopped")

    measure = commands.add_parser("evaluate", help="measure reconstructions of aligned faces")
    measure.add_argument(
        "--data", required=True, help="tar shards (braces and wildcards allowed) or a folder"
    )
    measure.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help="model bundle [%(default)s]")
    measure.add_argument("--encoder", type=Path, help="encoder file instead of the bundle's")
    measure.add_argument("--aligner", type=Path, help="aligner file instead of the bundle's, if it has one")
    measure.add_argument("--refiners", type=Path, help="refiners file instead of the bundle's")
    measure.add_argument(
        "--edit-faces", type=int, default=EDIT_FACES, help="generated faces to edit, 0 for none [%(default)s]"
    )
    measure.add_argument(
        "--retention-faces",
        type=int,
        default=RETENTION_FACES,
        help="faces whose attributes are measured under edits, 0 for none [%(default)s]",
    )
    measure.add_argument("--limit", type=int, help="at most so many faces")
    measure.add_argument("--metrics-dir", type=Path, default=DEFAULT_METRICS, help="networks [%(default)s]")
    measure.add_argument("--device", default="auto", help="auto, cpu, cuda or mps [%(default)s]")
    measure.add_argument("--grid", type=Path, help="save invented faces, inversions and edits as a picture")
    measure.add_argument("--no-alignment", action="store_true", help="leave the aligner out")
    measure.add_argument("--no-colours", action="store_true", help="leave the colours of W+ unfitted")
    measure.add_argument(
        "--fast", action="store_true", help="draw edits compiled, in bfloat16 where that is native"
    )
    measure.add_argument("--json", action="store_true", help="print JSON, as the last line")
    measure.add_argument("--out", type=Path, help="file to write the JSON to, besides")
    measure.set_defaults(run=_evaluate)
    return parser


def _generator(options: argparse.Namespace) -> int:
    config = read_settings(options.config, GeneratorTrainingConfig, options.set)
    return _train(build_generator(config), config, options.resume)


def _inversion(options: argparse.Namespace) -> int:
    config = read_settings(options.config, InversionConfig, options.set)
    return _train(build_inversion(config), config, options.resume)


def _contrastive(options: argparse.Namespace) -> int:
    config = read_settings(options.config, ContrastiveConfig, options.set)
    return _train(build_contrastive(config), config, options.resume)


def _refiners(options: argparse.Namespace) -> int:
    config = read_settings(options.config, RefinementConfig, options.set)
    return _train(build_refinement(config), config, options.resume)


def _train(
    stage: Stage,
    config: ContrastiveConfig | GeneratorTrainingConfig | InversionConfig | RefinementConfig,
    resume: bool,
) -> int:
    with leaving_together():
        result = training_loop(stage, config.run, settings_to_dict(config), resume=resume)
    return 0 if result.stopped_by is None else SIGNAL_EXIT + result.stopped_by


def _directions(options: argparse.Namespace) -> int:
    # Nothing else of training looks for faces: it shall neither need nor wait for the landmark library.
    from train.directions import discover

    config = read_settings(options.config, DirectionsConfig, options.set)
    discover(config, lambda line: print(line, flush=True))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    if options.limit is not None and options.limit < 1:
        raise ConfigError(f"--limit: {options.limit}; must be at least 1")
    if options.edit_faces < 0:
        raise ConfigError(f"--edit-faces: {options.edit_faces}; must be at least 0")
    if options.retention_faces < 0:
        raise ConfigError(f"--retention-faces: {options.retention_faces}; must be at least 0")
    if options.out is not None and not options.out.parent.is_dir():
        raise ConfigError(f"--out: {options.out}; its folder is not there")
    result = evaluate(
        options.data,
        bundle=options.bundle,
        encoder=options.encoder,
        aligner=options.aligner,
        refiners=options.refiners,
        edit_faces=options.edit_faces,
        retention_faces=options.retention_faces,
        limit=options.limit,
        metrics_dir=options.metrics_dir,
        device=options.device,
        fast=options.fast,
        grid=options.grid,
        alignment=not options.no_alignment,
        colours=not options.no_colours,
    )
    if options.out is not None:
        options.out.write_text(json.dumps(result) + "\n", encoding="utf-8")
    print(json.dumps(result) if options.json else as_table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
