"""Commands of training: `python -m train COMMAND`, from `generator` to `evaluate`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from inversion.directions.bank import DIRECTIONS_ROOT
from stylegan2.bundle.opening import DEFAULT_BUNDLE
from stylegan2.errors import ConfigError, StyleGANError
from stylegan2.settings import read_settings, settings_to_dict
from train.assemble import build_contrastive, build_generator, build_inversion, build_refinement
from train.attributes.config import AttributesConfig
from train.contrastive.config import ContrastiveConfig
from train.core.hardware import keep_compiled, keep_memory
from train.core.logbook import claim_folder
from train.core.loop import Stage, training_loop
from train.core.processes import is_main, leaving_together
from train.core.stop import SIGNAL_EXIT
from train.directions.config import DirectionsConfig
from train.encoder.config import InversionConfig
from train.evaluate.command import add_evaluate
from train.gan.config import GeneratorTrainingConfig
from train.growth.config import GrowthConfig
from train.install import install, plan_installation
from train.parts.config import PartsConfig
from train.refiners.config import RefinementConfig
from train.transfer.config import TransferTrainingConfig

Config = TypeVar(
    "Config",
    AttributesConfig,
    ContrastiveConfig,
    GeneratorTrainingConfig,
    GrowthConfig,
    InversionConfig,
    PartsConfig,
    RefinementConfig,
    TransferTrainingConfig,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit code 0, 2 for an error of the user's, or 128 + signal for a stopped run."""
    options = build_parser().parse_args(arguments)
    keep_memory()
    keep_compiled()
    try:
        return int(options.run(options))
    except StyleGANError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command line."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(
        required=True,
        metavar="generator|contrastive|inversion|refiners|attributes|directions|parts|transfer|calibrate|"
        "evaluate",
    )

    for name, help_text, run in (
        ("generator", "train a generator from pictures", _generator),
        ("contrastive", "train the contrastive pair of pictures and W", _contrastive),
        ("inversion", "train the encoder img -> w", _inversion),
        ("refiners", "train the refiners of W+ and F", _refiners),
        ("attributes", "train what tells age, sex and more of a face", _attributes),
        ("directions", "find edit directions", _directions),
        ("parts", "train the face parser", _parts),
        ("transfer", "train what carries a photo through its edits", _transfer),
    ):
        stage = commands.add_parser(name, help=help_text)
        settings = f"settings, as train/configs/{name}.yaml"
        stage.add_argument("--config", type=Path, required=run is not _directions, help=settings)
        stage.add_argument("--set", action="append", default=[], metavar="A.B=C", help="change one setting")
        stage.set_defaults(run=run)
        if run is _generator:
            block = "train one block more above a trained model instead, as train/configs/growth.yaml"
            stage.add_argument("--block", action="store_true", help=block)
        if run is not _directions:
            stage.add_argument("--resume", action="store_true", help="go on where the run's folder stopped")
            continue
        stage.add_argument(
            "--own", nargs="+", metavar="KIND", help="make one edit instead, see docs/directions.md"
        )
        stage.add_argument("--model", default=DEFAULT_BUNDLE, help="of --own [the bundled one]")
        stage.add_argument("--name", default="", help="of the edit of --own")
        stage.add_argument("--out", type=Path, help="file of the edit of --own [named after it]")

    calibration = commands.add_parser("calibrate", help="measure how far edits have to move photos")
    calibration.add_argument("--config", type=Path, required=True, help="as train/configs/calibrate.yaml")
    calibration.add_argument("--set", action="append", default=[], metavar="A.B=C", help="change one setting")
    calibration.set_defaults(run=_calibrate)
    add_evaluate(commands)
    return parser


def _generator(options: argparse.Namespace) -> int:
    if options.block:
        from train.assemble_photo import build_growth

        return _train(
            build_growth, read_settings(options.config, GrowthConfig, options.set), resume=options.resume
        )
    config = read_settings(options.config, GeneratorTrainingConfig, options.set)
    return _train(build_generator, config, resume=options.resume)


def _inversion(options: argparse.Namespace) -> int:
    config = read_settings(options.config, InversionConfig, options.set)
    return _train(build_inversion, config, resume=options.resume)


def _contrastive(options: argparse.Namespace) -> int:
    config = read_settings(options.config, ContrastiveConfig, options.set)
    return _train(build_contrastive, config, resume=options.resume)


def _refiners(options: argparse.Namespace) -> int:
    config = read_settings(options.config, RefinementConfig, options.set)
    return _train(build_refinement, config, resume=options.resume)


def _attributes(options: argparse.Namespace) -> int:
    from train.assemble_photo import build_attributes

    config = read_settings(options.config, AttributesConfig, options.set)
    return _train(build_attributes, config, resume=options.resume)


def _parts(options: argparse.Namespace) -> int:
    from train.assemble_photo import build_parts

    return _train(build_parts, read_settings(options.config, PartsConfig, options.set), resume=options.resume)


def _transfer(options: argparse.Namespace) -> int:
    from train.assemble_photo import build_transfer

    config = read_settings(options.config, TransferTrainingConfig, options.set)
    return _train(build_transfer, config, resume=options.resume)


def _train(build: Callable[[Config], Stage], config: Config, *, resume: bool) -> int:
    claim_folder("run.folder", config.run.folder)
    installation = plan_installation(config)
    stage = build(config)
    with leaving_together():
        result = training_loop(stage, config.run, settings_to_dict(config), resume=resume)
        if installation is not None and result.stopped_by is None and is_main():
            print(install(installation))
    return 0 if result.stopped_by is None else SIGNAL_EXIT + result.stopped_by


def _directions(options: argparse.Namespace) -> int:
    # Nothing else of training looks for faces: it shall neither need nor wait for the landmark library.
    if options.own:
        from train.directions.own import make_own

        make_own(options.model, options.own, options.name, options.out, print)
        return 0
    if options.config is None:
        raise ConfigError("--config: missing; or --own, for one edit of your own")
    from train.directions.search import discover

    config = read_settings(options.config, DirectionsConfig, options.set)
    claim_folder("out", config.out or DIRECTIONS_ROOT)
    discover(config, lambda line: print(line, flush=True))
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from train.evaluate.photo.calibrate import CalibrateConfig, calibrate

    config = read_settings(options.config, CalibrateConfig, options.set)
    for name, gains in calibrate(config, lambda line: print(line, flush=True)).items():
        print(f"{name}: " + ", ".join(f"{space} {gain:g}" for space, gain in gains.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
