"""Measure reconstructions of aligned faces, per latent space, and the alignment of pictures and W."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inversion.chain import Chain
from inversion.checkpoint import load_aligner, load_encoder, load_refiners
from inversion.colour_fit import ColourFit
from inversion.contrastive import ContrastiveAligner
from inversion.directions import DIRECTIONS_ROOT, find_directions
from stylegan2.bundle import ModelBundle, load_bundle
from stylegan2.checkpoint import load_generator
from stylegan2.engine import choose_device
from stylegan2.errors import CheckpointError
from stylegan2.folded import FoldedSynthesis
from train.alignment_report import report_alignment
from train.checkpoint import training_facts
from train.data import find_images, read_images
from train.drawing import CompiledSynthesis
from train.edit_truth import FACES as EDIT_FACES
from train.edit_truth import measure_edits
from train.measure import BATCH, IDENTITY_FILE, load_metric_networks, measure, summarise
from train.retention import FACES as RETENTION_FACES
from train.retention import report_retention
from train.subject import Subject

TABLE_WIDTH = 150  # characters
KINDS = {"encoder": "an encoder", "aligner": "an aligner", "refiners": "refiners"}


def evaluate(
    data: str,
    *,
    bundle: str | Path,
    encoder: str | Path | None = None,
    aligner: str | Path | None = None,
    refiners: str | Path | None = None,
    edit_faces: int = EDIT_FACES,
    retention_faces: int = RETENTION_FACES,
    limit: int | None = None,
    metrics_dir: Path,
    device: str = "auto",
    fast: bool = False,
    alignment: bool = True,
    colours: bool = True,
    grid: Path | None = None,
) -> dict[str, Any]:
    """Measure a model on aligned faces.

    Args:
        data: Shards or a folder, see `train.data.find_images`; shrunk by area to the model's resolution.
        bundle: Folder of the model bundle.
        encoder: Encoder file; None takes the bundle's.
        aligner: Aligner file; None takes the bundle's, if it has one.
        refiners: File of the refiners of W+ and F; None takes the bundle's, if it has one.
        edit_faces: Generated faces whose edits are measured, 0 for none.
        retention_faces: Generated faces, and real ones, whose attributes are measured under edits, 0 for
            none.
        limit: At most so many faces; None takes all.
        metrics_dir: Folder of the networks that measure identity, age and gender.
        device: "auto", "cpu", "cuda" or "mps".
        alignment: Measure the aligner, if there is one.
        colours: Fit the colours of W+, as the product does; else its answer is the refiners'.
        grid: Where to save `train.edit_grid.edit_grid` as a JPEG or PNG.
        fast: Draw edits with `CompiledSynthesis`; reconstructions are drawn in float32 all the same.

    Returns:
        {"protocol": {...}, "spaces": {name: {...}}, "edits": {name: {...}}, "retention": {...}}, ready for
        JSON; the edits as `train.edit_truth.measure_edits` gives them, the retention as
        `train.retention.report_retention`; with an aligner also "alignment", as
        `train.alignment_report.report_alignment` gives it.

    Raises:
        CheckpointError: Weights are missing, damaged, or of another generator.
        DatasetError: No faces, or a damaged or unaligned one.
        EngineError: The device is not there.
    """
    opened = _open(load_bundle(bundle), choose_device(device), encoder, aligner, refiners, colours=colours)
    subject, generator, chosen = opened.subject, opened.subject.generator, opened.device
    source = find_images(data)
    batches = list(read_images(source, generator.img_resolution, BATCH, limit=limit))
    networks = load_metric_networks(metrics_dir, opened.model, chosen)
    pixels = torch.cat(batches)
    drawing = CompiledSynthesis(subject.synthesis, chosen) if fast else None
    edited = subject if drawing is None else subject.drawn_by(drawing)
    result: dict[str, Any] = {"protocol": {"data": data, "faces": len(pixels), **_protocol(opened)}}
    if drawing is not None:
        result["protocol"]["edits_drawn_in"] = str(drawing.dtype).removeprefix("torch.")
    spaces = subject.reconstructions()
    measured = {name: measure(space, batches, networks, chosen) for name, space in spaces.items()}
    result["spaces"] = {name: summarise(found, networks.missing) for name, found in measured.items()}
    if grid is not None:
        # Here and not at the top: OpenCV wants libraries of the system that a machine for training may lack.
        from train.edit_grid import edit_grid, save_grid

        save_grid(grid, edit_grid(edited))
    if edit_faces:
        result["edits"] = measure_edits(edited, networks.identity, faces=edit_faces)
    if retention_faces:
        result["retention"] = report_retention(
            edited, pixels, identity=networks.identity, folder=metrics_dir, faces=retention_faces
        )
    if alignment and opened.aligner is not None:
        result["alignment"] = report_alignment(opened.aligner, generator, subject.encoder, pixels)
    return result


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """What is measured, and what is known of it."""

    subject: Subject
    model: ModelBundle
    device: torch.device
    aligner: ContrastiveAligner | None
    files: dict[str, str]
    losses: set[str] | None  # that encoder and refiners were trained with; None where a file does not say


def _open(
    model: ModelBundle,
    device: torch.device,
    encoder: str | Path | None,
    aligner: str | Path | None,
    refiners: str | Path | None,
    *,
    colours: bool,
) -> _Opened:
    named = {"encoder": encoder, "aligner": aligner, "refiners": refiners}
    bundled = {"encoder": model.encoder_path, "aligner": model.aligner_path, "refiners": model.refiners_path}
    files = {role: Path(file) for role in named if (file := named[role] or bundled[role]) is not None}
    if "encoder" not in files:
        raise CheckpointError(f"{model.folder}: the bundle has no encoder; name one with --encoder")
    facts = {role: _facts_of_this_model(file, KINDS[role], model) for role, file in files.items()}
    losses = [facts[role].get("losses") for role in files if role != "aligner"]
    generator = load_generator(model.generator_path).to(device)
    synthesis = FoldedSynthesis(generator.synthesis).to(device)
    network, chain = load_encoder(files["encoder"]).to(device), None
    if "refiners" in files:
        loaded = load_refiners(files["refiners"]).fold_attention().to(device)
        fit = ColourFit(generator, network.w_std) if colours else None
        chain = Chain(synthesis=synthesis, encoder=network, refiners=loaded, colours=fit)
    directions = find_directions(model.generator_sha256, generator.w_dim, generator.num_ws, DIRECTIONS_ROOT)
    subject = Subject(
        generator=generator, synthesis=synthesis, encoder=network, chain=chain, directions=directions
    )
    return _Opened(
        subject=subject,
        model=model,
        device=device,
        aligner=load_aligner(files["aligner"]).to(device) if "aligner" in files else None,
        files={role: str(file) for role, file in files.items()},
        losses=None if None in losses else {name for names in losses for name in names or ()},
    )


def _protocol(opened: _Opened) -> dict[str, Any]:
    losses = opened.losses
    return {
        "resolution": opened.subject.generator.img_resolution,
        "bundle": opened.model.name,
        **opened.files,
        "psnr": "dB, 8-bit pictures, all channels of one face together",
        "l2": "mean squared error on [-1, 1], clamped",
        "ssim": "Gaussian window, sigma 1.5, mean of channels, 8-bit pictures",
        "colours_fitted": opened.subject.chain is not None and opened.subject.chain.colours is not None,
        "noise_mode": "const",
        "identity_network": IDENTITY_FILE,
        "identity_also_training_loss": "unknown" if losses is None else "identity" in losses,
        "perceptual_network": "EfficientNet-lite0, unweighted unit features, not LPIPS",
        "perceptual_also_training_loss": "unknown" if losses is None else "perceptual" in losses,
        "ms_per_face": "encoder and generator in torch float32",
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "device": f"{opened.device.type} ({platform.processor() or platform.machine()})",
    }


def _facts_of_this_model(file: Path, kind: str, model: ModelBundle) -> dict[str, Any]:
    facts = training_facts(file, kind)
    if facts.get("generator_sha256", model.generator_sha256) != model.generator_sha256:
        raise CheckpointError(f"{file}: trained for another generator than that of {model.folder}")
    return facts


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
