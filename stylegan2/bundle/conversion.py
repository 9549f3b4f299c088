"""From a weights file of any layout to a model bundle."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.bundle.content import Content, content_of_size
from stylegan2.bundle.folder import (
    BUNDLE_FILE,
    CropConfig,
    ModelBundle,
    read_bundle,
    save_bundle,
)
from stylegan2.engines.cache import cache_folder
from stylegan2.errors import CheckpointError
from stylegan2.layouts.found import Found
from stylegan2.layouts.loading import Loaded, build_generator
from stylegan2.layouts.psp_family import ENCODER_KINDS, OURS, sees_cars
from stylegan2.layouts.recognise import recognise
from stylegan2.reading import read_document
from stylegan2.reading.listing import read_listing

UNKNOWN_LICENCE = "unknown: see where the file came from"
# No layout states how its training pictures were cropped, and published face models follow FFHQ.
ASSUMED_CROP = CropConfig()
CARS = Content(height=0.75)  # 4:3, see `sees_cars`
# Part of the cache's key: raise it when a conversion gives other bundles than before.
CONVERSION_VERSION = 5


def convert_file(
    path: str | Path,
    folder: Path,
    *,
    name: str | None = None,
    licence: str = UNKNOWN_LICENCE,
    force: bool = False,
    generator_only: bool = False,
    w_avg_from: Path | None = None,
    class_number: int | None = None,
    check_encoder: Callable[[Found], None] | None = None,
    pictures: tuple[int, int] | None = None,
) -> Loaded:
    """Write the generator of `path` as a bundle, in float32, with the encoder where it is one that runs here.

    `bundle.yaml` comes last: without it, no bundle.

    Args:
        path: A weights file.
        folder: Of the bundle; made where missing.
        name: What people call the model; None for the file's name.
        licence: Of the weights.
        force: Write into a folder that is not empty.
        generator_only: Leave an encoder out.
        w_avg_from: A file of the same generator that has the mean of W, where `path` lacks it as CLCAE's
            does; None computes it, see `build_generator`.
        class_number: Of a conditional generator the class to draw.
        check_encoder: Raises CheckpointError where an encoder that would be stored cannot run; None stores it
            unchecked.
        pictures: Width and height in px of the pictures that the generator was trained on, which are no
            faces; None for what the file says: cars, or else faces.

    Raises:
        ConfigError: `pictures` does not fit the generator, see `content_of_size`.
        CheckpointError: See `build_generator` and `check_encoder`; or `folder` is not empty, or cannot be
            written; or `w_avg_from` is another generator's, or lacks the mean too.
    """
    path = Path(path)
    _check_target(folder, force=force)
    found = recognise(read_document(path), class_number)
    loaded = build_generator(found)
    if w_avg_from is not None:
        loaded = _with_mean_of(loaded, w_avg_from)
    side = loaded.generator.img_resolution
    content = content_in(found) if pictures is None else content_of_size(*pictures, side)
    inverts = runs_here(found) and not generator_only
    if inverts and check_encoder is not None:
        check_encoder(found)
    try:
        save_bundle(
            folder,
            loaded.generator,
            name=name or path.stem,
            crop_config=ASSUMED_CROP,
            licence=licence,
            dtype=torch.float32,
            source={**loaded.facts, "sha256": file_sha256(path)},
            inverter=found if inverts else None,
            content=content,
        )
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error})") from error
    return loaded


def content_in(found: Found) -> Content | None:
    """What the pictures of a file's generator fill of their square; None where they are taken for faces."""
    num_ws = 0 if found.config is None else found.config.num_ws
    cars = found.layout in ENCODER_KINDS and sees_cars(found.layout, found.opts, num_ws)
    return CARS if cars else None


def runs_here(found: Found) -> bool:
    """Whether a file has an encoder of a kind that a bundle keeps."""
    return found.layout in OURS and bool(found.encoder)


def _with_mean_of(loaded: Loaded, path: Path) -> Loaded:
    other = build_generator(recognise(read_document(path)))
    if other.w_avg_source != "file":
        raise CheckpointError(f"{path}: has no mean of W either; leave it out, and the mean is computed")
    mapping, wanted = other.generator.mapping.state_dict(), loaded.generator.mapping.state_dict()
    alike = mapping.keys() == wanted.keys() and all(
        value.shape == mapping[name].shape and torch.allclose(value, mapping[name], atol=1e-3, rtol=1e-2)
        for name, value in wanted.items()
        if name != "w_avg"
    )
    if not alike:
        raise CheckpointError(f"{path}: of another generator, whose mean of W means nothing here")
    loaded.generator.w_avg.copy_(other.generator.w_avg)
    source = f"from {path.name}"
    return replace(loaded, w_avg_source=source, facts={**loaded.facts, "w_avg": source})


def cached_bundle(path: Path) -> ModelBundle:
    """The bundle of a weights file: the one that it is part of, else one converted into the cache, once.

    Raises:
        CheckpointError: See `convert_file`.
    """
    if (home := bundle_around(path)) is not None:
        return home
    shelf = cache_folder() / "bundles"
    folder = shelf / f"{file_sha256(path)}-{CONVERSION_VERSION}"
    if folder.is_dir():
        try:
            return read_bundle(folder)
        except CheckpointError:  # damaged since: convert again
            shutil.rmtree(folder, ignore_errors=True)
    try:
        shelf.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=shelf, ignore_cleanup_errors=True) as aside:
            convert_file(path, Path(aside) / folder.name)
            _move(Path(aside) / folder.name, folder)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be converted into {shelf} ({error}); CLCAE_CACHE_DIR names another folder"
        ) from error
    return read_bundle(folder)


def bundle_around(path: Path) -> ModelBundle | None:
    """The bundle in whose folder `path` is the generator; None where it is no part of one.

    Raises:
        CheckpointError: It is, but the bundle is damaged.
    """
    try:
        listed = read_listing(path.parent / BUNDLE_FILE)["files"]["generator"]["file"]
    except (CheckpointError, KeyError, TypeError):
        return None
    return read_bundle(path.parent) if listed == path.name else None


def _check_target(folder: Path, *, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder}: is a file; a bundle is a folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise CheckpointError(f"{folder}: not empty; --force writes into it all the same")


def _move(fresh: Path, folder: Path) -> None:
    try:
        os.replace(fresh, folder)
    except OSError:
        # Another process may have converted the same file meanwhile: its folder is as good.
        if not (folder / BUNDLE_FILE).is_file():
            raise
