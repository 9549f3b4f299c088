"""Refine an inversion by optimisation: every space from where it stands, none ever below it."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from inversion.feature_synthesis import FeatureSpace, FeatureSynthesis
from inversion.inversion import Inversion
from inversion.optimise import LatentSearch, OptimiseConfig
from inversion.optimise_code import optimise_code
from inversion.search import KEPT, Tell
from stylegan2.errors import ConfigError
from stylegan2.generator import Generator

MAX_STEPS = 2000  # in each space


def refine_inversion(
    generator: Generator,
    target: Tensor,
    start: Inversion,
    steps: int,
    *,
    space: FeatureSpace | None = None,
    fit_colours: Callable[[Tensor], Tensor] | None = None,
    progress: Tell | None = None,
    config: OptimiseConfig | None = None,
) -> Inversion:
    """Improve w, ws and f, each by itself: the code of f on the styles that it has, then w, then ws.

    f comes first, since it is what is looked at; ws starts from the better of its own and w for every layer.

    Args:
        generator: Frozen; its device is where the work happens.
        target: img [1, 3, R, R] in [-1, 1], the picture that `start` inverts.
        start: Where to begin.
        steps: Most steps in each space, 1 to `MAX_STEPS`; fewer where the picture stops improving.
        space: How f is used; needed where `start` has one that shall be refined.
        fit_colours: ws -> the same with the picture's colours; kept where it comes closer.
        progress: Told after every step; answering False cancels, and the best so far is returned.
        config: Learning rates and weights.

    Returns:
        In every space the best found, at least as close to `target` as `start`; on the CPU.

    Raises:
        ShapeError: `target` has another shape.
        ConfigError: `steps` is out of range.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise ConfigError(f"steps: {steps}; must be from 1 to {MAX_STEPS}")
    search = LatentSearch(generator, config)
    refined = replace(start, steps=0, stopped=False)
    if start.f is not None and space is not None:
        synthesis = FeatureSynthesis(search.synthesis, space).to(search.device)
        found = optimise_code(
            synthesis, target, start.f.ws, start.f.code, steps, progress=progress, config=config
        )
        code = found.best.cpu()
        f = start.f if torch.equal(code, start.f.code) else replace(start.f, code=code, pixels=None)
        refined = replace(refined, f=f, steps=found.steps, stopped=found.stopped)
    if refined.stopped:
        return refined
    found = search.w(target, start.w, steps, progress=progress)
    w, taken = found.best.cpu(), refined.steps + found.steps
    refined = replace(refined, w=w, has_w=True, steps=taken, stopped=found.stopped)
    foundation = generator.broadcast(w.to(search.device))
    ws = max(start.ws.to(search.device), foundation, key=lambda ws: search.psnr(target, ws).item())
    if not refined.stopped:
        found = search.ws(target, ws, w, steps, progress=progress)
        ws, taken = found.best, taken + found.steps
        if fit_colours is not None:
            ws = _closer(search, target, ws, fit_colours(ws.cpu()))
    ws = _closer(search, target, start.ws.to(search.device), ws)
    return replace(refined, ws=ws.cpu(), steps=taken, stopped=found.stopped)


def _closer(search: LatentSearch, target: Tensor, ws: Tensor, other: Tensor) -> Tensor:
    """`other` where it comes closer to the picture by at least `KEPT` dB, else `ws`."""
    other = other.to(ws)
    gain = search.psnr(target, other) - search.psnr(target, ws)
    return other if gain.item() >= KEPT else ws
