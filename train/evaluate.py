"""Measure reconstructions of aligned faces, per latent space, and the alignment of pictures and W."""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from inversion.checkpoint import load_aligner, load_encoder
from inversion.w_encoder import WEncoder
from stylegan2 import Generator
from stylegan2.bundle import ModelBundle, load_bundle
from stylegan2.checkpoint import load_generator
from stylegan2.engine import choose_device
from stylegan2.errors import CheckpointError
from stylegan2.image import from_uint8, shrink, to_uint8
from train.alignment_report import report_alignment
from train.data import find_images, read_images
from train.identity import IdentityEmbedder, load_identity
from train.metrics import mean_squared_error, psnr, ssim
from train.perceptual import PerceptualDistance, load_perceptual

IDENTITY_FILE = "mobilefacenet_id.onnx"
LPIPS_REASON = (
    "its AlexNet backbone is a download, not in any package; see `perceptual` for what is measured instead"
)
BATCH = 16  # faces at once

Reconstruct = Callable[[Tensor], Tensor]  # img [N, 3, R, R] in [-1, 1] -> its reconstruction, the same shape


@dataclass(frozen=True, kw_only=True)
class MetricNetworks:
    """Networks that measure; None where one is missing, with the reason in `missing`."""

    identity: IdentityEmbedder | None = None
    perceptual: PerceptualDistance | None = None
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measures:
    """One value a face: dB, squared error on [-1, 1], and similarities; empty where a network is missing."""

    psnr: Tensor
    l2: Tensor
    ssim: Tensor
    identity: Tensor
    perceptual: Tensor
    seconds: float  # for all reconstructions


def w_space(generator: Generator, encoder: WEncoder) -> Reconstruct:
    """G(w) with w from the encoder alone and the stored noise."""
    side = encoder.config.in_resolution

    def reconstruct(img: Tensor) -> Tensor:
        w = encoder(shrink(img, side))
        out: Tensor = generator.synthesis(generator.broadcast(w), noise_mode="const")
        return out

    return reconstruct


@torch.no_grad()
def measure(
    reconstruct: Reconstruct, batches: list[Tensor], networks: MetricNetworks, device: torch.device
) -> Measures:
    """Reconstruct faces and compare them with the originals.

    Args:
        reconstruct: What is measured.
        batches: pixels [N, R, R, 3] uint8 each.
        networks: Measuring networks, on `device`.
        device: Where `reconstruct` works.
    """
    columns: dict[str, list[Tensor]] = {name: [] for name in ("psnr", "l2", "ssim", "identity", "perceptual")}
    reconstruct(
        from_uint8(batches[0]).to(device)
    )  # the first call pays for memory and code of all later ones
    seconds = 0.0
    for pixels in batches:
        img = from_uint8(pixels).to(device)
        begin = time.perf_counter()
        out = reconstruct(img).float()
        found = to_uint8(out).cpu()  # on a GPU this waits for the picture
        seconds += time.perf_counter() - begin
        columns["psnr"].append(psnr(found, pixels))
        columns["l2"].append(mean_squared_error(out.cpu(), img.cpu()))
        columns["ssim"].append(ssim(found, pixels))
        shown = from_uint8(found).to(device)
        if networks.identity is not None:
            cosine = (networks.identity(shown) * networks.identity(img)).sum(1)
            columns["identity"].append(cosine.cpu())
        if networks.perceptual is not None:
            columns["perceptual"].append(networks.perceptual(shown, img).cpu())
    values = {name: torch.cat(parts) if parts else torch.empty(0) for name, parts in columns.items()}
    return Measures(seconds=seconds, **values)


def summarise(measures: Measures, missing: dict[str, str]) -> dict[str, Any]:
    """Medians and means, as the JSON shows them; "n/a" and the reason where a network is missing."""
    count = len(measures.psnr)
    out: dict[str, Any] = {}
    for name in ("psnr", "l2", "ssim", "identity", "perceptual"):
        values: Tensor = getattr(measures, name)
        out[f"{name}_median"] = _number(values.double().median()) if len(values) else "n/a"
        out[f"{name}_mean"] = _number(values.double().mean()) if len(values) else "n/a"
        if not len(values):
            out[f"{name}_reason"] = missing.get(name, "not measured")
    ms = round(1000 * measures.seconds / count, 2)
    return {**out, "lpips": "n/a", "lpips_reason": LPIPS_REASON, "ms_per_face": ms, "count": count}


def _number(value: Tensor) -> float | None:
    # JSON has no infinity, which is the PSNR of equal pictures.
    return round(float(value), 6) if bool(torch.isfinite(value)) else None


def load_metric_networks(folder: Path, bundle: ModelBundle, device: torch.device) -> MetricNetworks:
    """Load what is there; what is not is named in `missing`."""
    missing = {}
    identity, perceptual = None, None
    try:
        identity = load_identity(folder / IDENTITY_FILE, bundle.alignment).to(device)
    except CheckpointError as error:
        missing["identity"] = str(error)
    try:
        perceptual = load_perceptual().to(device)
    except CheckpointError as error:
        missing["perceptual"] = str(error)
    return MetricNetworks(identity=identity, perceptual=perceptual, missing=missing)


def evaluate(
    data: str,
    *,
    bundle: str | Path,
    encoder: str | Path | None = None,
    aligner: str | Path | None = None,
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
        limit: At most so many faces; None takes all.
        metrics_dir: Folder of the measuring networks.
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        {"protocol": {...}, "spaces": {name: {...}}}, ready for JSON; with an aligner also "alignment", as
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
    generator = load_generator(model.generator_path).to(chosen)
    network = load_encoder(file).to(chosen)
    spaces = {"w": w_space(generator, network)}
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
    if aligner_file is not None:
        loaded = load_aligner(aligner_file).to(chosen)
        result["alignment"] = report_alignment(loaded, generator, network, torch.cat(batches))
    return result


def _facts_of_this_model(file: Path, kind: str, model: ModelBundle) -> dict[str, Any]:
    facts = training_facts(file, kind)
    if facts.get("generator_sha256", model.generator_sha256) != model.generator_sha256:
        raise CheckpointError(f"{file}: trained for another generator than that of {model.folder}")
    return facts


def training_facts(file: Path, kind: str = "an encoder") -> dict[str, Any]:
    """What a stage of training wrote beside the weights in `file`; empty for a file that says nothing.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file; expected {kind}")
    try:
        with safe_open(file, "pt") as opened:
            text = (opened.metadata() or {}).get("training", "{}")
        facts: dict[str, Any] = json.loads(text)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{file}: not a readable safetensors file ({error})") from error
    return facts


def as_table(result: dict[str, Any]) -> str:
    """The result for people: the protocol, then one line a measure."""
    lines = [f"{name}: {value}" for name, value in result["protocol"].items()]
    for space, values in result["spaces"].items():
        lines += ["", f"space {space}"] + [f"  {name:18} {value}" for name, value in values.items()]
    if "alignment" in result:
        lines += ["", "alignment"] + [f"  {name:18} {value}" for name, value in result["alignment"].items()]
    return "\n".join(lines)
