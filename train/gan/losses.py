"""Losses of adversarial training as pure functions."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.checks import check_shape


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Logistic loss of telling real from generated (Goodfellow et al. 2014, arXiv:1406.2661, Eq. 1, negated).

        E softplus(-D(x)) + E softplus(D(G(z)))

    Args:
        real_logits: D of real pictures [N, 1].
        fake_logits: D of generated pictures [M, 1].

    Returns:
        Scalar; 2 ln 2 for a discriminator that always says 0.

    Raises:
        ShapeError: An argument has another shape.
    """
    check_shape("real_logits", real_logits, "N", 1)
    check_shape("fake_logits", fake_logits, "M", 1)
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating loss of passing for real (Goodfellow et al. 2014, section 3): E softplus(-D(G(z))).

    Args:
        fake_logits: D of generated pictures [N, 1].

    Returns:
        Scalar; ln 2 for a discriminator that always says 0.

    Raises:
        ShapeError: The argument has another shape.
    """
    check_shape("fake_logits", fake_logits, "N", 1)
    return F.softplus(-fake_logits).mean()


def r1_penalty(real_logits: Tensor, img: Tensor, gamma: float) -> Tensor:
    """Penalty on D's slope at real pictures (Mescheder et al. 2018, arXiv:1801.04406, sec. 4.1).

        gamma / 2 E |grad D(x)|^2

    Args:
        real_logits: D of the pictures [N, 1], computed from `img`.
        img: Real pictures [N, 3, H, W] that require a gradient.
        gamma: Weight, at least 0.

    Returns:
        Scalar, differentiable in D's weights.

    Raises:
        ShapeError: An argument has another shape.
    """
    check_shape("img", img, "N", "C", "H", "W")
    check_shape("real_logits", real_logits, len(img), 1)
    (slope,) = torch.autograd.grad(real_logits.sum(), img, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean() * (gamma / 2)


def path_lengths(img: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """How far a step in W moves the picture: |J_w^T y| (Karras et al. 2020, arXiv:1912.04958, section 3.2).

    With one style per layer the squares are averaged over the layers.

    Args:
        img: Pictures [N, 3, H, W] drawn from `ws`.
        ws: Styles [N, num_ws, w_dim] that require a gradient.
        noise: y [N, 3, H, W], unit normal; divided by sqrt(H W), so that lengths do not grow with the size.

    Returns:
        [N], at least 0, differentiable in the generator's weights.

    Raises:
        ShapeError: The shapes do not fit together.
    """
    check_shape("img", img, "N", "C", "H", "W")
    check_shape("noise", noise, *img.shape)
    check_shape("ws", ws, len(img), "L", "D")
    scaled = noise / (img.shape[2] * img.shape[3]) ** 0.5
    (slope,) = torch.autograd.grad((img * scaled).sum(), ws, create_graph=True)
    return slope.square().sum(2).mean(1).sqrt()


def path_length_penalty(lengths: Tensor, mean: Tensor) -> Tensor:
    """Penalty on uneven path lengths (Karras et al. 2020, arXiv:1912.04958, Eq. 4): E (|J_w^T y| - a)^2.

    Args:
        lengths: Path lengths [N].
        mean: a [], their running mean, which the caller keeps.

    Raises:
        ShapeError: An argument has another shape.
    """
    check_shape("lengths", lengths, "N")
    check_shape("mean", mean)
    return (lengths - mean).square().mean()
