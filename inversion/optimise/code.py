"""Improve the code of the space F by gradient descent."""

from dataclasses import replace

import torch
from torch import Tensor

from inversion.chain.steps import FeatureSynthesis
from inversion.optimise.latents import OptimiseConfig
from inversion.optimise.search import SearchResult, Tell, search
from stylegan2.checks import check_shape

SMALLEST = 0.25  # size that a code moves by at least, for codes that are all but zero


def optimise_code(
    synthesis: FeatureSynthesis,
    target: Tensor,
    ws: Tensor,
    code: Tensor,
    steps: int,
    *,
    progress: Tell | None = None,
    config: OptimiseConfig | None = None,
) -> SearchResult:
    """Minimise the pixel error of G(ws, f), and the way that the code goes, for each picture by itself.

    Only the code moves, so that edits start from the same styles as before. Only the part of the generator
    above f is run.

    Args:
        synthesis: Frozen; its device is where the work happens.
        target: img [N, 3, R, R] in [-1, 1], on the device of `synthesis`.
        ws: Styles [N, num_ws, w_dim]; they stay.
        code: Start [N, code, R, R].
        steps: At most so many, fewer where no picture improves any more; with 0 the code stays.
        progress: See `search`.
        config: Learning rate.

    Returns:
        The best code of each picture, on the device.

    Raises:
        ShapeError: `ws` or `code` is of another number of pictures.
    """
    check_shape("ws", ws, len(target), *ws.shape[1:])
    check_shape("code", code, len(target), *code.shape[1:])
    device, config = target.device, config or OptimiseConfig()
    ws, code = ws.to(device), code.to(device)
    with torch.no_grad():
        a, below = synthesis.lower(ws)
    # Codes of different models differ in size. A power of two changes no digit of a code that stays.
    size = code.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=SMALLEST).log2().round().exp2()
    start = code / size
    found = search(
        start,
        lambda moving: synthesis.unedited(below, ws, moving * size, a),
        target,
        space="f",
        steps=steps,
        config=config.code,
        penalty=lambda moving: config.code_spread * (moving - start).square().mean((1, 2, 3)),
        progress=progress,
    )
    return replace(found, best=found.best * size)
