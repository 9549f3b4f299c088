"""Conditional generators: one class, folded into the mapping network."""

from dataclasses import replace

import torch
from torch import Tensor

from stylegan2.errors import CheckpointError
from stylegan2.layouts.translation import Translation


def fold_class(
    weight: Tensor, bias: Tensor, embed_weight: Tensor, embed_bias: Tensor, class_number: int | None
) -> tuple[Tensor, Tensor]:
    """The first mapping layer of an unconditional generator that draws one class, exactly.

    StyleGAN2-ADA normalises z and the embedding y of the class apart and joins them (arXiv:2006.06676, its
    code). For a fixed class y is constant, and what the layer makes of it belongs into the bias:

        gain / sqrt(Z + E) (W_z z + W_y y) + gain b
            = gain / sqrt(Z) (W_z sqrt(Z / (Z + E))) z + gain (b + W_y y / sqrt(Z + E))

    Args:
        weight: Of the first layer [O, Z + E], stored for the equalised learning rate.
        bias: Of the first layer [O].
        embed_weight: Of the embedding [E, classes], stored as `weight` is.
        embed_bias: Of the embedding [E].
        class_number: Which class, from 0; None where nobody chose one.

    Returns:
        Weight [O, Z] and bias [O], float32.

    Raises:
        CheckpointError: No class was chosen, there is no such class, or the tensors fit no such network.
    """
    if embed_weight.ndim != 2 or weight.ndim != 2 or weight.shape[1] <= embed_weight.shape[0]:
        raise CheckpointError(
            f"a conditional generator whose embedding {list(embed_weight.shape)} does not fit its first "
            f"mapping layer {list(weight.shape)}"
        )
    features, classes = embed_weight.shape
    if embed_bias.shape != (features,):
        raise CheckpointError(f"mapping.embed.bias: found {list(embed_bias.shape)}, expected [{features}]")
    chosen(class_number, classes)
    both = weight.shape[1]
    z_dim = both - features
    y = embed_weight[:, class_number].float() / classes**0.5 + embed_bias.float()
    y = y * torch.rsqrt(y.square().mean() + 1e-8)
    from_z, from_y = weight.float().tensor_split([z_dim], 1)
    return from_z * (z_dim / both) ** 0.5, bias.float() + from_y @ y / both**0.5


def chosen(class_number: int | None, classes: int) -> None:
    """Check the choice of a class.

    Raises:
        CheckpointError: None was chosen, or there is none of this number.
    """
    allowed = f"--class N with N from 0 to {classes - 1} makes a model of one class"
    if class_number is None:
        raise CheckpointError(f"a conditional generator of {classes} classes; {allowed}")
    if not 0 <= class_number < classes:
        raise CheckpointError(
            f"class {class_number}: a conditional generator of {classes} classes; {allowed}"
        )


def told_class(found: Translation, class_number: int | None, classes: int) -> Translation:
    """A translation whose first mapping layer `fold_class` made, which says so."""
    note = f"class {class_number} of {classes} (from 0), folded in; w_avg is the mean over all classes"
    # The embedding's weight and bias were used too.
    return replace(found, notes=(*found.notes, note), class_number=class_number, entries=found.entries + 2)
