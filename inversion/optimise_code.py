"""Refine the code of the space F by optimisation, after the latents that it belongs to."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inversion.feature_synthesis import FeatureSynthesis
from inversion.optimise import OptimiseConfig
from inversion.search import Progress, search
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
        steps: At most so many, fewer where no picture improves any more; with 0 the code stays.
        progress: Called after each step; answering False stops.
        config: Learning rate.

    Returns:
        The code of the lowest loss seen for each picture, `code` among them, on the CPU.

    Raises:
        ShapeError: `ws` or `code` is of another number of pictures.
    """
    check_shape("ws", ws, len(target), *ws.shape[1:])
    check_shape("code", code, len(target), *code.shape[1:])
    device, config = synthesis.synthesis.const.device, config or OptimiseConfig()
    ws = ws.to(device)
    with torch.no_grad():
        a, below = synthesis.lower(ws)

    found = search(
        code.to(device),
        lambda moving: synthesis.upper(a, below, ws, moving, a),
        target.to(device),
        steps=steps,
        lr=config.lr_code,
        patience=config.patience,
        min_gain=config.min_gain,
        progress=progress,
    )
    return OptimisedCode(code=found.best.cpu(), stopped=found.stopped)
