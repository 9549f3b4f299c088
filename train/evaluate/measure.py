"""Compare reconstructions with their originals: one value a face and measure, then medians and means."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan2.bundle.folder import ModelBundle
from stylegan2.errors import CheckpointError
from stylegan2.image import from_uint8, psnr
from train.evaluate.metrics import mean_squared_error, median, ssim
from train.evaluate.subject import Reconstruct
from train.losses.identity import IdentityEmbedder, load_identity
from train.losses.perceptual import PerceptualDistance, load_perceptual

IDENTITY_FILE = "mobilefacenet_id.onnx"
LPIPS_REASON = (
    "its AlexNet backbone is a download, not in any package; see `perceptual` for what is measured instead"
)
BATCH = 16  # faces at once


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


@torch.no_grad()
def measure(
    reconstruct: Reconstruct, batches: list[Tensor], networks: MetricNetworks, device: torch.device
) -> Measures:
    """Reconstruct faces and compare them with the originals.

    Args:
        reconstruct: What is measured.
        batches: pixels [N, R, R, 3] uint8 each.
        networks: Measuring networks, on `device`.
        device: Where `networks` are.
    """
    columns: dict[str, list[Tensor]] = {name: [] for name in ("psnr", "l2", "ssim", "identity", "perceptual")}
    reconstruct(batches[0])  # the first call pays for memory and code of all later ones
    seconds = 0.0
    for pixels in batches:
        begin = time.perf_counter()
        found = reconstruct(pixels)
        seconds += time.perf_counter() - begin
        img, shown = from_uint8(pixels).to(device), from_uint8(found).to(device)
        columns["psnr"].append(psnr(found, pixels))
        columns["l2"].append(mean_squared_error(shown.cpu(), img.cpu()))
        columns["ssim"].append(ssim(found, pixels))
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
        out[f"{name}_median"] = number(median(values)) if len(values) else "n/a"
        out[f"{name}_mean"] = number(values.double().mean()) if len(values) else "n/a"
        if not len(values):
            out[f"{name}_reason"] = missing.get(name, "not measured")
    ms = round(1000 * measures.seconds / count, 2)
    return {**out, "lpips": "n/a", "lpips_reason": LPIPS_REASON, "ms_per_face": ms, "count": count}


def number(value: Tensor) -> float | None:
    """A scalar as JSON shows it."""
    # JSON has no infinity, which is the PSNR of equal pictures.
    return round(float(value), 6) if bool(torch.isfinite(value)) else None


def load_metric_networks(folder: Path, bundle: ModelBundle, device: torch.device) -> MetricNetworks:
    """Load what is there; what is not is named in `missing`."""
    missing = {}
    identity, perceptual = None, None
    try:
        identity = load_identity(folder / IDENTITY_FILE, bundle.crop_config).to(device)
    except CheckpointError as error:
        missing["identity"] = str(error)
    try:
        perceptual = load_perceptual().to(device)
    except CheckpointError as error:
        missing["perceptual"] = str(error)
    return MetricNetworks(identity=identity, perceptual=perceptual, missing=missing)
