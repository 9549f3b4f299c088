"""Measure reconstructions of cropped faces, per latent space, their edits, and the contrastive pair."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from editor.model.opening import open_model
from inversion.directions.bank import DIRECTIONS_ROOT, find_directions, load_directions
from inversion.networks.checkpoint import load_contrastive_pair, load_encoder
from inversion.networks.contrastive import ContrastivePair
from stylegan2.bundle.folder import ModelBundle
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import CheckpointError, ConfigError
from train.core.checkpoint import facts_for_model
from train.data.images import find_images, read_images
from train.evaluate.config import EvaluateConfig
from train.evaluate.contrastive_report import report_contrastive
from train.evaluate.edit_truth import measure_edits
from train.evaluate.measure import (
    BATCH,
    IDENTITY_FILE,
    MetricNetworks,
    load_metric_networks,
    measure,
    summarise,
)
from train.evaluate.progress import Count, Show, say, show_bar
from train.evaluate.retention import report_retention
from train.evaluate.subject import Reconstruct, Subject

TABLE_WIDTH = 150  # characters


def evaluate(
    config: EvaluateConfig,
    *,
    show: Show = show_bar,
    keep: Callable[[dict[str, Any]], None] = lambda result: None,
    report: Callable[[str], None] = say,
) -> dict[str, Any]:
    """Measure a model on cropped faces, one part after the other.

    Args:
        config: What is measured, and with what.
        show: Shows how far a part is.
        keep: Receives the result so far after every part; its protocol has "missing_parts" before the last.
        report: Receives one line, which says what pictures are read.

    Returns:
        {"protocol": {...}, "spaces": {name: {...}}, "edits": {name: {...}}, "retention": {...}}, ready for
        JSON; the edits as `train.evaluate.edit_truth.measure_edits` gives them, the retention as
        `train.evaluate.retention.report_retention`; with a contrastive pair also "retrieval", as
        `train.evaluate.contrastive_report.report_contrastive` gives it.

    Raises:
        CheckpointError: Weights are missing, damaged, or of another generator.
        DirectionError: The directions are those of another generator.
        DatasetError: No faces, or a damaged or uncropped one.
        EngineError: The device is not there.
    """
    opened = _open(load_bundle(config.bundle), config)
    source = find_images(config.data)
    report(source.describe() + (f"; at most {config.limit:,} are read" if config.limit is not None else ""))
    side = opened.subject.generator.img_resolution
    batches = list(read_images(source, side, BATCH, limit=config.limit))
    protocol = {"data": config.data, "faces": sum(map(len, batches)), **_protocol(opened)}
    parts = _Parts(
        config=config,
        opened=opened,
        networks=load_metric_networks(config.metrics_dir, opened.bundle, opened.device),
        batches=batches,
    ).wanted()
    result: dict[str, Any] = {"protocol": protocol}
    for i, part in enumerate(parts):
        with show(f"{part.name} ({i + 1} of {len(parts)})", part.total) as count:
            found = part.measure(count)
        if found is not None:
            result[part.name] = found
        missing = [later.name for later in parts[i + 1 :]]
        result["protocol"] = {**protocol, "missing_parts": missing} if missing else protocol
        keep(result)
    return result


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """What is measured, and what is known of it."""

    subject: Subject
    reference: Subject | None  # the same by torch in float32, where that is not what the product runs
    bundle: ModelBundle
    device: torch.device
    contrastive: ContrastivePair | None
    files: dict[str, str]
    losses: set[str] | None  # that encoder and refiners were trained with; None where a file does not say


@dataclass(frozen=True)
class _Part:
    """What is measured in one go."""

    name: str
    total: int  # what its counts add up to; 1 for a part that cannot tell how far it is
    measure: Callable[[Count], dict[str, Any] | None]  # None for a part that adds nothing to the result


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """All that can be measured."""

    config: EvaluateConfig
    opened: _Opened
    networks: MetricNetworks
    batches: list[Tensor]  # pixels [N, R, R, 3] uint8 each

    def wanted(self) -> list[_Part]:
        """What the settings ask for, in order."""
        config, opened = self.config, self.opened
        # `measure` reconstructs the first batch twice.
        faces = sum(map(len, self.batches)) + len(self.batches[0])
        pictures = len(opened.subject.measured_spaces()) * faces
        parts = [_Part("spaces", pictures, partial(self._spaces, opened.subject))]
        if opened.reference is not None:
            parts.append(_Part("reference", pictures, partial(self._spaces, opened.reference)))
        if config.grid is not None:
            parts.append(_Part("grid", 1, partial(self._grid, config.grid)))
        if config.edit_faces:
            parts.append(_Part("edits", config.edit_faces, self._edits))
        if config.retention_faces:
            parts.append(_Part("retention", 1, self._retention))
        if config.photo_faces:
            total = min(config.photo_faces, config.limit or config.photo_faces) + config.edit_faces
            parts.append(_Part("photo", total, self._photo))
        if config.retrieval and opened.contrastive is not None:
            parts.append(_Part("retrieval", 1, partial(self._retrieval, opened.contrastive)))
        return parts

    def _spaces(self, subject: Subject, count: Count) -> dict[str, Any]:
        networks, device = self.networks, self.opened.device
        found = {
            name: measure(_counted(space, count), self.batches, networks, device)
            for name, space in subject.reconstructions().items()
        }
        return {name: summarise(values, networks.missing) for name, values in found.items()}

    def _grid(self, file: Path, count: Count) -> None:
        # Here and not at the top: OpenCV wants libraries of the system that a machine for training may lack.
        from train.evaluate.edit_grid import edit_grid, save_grid

        save_grid(file, edit_grid(self.opened.subject))

    def _edits(self, count: Count) -> dict[str, Any]:
        subject, identity = self.opened.subject, self.networks.identity
        return measure_edits(subject, identity, faces=self.config.edit_faces, count=count)

    def _retention(self, count: Count) -> dict[str, Any]:
        return report_retention(
            self.opened.subject,
            torch.cat(self.batches),
            identity=self.networks.identity,
            folder=self.config.metrics_dir,
            faces=self.config.retention_faces,
        )

    def _photo(self, count: Count) -> dict[str, Any]:
        # Here and not at the top: it needs OpenCV, see above.
        from train.evaluate.photo.report import report_photo_edits

        return report_photo_edits(self.opened.subject, self.config, self.networks.identity, count)

    def _retrieval(self, contrastive: ContrastivePair, count: Count) -> dict[str, Any]:
        opened = self.opened
        encoder = load_encoder(opened.files["encoder"]).to(opened.device)
        return report_contrastive(contrastive, opened.subject.generator, encoder, torch.cat(self.batches))


def _counted(reconstruct: Reconstruct, count: Count) -> Reconstruct:
    def counted(pixels: Tensor) -> Tensor:
        found = reconstruct(pixels)
        count(len(pixels))
        return found

    return counted


def _open(bundle: ModelBundle, config: EvaluateConfig) -> _Opened:
    named = {"encoder": config.encoder, "contrastive": config.contrastive, "refiners": config.refiners}
    files = {role: file for role in named if (file := named[role] or getattr(bundle, f"{role}_path"))}
    if "encoder" not in files:
        raise CheckpointError(f"{bundle.folder}: the bundle has no encoder; name one with --encoder")
    facts = {role: facts_for_model(file, role, bundle) for role, file in files.items()}
    losses = [facts[role].get("losses") for role in files if role != "contrastive"]
    measured = replace(bundle, encoder_path=files["encoder"], refiners_path=files.get("refiners"))
    opened = partial(open_model, measured, directions=config.directions)
    model = opened(device=config.device, engine=config.engine)
    model.prepare()
    model.wait()
    generator = model.generator
    key = (bundle.generator_sha256, generator.w_dim, generator.num_ws)
    directions = (
        find_directions(*key, DIRECTIONS_ROOT)
        if config.directions is None
        else load_directions(config.directions, *key)
    )
    told = files if config.directions is None else {**files, "directions": config.directions}
    subject = Subject(model=model, directions=directions, spaces=config.spaces, fit_colours=config.colours)
    if not subject.measured_spaces():
        raise ConfigError(f"spaces: {', '.join(config.spaces)}; without refiners there is w alone")
    device = generator.w_avg.device
    reference = None
    if set(model.engines) != {f"torch {device.type} float32"}:
        reference = replace(subject, model=opened(device=device.type, engine="torch"))
    return _Opened(
        subject=subject,
        reference=reference,
        bundle=bundle,
        device=device,
        contrastive=load_contrastive_pair(files["contrastive"]).to(device)
        if "contrastive" in files
        else None,
        files={name: str(file) for name, file in told.items()},
        losses=None if None in losses else {name for names in losses for name in names or ()},
    )


def _protocol(opened: _Opened) -> dict[str, Any]:
    losses = opened.losses
    return {
        "resolution": opened.subject.generator.img_resolution,
        "bundle": opened.bundle.name,
        **opened.files,
        "psnr": "dB, 8-bit pictures, all channels of one face together",
        "l2": "mean squared error on [-1, 1], 8-bit pictures",
        "ssim": "Gaussian window, sigma 1.5, mean of channels, 8-bit pictures",
        "colours_fitted": opened.subject.fit_colours and "w+" in opened.subject.model.spaces,
        "noise_mode": "const",
        "identity_network": IDENTITY_FILE,
        "identity_also_training_loss": "unknown" if losses is None else "identity" in losses,
        "perceptual_network": "EfficientNet-lite0, unweighted unit features, not LPIPS",
        "perceptual_also_training_loss": "unknown" if losses is None else "perceptual" in losses,
        "engine": ", ".join(sorted(set(opened.subject.model.engines))),
        "reference": "n/a" if opened.reference is None else "the same by torch in float32",
        "ms_per_face": "from crop to picture: the whole inversion, and the drawing of a space",
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "device": f"{opened.device.type} ({platform.processor() or platform.machine()})",
    }


def as_table(result: Mapping[str, Any]) -> str:
    """The result for people: a line a value, indented under its owner; short groups share a line."""
    blocks = [_indented(values, f"{name}:") for name, values in result.items()]
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _indented(values: Mapping[str, Any], heading: str) -> list[str]:
    width = max((len(name) for name in values), default=0)
    lines = [heading]
    for name, value in values.items():
        if not isinstance(value, Mapping):
            lines.append(f"  {name:{width}}  {_shown(value)}")
            continue
        line = f"  {name:{width}}  " + ", ".join(f"{key} {_shown(found)}" for key, found in value.items())
        nested = len(line) > TABLE_WIDTH or any(isinstance(found, Mapping) for found in value.values())
        lines += [f"  {each}" for each in _indented(value, f"{name}:")] if nested else [line]
    return lines


def _shown(value: Any) -> str:  # noqa: ANN401 (any value of the result)
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
