"""Put trained files into the model bundle that they were trained for."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stylegan2.aside import written_aside
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.bundle.folder import BUNDLE_FILE, read_bundle
from stylegan2.bundle.opening import DEFAULT_BUNDLE
from stylegan2.errors import ConfigError
from stylegan2.reading.listing import read_listing
from train.attributes.config import AttributesConfig
from train.contrastive.config import ContrastiveConfig
from train.contrastive.stage import CONTRASTIVE_FILE
from train.core.checkpoint import facts_for_model
from train.encoder.config import InversionConfig
from train.encoder.stage import ENCODER_FILE
from train.gan.config import GeneratorTrainingConfig
from train.growth.config import GrowthConfig
from train.parts.config import PartsConfig
from train.refiners.config import RefinementConfig
from train.refiners.stage import REFINERS_FILE
from train.transfer.config import TransferTrainingConfig


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What a training puts where when it has finished."""

    bundle: Path  # folder
    files: Mapping[str, Path]  # trained weights, by their role in the bundle


def plan_installation(
    config: (
        AttributesConfig
        | ContrastiveConfig
        | InversionConfig
        | RefinementConfig
        | GeneratorTrainingConfig
        | GrowthConfig
        | PartsConfig
        | TransferTrainingConfig
    ),
) -> Installation | None:
    """What `run.install` asks for; None where it is off.

    Raises:
        ConfigError: The stage has nothing to install, or `bundle` may not or cannot be changed.
    """
    if not config.run.install:
        return None
    if isinstance(config, GeneratorTrainingConfig | GrowthConfig):
        raise ConfigError("run.install: true, but a generator starts a bundle, in run.folder; set it false")
    if isinstance(config, AttributesConfig | PartsConfig | TransferTrainingConfig):
        raise ConfigError("run.install: true, but what is trained serves every model, and is in no bundle")
    bundle = config.bundle
    if not bundle.is_dir():
        raise ConfigError(f"bundle: {bundle} is not a folder; run.install needs a bundle's")
    if bundle.resolve() == DEFAULT_BUNDLE.resolve():
        raise ConfigError(f"bundle: {bundle} is the project's own; with run.install name another, or a copy")
    folder = config.run.folder
    if isinstance(config, ContrastiveConfig):
        return Installation(bundle=bundle, files={"contrastive": folder / CONTRASTIVE_FILE})
    if isinstance(config, InversionConfig):
        return Installation(bundle=bundle, files={"encoder": folder / ENCODER_FILE})
    # Refiners read what their encoder sees, so that the two come together.
    encoder = folder / ENCODER_FILE if config.trains_encoder else config.encoder
    files = {} if encoder is None else {"encoder": encoder}
    return Installation(bundle=bundle, files={**files, "refiners": folder / REFINERS_FILE})


def install(installation: Installation) -> str:
    """Copy the files into the bundle and list them in its `bundle.yaml`, in the place of older ones.

    At every moment the bundle can be read: what is replaced leaves the list before its file changes. Refiners
    leave it too where they get another encoder than the one that they were trained with.

    Returns:
        What has happened, in words.

    Raises:
        CheckpointError: The bundle or a file is missing or damaged, or a file was trained for another
            generator.
    """
    folder, files = installation.bundle, installation.files
    model = read_bundle(folder)
    for role, file in files.items():
        facts_for_model(file, role, model)
    description: dict[str, Any] = read_listing(folder / BUNDLE_FILE)
    entries = {}
    for role, file in files.items():
        name = f"{role}.safetensors"
        shutil.copyfile(file, folder / f"{name}.partial")
        entries[role] = {"file": name, "sha256": file_sha256(folder / f"{name}.partial")}
    replaced = {*entries, "aligner"} if "contrastive" in entries else set(entries)  # as it was called before
    kept = {role: entry for role, entry in description["files"].items() if role not in replaced}
    told = f"{folder}: {' and '.join(entries)} installed"
    if "encoder" in entries and entries["encoder"]["sha256"] != model.encoder_sha256 and "refiners" in kept:
        del kept["refiners"]
        told += "; its refiners are taken out, since they were trained with another encoder"
    _list(folder, {**description, "files": kept})
    for entry in entries.values():
        (folder / f"{entry['file']}.partial").replace(folder / entry["file"])
    _list(folder, {**description, "files": {**kept, **entries}})
    listed = {str(entry["file"]) for entry in (*kept.values(), *entries.values())}
    for role in replaced & set(description["files"]):
        name = str(description["files"][role]["file"])
        if name not in listed:
            (folder / name).unlink(missing_ok=True)
    return told


def _list(folder: Path, description: Mapping[str, Any]) -> None:
    with written_aside(folder / BUNDLE_FILE) as partial:
        partial.write_text(yaml.safe_dump(dict(description), sort_keys=False), encoding="utf-8")
