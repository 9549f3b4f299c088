"""Refine the code of the space F by optimisation, after the latents that it belongs to."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inversion.feature_synthesis import FeatureSynthesis
from inversion.optimise import OptimiseConfig, Progress, anneal, pixel_loss, psnr
from stylegan2.checks import check_shape


@dataclass(frozen=True, kw_only=True)
class OptimisedCode:
    """The best code found."""

    code: Tensor  # [N, code, R, R]
    stopped: bool  # cancelled by the caller


def optimise_code(
    synthesis: FeatureSynthesis,
    target: Tensor,
    ws: Tensor,
    code: Tensor,
    steps: int,
    *,
    progress: Callable[[Progress], bool] | None = None,
    config: OptimiseConfig | None = None,
) -> OptimisedCode:
    """Minimise the pixel error of G(ws, f), for each picture by itself.

    A refiner predicts the code for latents as the encoder finds them, and is less sure of those that an
    optimisation found; a few steps make up for it. Only the part of the generator above f is run.

    Args:
        synthesis: Frozen; its device is where the work happens.
        target: img [N, 3, R, R] in [-1, 1].
        ws: Styles [N, num_ws, w_dim]; they stay.
        code: Start [N, code, R, R].
        steps: How many to take; with 0 the code stays.
        progress: Called after each step; answering False stops.
        config: Learning rate.

    Returns:
        The code of the lowest loss seen for each picture, `code` among them, on the CPU.

    Raises:
        ShapeError: `ws` or `code` is of another number of pictures.
    """
    check_shape("ws", ws, len(target), *ws.shape[1:])
    check_shape("code", code, len(target), *code.shape[1:])
    device, lr = synthesis.synthesis.const.device, (config or OptimiseConfig()).lr_code
    target, ws = target.to(device), ws.to(device)
    best = code.detach().clone().to(device)
    with torch.no_grad():
        a, below = synthesis.lower(ws)
    moving = best.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([moving], lr, betas=(0.9, 0.99))
    best_loss, best_psnr = target.new_full((len(target),), float("inf")), target.new_zeros(len(target))
    stopped = False
    for i in range(steps):
        anneal(optimiser, lr, i / steps)
        with torch.enable_grad():
            img = synthesis.upper(a, below, ws, moving, a)
            loss = pixel_loss(img, target)
            optimiser.zero_grad()
            loss.sum().backward()  # type: ignore[no-untyped-call]
        better = loss.detach() < best_loss
        best_loss = torch.where(better, loss.detach(), best_loss)
        best_psnr = torch.where(better, psnr(img.detach(), target), best_psnr)
        best[better] = moving.detach()[better]
        optimiser.step()
        news = Progress(step=i + 1, steps=steps, psnr=best_psnr.mean().item())
        if progress is not None and not progress(news):
            stopped = True
            break
    return OptimisedCode(code=best.cpu(), stopped=stopped)
