"""The command `evaluate`: its flags, and what it keeps of what is measured when it is stopped."""

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from stylegan2.aside import written_aside
from stylegan2.errors import ConfigError
from stylegan2.settings import read_settings, settings_from_dict
from train.core.logbook import claim_folder
from train.core.stop import SIGNAL_EXIT, StopSignal, stopping_at_once
from train.evaluate.config import PHOTO_SIDE, EvaluateConfig
from train.evaluate.evaluate import as_table, evaluate
from train.evaluate.subject import SPACES


def add_evaluate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command; a flag that is not given leaves its setting to the file, or to its default."""
    absent, standard = argparse.SUPPRESS, EvaluateConfig
    parser = commands.add_parser(
        "evaluate", help="measure reconstructions of cropped faces", argument_default=absent
    )
    settings = "settings, as train/configs/evaluate.yaml; a flag given besides overrides its setting"
    parser.add_argument("--config", type=Path, default=None, help=settings)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="change one setting")
    parser.add_argument(
        "--data", help="tar shards (braces and wildcards allowed) or a folder; needed without --config"
    )
    parser.add_argument("--bundle", type=Path, help=f"model bundle [{standard.bundle}]")
    parser.add_argument("--encoder", type=Path, help="encoder file instead of the bundle's")
    parser.add_argument(
        "--contrastive", type=Path, help="contrastive file instead of the bundle's, if it has one"
    )
    parser.add_argument("--refiners", type=Path, help="refiners file instead of the bundle's")
    parser.add_argument("--directions", type=Path, help="folder of edit directions instead of directions/")
    faces = f"generated faces to edit, 0 for none [{standard.edit_faces}]"
    parser.add_argument("--edit-faces", type=int, help=faces)
    faces = f"faces whose attributes are measured under edits, 0 for none [{standard.retention_faces}]"
    parser.add_argument("--retention-faces", type=int, help=faces)
    faces = f"photos that are edited at {PHOTO_SIDE} px, 0 for none [{standard.photo_faces}]"
    parser.add_argument("--photo-faces", type=int, help=faces)
    parser.add_argument("--limit", type=int, help="at most so many faces")
    chosen = f"spaces to measure [{' '.join(standard.spaces)}]"
    parser.add_argument("--spaces", nargs="+", choices=SPACES, help=chosen)
    parser.add_argument("--metrics-dir", type=Path, help=f"networks [{standard.metrics_dir}]")
    parser.add_argument("--device", help=f"auto, cpu, cuda or mps [{standard.device}]")
    parser.add_argument("--grid", type=Path, help="save invented faces, inversions and edits as a picture")
    parser.add_argument(
        "--no-retrieval",
        dest="retrieval",
        action="store_false",
        default=absent,
        help="leave the contrastive pair out",
    )
    parser.add_argument(
        "--no-colours",
        dest="colours",
        action="store_false",
        default=absent,
        help="leave the colours of W+ unfitted",
    )
    parser.add_argument("--engine", help=f"auto (the product's), torch or openvino [{standard.engine}]")
    parser.add_argument("--json", action="store_true", default=False, help="print JSON, as the last line")
    kept = "file to write the JSON to, besides, after every part that is measured"
    parser.add_argument("--out", type=Path, default=None, help=kept)
    parser.set_defaults(run=run)


def read_config(options: argparse.Namespace) -> EvaluateConfig:
    """Settings of the file that `--config` names, changed by `--set`, and then by the flags that are given.

    Raises:
        ConfigError: As `read_settings`; or there is neither a file nor `--data`.
    """
    names = [field.name for field in fields(EvaluateConfig) if hasattr(options, field.name)]
    given = {name: getattr(options, name) for name in names}
    given = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    if options.config is not None:
        # JSON is YAML, so that a path needs no care.
        flags = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in given.items()]
        return read_settings(options.config, EvaluateConfig, [*options.set, *flags])
    if options.set:
        raise ConfigError(f"--set: {options.set[0]}, but there is no --config; use the setting's own flag")
    if "data" not in given:
        raise ConfigError("--data: missing; name the faces, or settings that do with --config")
    return settings_from_dict(given, EvaluateConfig)


def run(options: argparse.Namespace) -> int:
    """Evaluate, and print the result; exit code 0, or 128 + signal for a stopped run.

    Raises:
        StyleGANError: The user's mistake, see `read_config` and `evaluate`.
    """
    config, out = read_config(options), options.out
    if out is not None and out.exists() and not out.is_file():
        raise ConfigError(f"--out: {out}; must be a file")
    for name, file in (("--out", out), ("grid", config.grid)):
        if file is not None:
            if not file.parent.is_dir():
                raise ConfigError(f"{name}: {file}; its folder is not there")
            claim_folder(name, file.parent)
    measured: dict[str, Any] = {}

    def keep(result: dict[str, Any]) -> None:
        measured.update(result)
        if out is not None:
            _replace(out, json.dumps(result) + "\n")

    try:
        with stopping_at_once():
            evaluate(config, keep=keep)
    except StopSignal as stop:
        sys.stderr.write(f"stopped by {stop.signal.name}; {_left(measured, out)}\n")
        return SIGNAL_EXIT + stop.signal
    sys.stdout.write((json.dumps(measured) if options.json else as_table(measured)) + "\n")
    return 0


def _replace(file: Path, text: str) -> None:
    with written_aside(file) as partial:
        partial.write_text(text, encoding="utf-8")


def _left(measured: dict[str, Any], out: Path | None) -> str:
    """What a stopped evaluation leaves behind, in words."""
    finished = ", ".join(name for name in measured if name != "protocol")
    if not finished:
        return "no part was finished"
    return f"finished were {finished}" + (f", which are in {out}" if out is not None else "")
