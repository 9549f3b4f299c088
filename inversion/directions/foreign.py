"""read_directions: edits of one generator from files of InterFaceGAN, e4e, GANSpace and their relatives."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inversion.directions.bank import MANIFEST, load_directions, owner_of
from inversion.directions.errors import DirectionError
from inversion.directions.foreign_ganspace import check_width, read_cache, read_export, read_principal
from inversion.directions.known import KNOWN_BY_NAME, KNOWN_FILES, KnownFile
from inversion.directions.linear import EditDirection
from inversion.directions.target import SAME, DirectionTarget
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.reading import Document, read_document

USUAL_WIDTH = 512  # of w in every published StyleGAN
S_CHANNELS = 6048  # of the convolutions of a 1024 px generator
S_LAYERS = 26  # of such a generator, toRGB included
_READ = (
    "read are InterFaceGAN's vectors, GANSpace's components and edits, e4e's PCA files, "
    "and folders of directions"
)


def read_directions(path: Path, target: DirectionTarget) -> list[EditDirection]:
    """The edits of one file, or of a folder of directions, for the generator of `target`.

    Nothing that a file holds is run. A vector [w_dim] (also [1, w_dim]) is a direction of every layer; one
    row a layer, [num_ws, w_dim] flat or not, is a direction per layer, unless all rows are equal. Standard
    deviations along vectors are measured; components bring theirs and their mean, see `apply_direction`.

    Args:
        path: The file or folder.
        target: The generator.

    Raises:
        CheckpointError: Missing, damaged, or refused by the reader.
        DirectionError: Not a direction, or one of another generator.
    """
    if path.is_dir():
        return _own_folder(path, target)
    document = read_document(path)
    known = KNOWN_FILES.get(file_sha256(path)[:12]) or KNOWN_BY_NAME.get(path.stem)
    if known is not None and known.img_resolution != target.generator.img_resolution:
        target.doubt(
            path,
            f"{known.title}, made for a generator of {known.img_resolution} px; "
            f"this one draws {target.generator.img_resolution} px",
        )
    tree = document.tree
    if isinstance(tree, dict) and len(tree) == 1 and document.container in ("safetensors", "npz"):
        (tree,) = tree.values()
    _refuse_style_space(path, tree)
    if isinstance(tree, Tensor):
        return [_named(_vector(path, target, document, tree), known)]
    keys = tree.keys() if isinstance(tree, dict) else ()
    if {"mean", "comp", "std"} <= set(keys):
        return read_principal(path, target, tree, known)
    if {"lat_comp", "lat_stdev", "latent_space"} <= set(keys):
        return read_export(path, target, tree)
    if {"lat_comp", "lat_stdev", "lat_mean"} <= set(keys):
        return read_cache(path, target, tree)
    raise DirectionError(f"{path}: no edit direction in it; {_READ}")


def _own_folder(folder: Path, target: DirectionTarget) -> list[EditDirection]:
    owner = owner_of(folder / MANIFEST)
    if target.force and owner:
        target = replace(target, sha256=owner)
    generator = target.generator
    return list(load_directions(folder, target.sha256, generator.w_dim, generator.num_ws).values())


def _refuse_style_space(path: Path, tree: Any) -> None:  # noqa: ANN401
    """StyleCLIP's global directions (arXiv:2103.17249) do not fit: refused by name.

    They belong to S, the channels' scales behind every layer's affine map of w; w has no such offset.
    """
    lists = isinstance(tree, list | tuple) and len(tree) == 2 and isinstance(tree[1], list | tuple)
    if (lists and len(tree[1]) == S_LAYERS) or (
        isinstance(tree, Tensor) and tree.ndim == 2 and tree.shape[0] == S_CHANNELS
    ):
        raise DirectionError(
            f"{path}: StyleCLIP data of the style space S, whose offsets lie behind the affine maps of w; "
            "edits here move w, so that it fits no generator, and --force does not help"
        )


def _vector(path: Path, target: DirectionTarget, document: Document, tensor: Tensor) -> EditDirection:
    generator = target.generator
    if not tensor.is_floating_point() or tensor.numel() == 0:
        raise DirectionError(
            f"{path}: an array {list(tensor.shape)} of {tensor.dtype}; must be numbers with a point"
        )
    if document.container == "npy" and tensor.dtype == torch.float64 and tensor.shape in ((1, 512), (512,)):
        target.doubt(
            path,
            "float64 [1, 512], as InterFaceGAN ships for PGGAN and StyleGAN1 only, and not for StyleGAN2",
        )
    rows = _rows(path, target, tensor)
    check_width(path, target, rows.shape[1])
    length = rows.norm(dim=1).max()
    if len(rows) == 1 or (rows - rows[0]).norm(dim=1).max() <= SAME * length:
        target.doubt_latents(path, rows)
        return target.offset(path, rows[0])
    if len(rows) != generator.num_ws:
        target.doubt(path, f"a direction of {len(rows)} layers; this generator has {generator.num_ws}")
        fitted = rows.new_zeros(generator.num_ws, generator.w_dim)
        shared = min(len(rows), generator.num_ws)
        fitted[:shared] = rows[:shared]
        rows = fitted
    target.doubt_latents(path, rows)
    return target.offset(path, rows)


def _rows(path: Path, target: DirectionTarget, tensor: Tensor) -> Tensor:
    """`tensor` as [rows, width], float32."""
    shape = [size for i, size in enumerate(tensor.shape) if size > 1 or i == tensor.ndim - 1] or [1]
    rows = tensor.detach().float().reshape(shape)
    if rows.ndim > 2:
        raise DirectionError(f"{path}: an array {list(tensor.shape)}, several latents; must be one direction")
    if rows.ndim == 2:
        return rows
    generator, numbers = target.generator, rows.shape[0]
    if numbers in (generator.w_dim, generator.num_ws * generator.w_dim):
        return rows.reshape(-1, generator.w_dim)
    # A flat run of rows for another generator, most likely of the usual width.
    for width in (USUAL_WIDTH, generator.w_dim):
        if numbers % width == 0:
            return rows.reshape(-1, width)
    return rows[None]


def _named(edit: EditDirection, known: KnownFile | None) -> EditDirection:
    if known is None or not known.edits:
        return edit
    (only,) = known.edits
    return replace(edit, name=only.name, label=only.label, group=only.group, low="one way", high="the other")
