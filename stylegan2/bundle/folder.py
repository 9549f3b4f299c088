"""ModelBundle: a folder with a generator, the networks trained for it, how it crops and its licence."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from stylegan2.bundle.checkpoint import file_sha256, save_generator
from stylegan2.bundle.content import Content, read_content, told_content
from stylegan2.errors import CheckpointError
from stylegan2.layouts.found import Found
from stylegan2.layouts.inverter_file import save_inverter
from stylegan2.network.generator import Generator
from stylegan2.reading.listing import read_listing

BUNDLE_FILE = "bundle.yaml"
GENERATOR_FILE = "generator.safetensors"
INVERTER_FILE = "inverter.safetensors"
MOST_CROP = 100.0  # half-sides or eye-to-mouth vectors: a crop beyond holds no face


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """Where a model expects the face inside its square.

    With `x` the FFHQ half-side vector, `ea` the middle of the eyes and `e2m` the way from there to the
    mouth, the crop is the square around `ea + center * e2m` with half-side `scale * |x|`. Official FFHQ
    models use 1.0 and 0.1.
    """

    scale: float = 1.0  # factor on the FFHQ half-side
    center: float = 0.1  # fraction of the eye-to-mouth vector


@dataclass(frozen=True, kw_only=True)
class ModelBundle:
    """What `bundle.yaml` says, with checked paths."""

    folder: Path
    name: str
    resolution: int  # pixels a side
    crop_config: CropConfig
    licence: str
    generator_path: Path
    generator_sha256: str
    encoder_path: Path | None = None
    encoder_sha256: str | None = None
    contrastive_path: Path | None = None
    contrastive_sha256: str | None = None
    refiners_path: Path | None = None
    refiners_sha256: str | None = None
    inverter_path: Path | None = None  # another project's encoder, see `save_inverter`
    inverter_sha256: str | None = None
    block_path: Path | None = None  # that the generator has grown by, see `stylegan2.bundle.block`
    block_sha256: str | None = None
    source_sha256: str | None = None  # of the file that the bundle was converted from
    content: Content | None = None  # where pictures are whole ones, what they fill; None: aligned faces


def read_bundle(folder: Path) -> ModelBundle:
    """Read `bundle.yaml` in `folder` and check every file that it names against its sha256.

    A bundle that names a `base` has a block of its own, and all else is that of the folder of this name
    beside it.

    Raises:
        CheckpointError: No such folder or file, a missing entry, or a file whose content differs.
    """
    file = folder / BUNDLE_FILE
    if not file.is_file():
        raise CheckpointError(f"{folder}: no {BUNDLE_FILE} there; expected the folder of a model bundle")
    try:
        data = read_listing(file)
        if "base" in data:
            return _on_base(folder, data)
        # Bundles of before called it alignment, and the contrastive pair aligner.
        crop = "alignment" if "alignment" in data and "crop" not in data else "crop"
        paths = {role: _checked(folder, role, entry) for role, entry in data["files"].items()}
        encoder = paths.get("encoder", (None, None))
        contrastive = paths.get("contrastive", paths.get("aligner", (None, None)))
        refiners = paths.get("refiners", (None, None))
        inverter = paths.get("inverter", (None, None))
        block = paths.get("block", (None, None))
        resolution = _whole("resolution", data["resolution"])
        content = read_content(data, resolution)
        return ModelBundle(
            folder=folder,
            name=str(data["name"]),
            resolution=resolution,
            content=content,
            # Where there are no faces, nothing says where they are.
            crop_config=CropConfig() if content and crop not in data else _crop_config(data[crop]),
            licence=str(data["licence"]),
            generator_path=paths["generator"][0],
            generator_sha256=paths["generator"][1],
            encoder_path=encoder[0],
            encoder_sha256=encoder[1],
            contrastive_path=contrastive[0],
            contrastive_sha256=contrastive[1],
            refiners_path=refiners[0],
            refiners_sha256=refiners[1],
            inverter_path=inverter[0],
            inverter_sha256=inverter[1],
            block_path=block[0],
            block_sha256=block[1],
            source_sha256=str(data["source"]["sha256"]) if "source" in data else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise CheckpointError(f"{file}: damaged or incomplete: {type(error).__name__}: {error}") from error


def save_bundle(
    folder: Path,
    generator: Generator,
    *,
    name: str,
    crop_config: CropConfig,
    licence: str,
    dtype: torch.dtype = torch.float16,
    source: Mapping[str, Any] | None = None,
    inverter: Found | None = None,
    content: Content | None = None,
) -> str:
    """Write a bundle of a generator, and of another project's encoder for it.

    Each file is replaced in one step, `bundle.yaml` last.

    Args:
        folder: Made where missing.
        generator: Stored as `dtype`.
        name: What people call the model.
        crop_config: Of the pictures that it was trained on.
        licence: Of the weights.
        dtype: Half precision halves the file; float32 loses nothing.
        source: Where the weights came from, plain values; None for a model of our own.
        inverter: The file whose encoder to store, see `save_inverter`; None for a generator alone.
        content: What whole pictures fill of the square; None where they are aligned faces.

    Returns:
        The generator file's sha256.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{GENERATOR_FILE}.partial"
    save_generator(generator, partial, dtype)
    digest = file_sha256(partial)
    files = {"generator": {"file": GENERATOR_FILE, "sha256": digest}}
    if inverter is not None:
        save_inverter(inverter, folder / f"{INVERTER_FILE}.partial")
        sha256 = file_sha256(folder / f"{INVERTER_FILE}.partial")
        files["inverter"] = {"file": INVERTER_FILE, "sha256": sha256}
    description: dict[str, Any] = {
        "name": name,
        "resolution": generator.img_resolution,
        "crop": {"scale": crop_config.scale, "center": crop_config.center},
        **told_content(content, generator.img_resolution),
        "licence": licence,
        "files": files,
    }
    if source is not None:
        description["source"] = dict(source)
    listing = folder / f"{BUNDLE_FILE}.partial"
    listing.write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")
    for entry in files.values():
        (folder / f"{entry['file']}.partial").replace(folder / entry["file"])
    listing.replace(folder / BUNDLE_FILE)
    return digest


def _on_base(folder: Path, data: Mapping[str, Any]) -> ModelBundle:
    """A bundle of a block alone; its `base` is the name of the folder beside it that holds all the rest."""
    name = str(data["base"])
    if Path(name).name != name or name in ("", ".", ".."):
        raise CheckpointError(
            f"{folder / BUNDLE_FILE}: base {name!r}; must be the name of a folder beside it"
        )
    base = read_bundle(folder.parent / name)
    resolution, (path, sha256) = (
        _whole("resolution", data["resolution"]),
        _checked(folder, "block", data["files"]["block"]),
    )
    if base.block_path is not None or resolution != 2 * base.resolution:
        raise CheckpointError(
            f"{folder / BUNDLE_FILE}: a block of {resolution} px on {base.name}, {base.resolution} px; "
            "must double a model that has not grown"
        )
    return replace(
        base,
        folder=folder,
        name=str(data["name"]),
        resolution=resolution,
        licence=str(data["licence"]),
        block_path=path,
        block_sha256=sha256,
    )


def _whole(name: str, value: object) -> int:
    if type(value) is not int:
        raise ValueError(f"{name}: {value!r}; must be a whole number")
    return value


def _crop_config(entry: Mapping[str, Any]) -> CropConfig:
    found = CropConfig(**entry)
    for name, value in (("scale", found.scale), ("center", found.center)):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not abs(value) < MOST_CROP or (name == "scale" and value <= 0):
            raise ValueError(f"crop {name}: {value!r}; must be a number, a scale above zero")
    return found


def _checked(folder: Path, role: str, entry: dict[str, Any]) -> tuple[Path, str]:
    path, wanted = folder / entry["file"], str(entry["sha256"])
    if path.parent != folder:
        raise CheckpointError(
            f"{folder / BUNDLE_FILE}: {role} {entry['file']!r} is outside the bundle's folder"
        )
    if not path.is_file():
        raise CheckpointError(f"{path}: missing; the bundle lists it as its {role}")
    found = file_sha256(path)
    if found != wanted:
        raise CheckpointError(f"{path}: damaged: sha256 {found[:12]}..., the bundle says {wanted[:12]}...")
    return path, found
