"""Principal components that GANSpace (arXiv:2004.02546) found: its cache, its exported edits, e4e's files."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inversion.directions.errors import DirectionError
from inversion.directions.known import KnownEdit, KnownFile
from inversion.directions.linear import EditDirection
from inversion.directions.target import RANGE, DirectionTarget

OFFERED = 10  # components of a file in which none has a name
UNIT_TOLERANCE = 1e-2
GROUP = "Components"
MODEL = "StyleGAN2"
# Side in pixels of NVIDIA's StyleGAN2 generators, by GANSpace's name of the data set.
RESOLUTIONS = {"ffhq": 1024, "car": 512, "cat": 256, "church": 256, "horse": 256}
_PUBLISHED, _ONE_WAY, _OTHER_WAY = "as published", "one way", "the other"


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Components of W, strongest first."""

    mean: Tensor  # [w_dim]
    components: Tensor  # [K, w_dim], unit L2 norm
    sigma: Tensor  # standard deviation of w along each [K]


def read_principal(
    path: Path, target: DirectionTarget, tree: Mapping[str, Any], known: KnownFile | None
) -> list[EditDirection]:
    """Edits of e4e's dict of `mean` [1, w_dim], `comp` [K, 1, w_dim] and `std` [K], by the absolute rule.

    Those that `known` names, else the first `OFFERED`.

    Raises:
        DirectionError: Tensors of another width, or that do not fit each other.
    """
    return _edits(path, target, _principal(path, target, tree["mean"], tree["comp"], tree["std"]), known)


def read_cache(path: Path, target: DirectionTarget, tree: Mapping[str, Any]) -> list[EditDirection]:
    """The first `OFFERED` components of GANSpace's `.npz`, by the absolute rule.

    The file does not say what it is of; its name does: model, then `_w` where components are W's.

    Raises:
        DirectionError: The name does not say StyleGAN2 and W, or see `read_principal`.
    """
    words = path.stem.lower().replace("-", "_").split("_")
    if words[0] != MODEL.lower():
        target.doubt(
            path, f"GANSpace components whose file name does not begin with 'stylegan2', but {words[0]!r}"
        )
    if "w" not in words:
        target.doubt(
            path, "GANSpace components of space Z, since its file name has no '_w'; edits here move w"
        )
    for name, side in RESOLUTIONS.items():
        if name in words and side != target.generator.img_resolution:
            target.doubt(path, _another_size(f"components of {name}", side, target))
    found = _principal(path, target, tree["lat_mean"], tree["lat_comp"], tree["lat_stdev"])
    return _edits(path, target, found, None)


def read_export(path: Path, target: DirectionTarget, tree: Mapping[str, Any]) -> list[EditDirection]:
    """The edit of GANSpace's exported `.pkl`: an offset in its standard deviations, on its layers.

    The file has no mean, so that the absolute rule cannot be told.

    Raises:
        DirectionError: Of another model, of space Z or of activations; or numbers that make no edit.
    """
    model, data = str(tree.get("model_name")), str(tree.get("output_class")).lower()
    space, kind = str(tree.get("latent_space")), str(tree.get("edit_type", "latent"))
    if model != MODEL:
        target.doubt(path, f"a GANSpace edit of {model} ({data}); must be of {MODEL}")
    if space != "W":
        target.doubt(path, f"a GANSpace edit of space {space}; edits here move W")
    if kind != "latent":
        target.doubt(path, f"a GANSpace edit of type {kind!r}, which moves activations; edits here move W")
    if (side := RESOLUTIONS.get(data)) is not None and side != target.generator.img_resolution:
        target.doubt(path, _another_size(f"an edit of {data}", side, target))
    try:
        vector = tree["lat_comp"].detach().float().flatten()
        sigma = float(tree["lat_stdev"]) * vector.norm().item()
        exported = float(tree["sigma_range"])
        reach = abs(exported)
        first, end = int(tree["edit_start"]), int(tree["edit_end"])
        name = str(tree["name"]).strip() or path.stem
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DirectionError(
            f"{path}: an incomplete GANSpace edit ({type(error).__name__}: {error})"
        ) from error
    check_width(path, target, vector.shape[0])
    layers = (first, min(end, target.generator.num_ws))
    if not (0 <= first < layers[1]) or not (math.isfinite(sigma) and sigma > 0) or not 0 < reach < math.inf:
        raise DirectionError(
            f"{path}: a GANSpace edit of layers {first} to {end}, deviation {sigma:g}, range {reach:g}; "
            f"must be layers below {target.generator.num_ws}, numbers above 0"
        )
    edit = target.offset(path, vector)
    low, high = _ends(exported)
    return [
        replace(
            edit, name=name, label=name, low=low, high=high, sigma=sigma, range=(-reach, reach), layers=layers
        )
    ]


def check_width(path: Path, target: DirectionTarget, width: int) -> None:
    """Refuse vectors of another width; no `force` helps, as there is nothing that they could be added to.

    Raises:
        DirectionError: `width` is not the generator's w_dim.
    """
    if width != target.generator.w_dim:
        raise DirectionError(
            f"{path}: directions of width {width}; this generator's styles are "
            f"{target.generator.w_dim} wide, and --force does not help"
        )


def _principal(
    path: Path, target: DirectionTarget, mean: Tensor, components: Tensor, sigma: Tensor
) -> Principal:
    if not all(isinstance(value, Tensor) for value in (mean, components, sigma)) or components.ndim < 2:
        raise DirectionError(f"{path}: components, their mean or deviation are no arrays; damaged")
    check_width(path, target, components.shape[-1])
    mean, sigma = mean.float().flatten(), sigma.float().flatten()
    components = components.float().reshape(-1, target.generator.w_dim)
    if len(mean) != target.generator.w_dim or len(sigma) != len(components):
        raise DirectionError(
            f"{path}: {len(components)} components with a mean of {len(mean)} and {len(sigma)} deviations; "
            f"must be a mean of {target.generator.w_dim} and a deviation each"
        )
    norms = components.norm(dim=1)
    if not (norms - 1).abs().le(UNIT_TOLERANCE).all() or not torch.isfinite(mean).all():
        raise DirectionError(f"{path}: components that are not of unit length, or a mean that is not finite")
    return Principal(mean=mean, components=components / norms[:, None], sigma=sigma)


def _edits(
    path: Path, target: DirectionTarget, found: Principal, known: KnownFile | None
) -> list[EditDirection]:
    named = known.edits if known is not None and known.edits else _unnamed(path, len(found.components))
    edits = []
    for edit in named:
        if edit.component >= len(found.components) or not found.sigma[edit.component] > 0:
            raise DirectionError(
                f"{path}: no component {edit.component} with a deviation above 0; "
                f"there are {len(found.components)}"
            )
        published = edit.published
        reach = max(RANGE[1], abs(published or 0.0))
        low, high = _ends(published or 0.0)
        edits.append(
            EditDirection(
                name=edit.name,
                label=edit.label,
                group=edit.group,
                low=low,
                high=high,
                direction=found.components[edit.component].clone(),
                sigma=found.sigma[edit.component].item(),
                range=(-reach, reach),
                layers=_within(edit.layers, target.generator.num_ws),
                mean=found.mean,
            )
        )
    return edits


def _ends(published: float) -> tuple[str, str]:
    """What the ends of a slider say: the strength that its maker chose tells the side that the name is of."""
    return (_PUBLISHED if published < 0 else _ONE_WAY, _PUBLISHED if published > 0 else _OTHER_WAY)


def _unnamed(path: Path, count: int) -> tuple[KnownEdit, ...]:
    return tuple(
        KnownEdit(name=f"{path.stem}-{i + 1}", label=f"Component {i + 1}", group=GROUP, component=i)
        for i in range(min(OFFERED, count))
    )


def _within(layers: tuple[int, int] | None, num_ws: int) -> tuple[int, int]:
    """Layers of a known edit; of a smaller generator, which only `force` lets come here, they end earlier."""
    if layers is None:
        return 0, num_ws
    first = min(layers[0], num_ws - 1)
    return first, max(first + 1, min(layers[1], num_ws))


def _another_size(what: str, side: int, target: DirectionTarget) -> str:
    have = target.generator.img_resolution
    return f"{what}, made for a generator of {side} px; this one draws {have} px"
