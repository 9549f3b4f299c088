"""Loss terms as pure functions: tensors in, one scalar out."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.nn.functional import all_gather

from stylegan2.checks import check_shape
from stylegan2.errors import ShapeError

CHANGED = 0.25  # difference of two pixels on [-1, 1] that counts as a change in full


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


def focused_l2(img: Tensor, target: Tensor, before: Tensor, focus: float) -> Tensor:
    """`pixel_l2` that weighs more where an edit has changed the picture.

        mean (1 + focus m) (img - target)^2,  m = min(1, |target - before| / 0.25), averaged over 9 x 9 pixels

    Args:
        img: Edited pictures [N, C, H, W] in [-1, 1].
        target: What they should be, the same shape and range.
        before: `target` without the edit, the same shape and range.
        focus: At least 0.

    Raises:
        ShapeError: The shapes differ.
    """
    check_shape("img", img, "N", "C", "H", "W")
    check_shape("target", target, *img.shape)
    check_shape("before", before, *img.shape)
    changed = ((target - before).abs().mean(1, keepdim=True) / CHANGED).clamp(max=1)
    m = F.avg_pool2d(changed, 9, 1, 4)
    return ((1 + focus * m) * (img - target).square()).mean()


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


def info_nce(image_emb: Tensor, latent_emb: Tensor, logit_scale: Tensor, weight_image: float = 0.5) -> Tensor:
    """Contrast every matched pair with all others of the batch, both ways (CLCAE section 3.1, L_align).

        L(I -> w) = -1/N sum_i log (exp(s <a_i, b_i>) / sum_k exp(s <a_i, b_k>))
        L_align   = lambda L(I -> w) + (1 - lambda) L(w -> I)

    With L(w -> I) the same with the roles exchanged. In a distributed run the sums go over the pairs of all
    processes, which must hold equally many; gradients averaged over the processes, as
    DistributedDataParallel does, are then those of the whole batch.

    Args:
        image_emb: Unit vectors a [N, D].
        latent_emb: Unit vectors b [N, D]; row i belongs to row i of `image_emb`.
        logit_scale: Inverse temperature s [], positive.
        weight_image: lambda, in [0, 1].

    Returns:
        Scalar, at least 0; ln N where the embeddings say nothing.

    Raises:
        ShapeError: The shapes differ, or `logit_scale` is no scalar.
    """
    check_shape("image_emb", image_emb, "N", "D")
    check_shape("latent_emb", latent_emb, *image_emb.shape)
    check_shape("logit_scale", logit_scale)
    image_emb, latent_emb = _of_all_processes(image_emb), _of_all_processes(latent_emb)
    logits = logit_scale * image_emb @ latent_emb.T  # [pictures, latents]
    own = torch.arange(len(logits), device=logits.device)
    return torch.lerp(F.cross_entropy(logits.T, own), F.cross_entropy(logits, own), weight_image)


def _of_all_processes(embedding: Tensor) -> Tensor:
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return embedding
    return torch.cat(all_gather(embedding))  # type: ignore[no-untyped-call]
