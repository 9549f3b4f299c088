"""Search for what draws a picture best: Adam on one tensor a picture, the best of each kept."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where an optimisation stands, told after every step."""

    step: int  # steps done
    steps: int  # steps at most
    psnr: float  # of the best pictures so far, in dB on [-1, 1], their mean


@dataclass(frozen=True, kw_only=True)
class Found:
    """The best of each picture that a search has seen."""

    best: Tensor  # [N, ...], as the start
    steps: int  # steps taken
    stopped: bool  # by the caller


def search(
    start: Tensor,
    draw: Callable[[Tensor], Tensor],
    target: Tensor,
    *,
    steps: int,
    lr: float,
    patience: int,
    min_gain: float,
    penalty: Callable[[Tensor], Tensor] | None = None,
    progress: Callable[[Progress], bool] | None = None,
) -> Found:
    """Minimise `pixel_loss` of what is drawn, and a penalty, for each picture by itself.

    Args:
        start: What moves [N, ...].
        draw: From it to img [N, 3, R, R].
        target: img [N, 3, R, R] in [-1, 1].
        steps: At most so many.
        lr: Adam's learning rate, annealed by a cosine to a tenth: large moves first, then settle.
        patience: Steps without `min_gain` after which a picture keeps what it has;
            when all do, the search ends.
        min_gain: Relative decrease of the loss that counts.
        penalty: Added to the losses, [N].
        progress: Called after each step; answering False stops.

    Returns:
        Of each picture what had the lowest loss, `start` among them.
    """
    moving = start.detach().clone().requires_grad_(True)
    optimiser = torch.optim.Adam([moving], lr, betas=(0.9, 0.99))
    best, best_loss = start.detach().clone(), target.new_full((len(target),), float("inf"))
    best_psnr = torch.zeros_like(best_loss)
    mark, since = best_loss, torch.zeros_like(best_loss)
    seeking = since == 0  # pictures that still improve
    done, stopped = 0, False
    while done < steps and not stopped and seeking.any():
        optimiser.param_groups[0]["lr"] = lr * (0.1 + 0.45 * (1 + math.cos(math.pi * done / steps)))
        with torch.enable_grad():
            img = draw(moving)
            loss = pixel_loss(img, target)
            if penalty is not None:
                loss = loss + penalty(moving)
            optimiser.zero_grad()
            # Adam counts every number for itself: summed, each picture moves as it would alone.
            loss.sum().backward()  # type: ignore[no-untyped-call]
        value = loss.detach()
        better = seeking & (value < best_loss)
        best_loss = torch.where(better, value, best_loss)
        best_psnr = torch.where(better, psnr(img.detach(), target), best_psnr)
        best[better] = moving.detach()[better]
        optimiser.step()
        done += 1
        since = torch.where(value < mark * (1 - min_gain), 0, since + 1)
        mark = torch.where(since > 0, torch.minimum(mark, value), value)
        seeking = seeking & (since < patience)
        if progress is not None:
            stopped = not progress(Progress(step=done, steps=steps, psnr=best_psnr.mean().item()))
    return Found(best=best, steps=done, stopped=stopped)


def part_of(
    progress: Callable[[Progress], bool] | None, before: int, steps: int
) -> Callable[[Progress], bool] | None:
    """`progress` for a part of a longer work: `before` steps were done, `steps` it has at most."""
    if progress is None:
        return None
    return lambda news: progress(replace(news, step=before + news.step, steps=steps))


def pixel_loss(img: Tensor, target: Tensor) -> Tensor:
    """Squared error of each picture at full and at a quarter of the resolution, which carries large shapes.

    Args:
        img: [N, 3, R, R], R a multiple of 4.
        target: The same shape.

    Returns:
        Losses [N].
    """
    fine = (img - target).square().mean((1, 2, 3))
    coarse = (F.avg_pool2d(img, 4) - F.avg_pool2d(target, 4)).square().mean((1, 2, 3))
    return fine + 0.5 * coarse


def psnr(img: Tensor, target: Tensor) -> Tensor:
    """PSNR of each picture [N] in dB, of pictures [N, 3, R, R] in [-1, 1]."""
    error = (img.clamp(-1, 1) - target).square().mean((1, 2, 3))
    return -10 * torch.log10(error.clamp(min=1e-10) / 4)
