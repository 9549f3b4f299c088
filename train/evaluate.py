"""Measure reconstructions of aligned faces, per latent space, and the alignment of pictures and W."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inversion.chain import Chain, Synthesis
from inversion.checkpoint import load_aligner, load_encoder, load_refiners
from inversion.directions import find_directions
from inversion.w_encoder import WEncoder
from stylegan2 import Generator
from stylegan2.bundle import ModelBundle, load_bundle
from stylegan2.checkpoint import load_generator
from stylegan2.engine import choose_device
from stylegan2.errors import CheckpointError
from stylegan2.folded import FoldedSynthesis
from stylegan2.image import shrink
from train.alignment_report import report_alignment
from train.checkpoint import training_facts
from train.data import find_images, read_images
from train.edit_truth import FACES as EDIT_FACES
from train.edit_truth import measure_edits
from train.measure import BATCH, IDENTITY_FILE, Reconstruct, load_metric_networks, measure, summarise
from train.retention import FACES as RETENTION_FACES
from train.retention import report_retention

TABLE_WIDTH = 150  # characters


def spaces_of(
    generator: Generator, synthesis: Synthesis, encoder: WEncoder, chain: Chain | None
) -> dict[str, Reconstruct]:
    """What reconstructs a picture in each space: G(w), and with a chain G(ws) and G(ws, f); stored noise."""
    side = encoder.config.in_resolution

    def draw_w(img: Tensor) -> Tensor:
        w = encoder(shrink(img, side)) if chain is None else chain.invert_w(img).w
        ws = generator.broadcast(w)
        return synthesis.upper(*synthesis.lower(ws, generator.img_resolution), ws)

    spaces: dict[str, Reconstruct] = {"w": draw_w}
    if chain is not None:
        spaces["w+"] = lambda img: chain.draw_ws(chain.invert_ws(img)[1])
        spaces["f"] = lambda img: chain.draw(chain.invert(img))
    return spaces


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
    model, chosen = load_bundle(bundle), choose_device(device)
    file = Path(encoder) if encoder is not None else model.encoder_path
    if file is None:
        raise CheckpointError(f"{model.folder}: the bundle has no encoder; name one with --encoder")
    training = _facts_of_this_model(file, "an encoder", model)
    aligner_file = Path(aligner) if aligner is not None else model.aligner_path
    if aligner_file is not None:
        _facts_of_this_model(aligner_file, "an aligner", model)
    refiners_file = Path(refiners) if refiners is not None else model.refiners_path
    if refiners_file is not None:
        _facts_of_this_model(refiners_file, "refiners", model)
    generator = load_generator(model.generator_path).to(chosen)
    network = load_encoder(file).to(chosen)
    synthesis = FoldedSynthesis(generator.synthesis).to(chosen)
    chain = None
    if refiners_file is not None:
        loaded_refiners = load_refiners(refiners_file).fold_attention().to(chosen)
        chain = Chain(synthesis=synthesis, encoder=network, refiners=loaded_refiners)
    spaces = spaces_of(generator, synthesis, network, chain)
    source = find_images(data)
    batches = list(read_images(source, generator.img_resolution, BATCH, limit=limit))
    networks = load_metric_networks(metrics_dir, model, chosen)
    losses = training.get("losses")
    protocol = {
        "data": data,
        "faces": sum(map(len, batches)),
        "resolution": generator.img_resolution,
        "bundle": model.name,
        "encoder": str(file),
        "psnr": "dB, 8-bit pictures, all channels of one face together",
        "l2": "mean squared error on [-1, 1], clamped",
        "ssim": "Gaussian window, sigma 1.5, mean of channels, 8-bit pictures",
        "noise_mode": "const",
        "identity_network": IDENTITY_FILE,
        "identity_also_training_loss": "unknown" if losses is None else "identity" in losses,
        "perceptual_network": "EfficientNet-lite0, unweighted unit features, not LPIPS",
        "perceptual_also_training_loss": "unknown" if losses is None else "perceptual" in losses,
        "ms_per_face": "encoder and generator in torch float32",
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "device": f"{chosen.type} ({platform.processor() or platform.machine()})",
    }
    measured = {name: measure(space, batches, networks, chosen) for name, space in spaces.items()}
    result: dict[str, Any] = {"protocol": protocol}
    result["spaces"] = {name: summarise(found, networks.missing) for name, found in measured.items()}
    directions = find_directions(model.generator_sha256, generator.w_dim, generator.num_ws)
    pixels = torch.cat(batches)
    if edit_faces:
        result["edits"] = measure_edits(
            generator, synthesis, network, chain, directions, networks.identity, faces=edit_faces
        )
    if retention_faces:
        result["retention"] = report_retention(
            generator,
            synthesis,
            network,
            chain,
            directions,
            pixels,
            identity=networks.identity,
            folder=metrics_dir,
            faces=retention_faces,
        )
    if aligner_file is not None:
        loaded = load_aligner(aligner_file).to(chosen)
        result["alignment"] = report_alignment(loaded, generator, network, pixels)
    return result


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
