"""Loss terms as pure functions: tensors in, one scalar out."""

import torch.nn.functional as F
from torch import Tensor

from stylegan2.checks import check_shape
from stylegan2.errors import ShapeError


def pixel_l2(img: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of pictures (CLCAE section 3.3, L_2).

    Args:
        img: Pictures [N, C, H, W] in [-1, 1].
        target: The same shape and range.

    Returns:
        Scalar, at most 4 inside the range.

    Raises:
        ShapeError: The shapes differ.
    """
    check_shape("img", img, "N", "C", "H", "W")
    check_shape("target", target, *img.shape)
    return F.mse_loss(img, target)


def pooled_l2(img: Tensor, target: Tensor, factor: int) -> Tensor:
    """`pixel_l2` of pictures shrunk by averaging: layout and light, no penalty on unmatched texture.

    Args:
        img: Pictures [N, C, H, W] in [-1, 1], both sides multiples of `factor`.
        target: The same shape and range.
        factor: Pixels a side that are averaged into one.

    Raises:
        ShapeError: The shapes differ, or a side is no multiple of `factor`.
    """
    check_shape("img", img, "N", "C", "H", "W")
    if img.shape[2] % factor or img.shape[3] % factor:
        raise ShapeError("img", tuple(img.shape), f"[N, C, H, W] with H and W multiples of {factor}")
    check_shape("target", target, *img.shape)
    return F.mse_loss(F.avg_pool2d(img, factor), F.avg_pool2d(target, factor))


def latent_regression(w: Tensor, target: Tensor, w_std: Tensor) -> Tensor:
    """Mean squared difference of latents in units of the spread of W.

        mean ((w - target) / w_std)^2

    Args:
        w: Predicted latents [N, w_dim].
        target: True latents [N, w_dim].
        w_std: Root mean square spread of W [].

    Returns:
        Scalar; about 1 where `w` is always the mean of W.

    Raises:
        ShapeError: The shapes differ.
    """
    check_shape("w", w, "N", "D")
    check_shape("target", target, *w.shape)
    return ((w - target) / w_std).square().mean()


def latent_prior(w: Tensor, w_avg: Tensor, w_std: Tensor) -> Tensor:
    """Mean squared distance from the mean of W in units of its spread: keeps `w` where edits work.

    Args:
        w: Latents [N, w_dim].
        w_avg: Mean of W [w_dim].
        w_std: Root mean square spread of W [].

    Raises:
        ShapeError: The widths differ.
    """
    check_shape("w", w, "N", "D")
    check_shape("w_avg", w_avg, w.shape[1])
    return ((w - w_avg) / w_std).square().mean()


def identity_loss(embedding: Tensor, target: Tensor) -> Tensor:
    """One minus the mean cosine of unit embeddings (CLCAE section 3.3, L_id).

    Args:
        embedding: Unit vectors [N, D].
        target: Unit vectors [N, D].

    Returns:
        Scalar in [0, 2].

    Raises:
        ShapeError: The shapes differ.
    """
    check_shape("embedding", embedding, "N", "D")
    check_shape("target", target, *embedding.shape)
    return 1 - (embedding * target).sum(1).mean()
