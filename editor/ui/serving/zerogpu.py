"""ZeroGPU, of Hugging Face's Spaces: a GPU that is lent for the time of one call."""

import importlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from editor.model.opening import open_model
from editor.ui.aside import Outcome, run_aside
from inversion.chain.inversion import Inversion
from inversion.chain.inverter import InvertsPictures
from inversion.optimise.search import Progress, Tell
from stylegan2.bundle.opening import load_bundle

_STEP, _START, _MOST = 0.2, 20.0, 120.0  # seconds of GPU: a step in all spaces, what comes before, and a call


class LentGPU:
    """Optimises inversions on a lent GPU; everything else stays where it is.

    Sliders ask for pictures faster than a GPU is lent. What is decorated runs in a process that was forked
    from this one, whose engines do not outlive that: it opens the model for itself.

    Args:
        device: Where the decorated function computes.
    """

    def __init__(self, device: str = "cuda") -> None:
        spaces = importlib.import_module("spaces")  # only there on Spaces
        self._device = device
        self._search: Callable[..., Iterator[Progress | Inversion]]
        self._search = spaces.GPU(_search, duration=_duration)

    def optimise(
        self,
        model: Path,
        here: InvertsPictures,
        pixels: Tensor,
        start: Inversion,
        steps: int,
        progress: Tell | None = None,
    ) -> Inversion:
        """What `Inverter.optimise` does; by `here`, on this machine, where no GPU is to be had.

        Args:
            model: Bundle or weights file that `here` was made of.
            here: The editor's own inverter.
            pixels: As of `Inverter.optimise`, and so the others.
            start: Where to begin.
            steps: Most steps in each space.
            progress: Told after every step; answering False cancels.
        """
        result = None
        with tempfile.TemporaryDirectory(prefix="live-face-editor-stop-") as folder:
            stop = Path(folder) / "stop"  # that the other process looks for: it can be told nothing else
            sent = replace(start, foundation=None)  # holds networks
            try:
                for news in self._search(str(model), self._device, pixels, sent, steps, str(stop)):
                    if isinstance(news, Inversion):
                        result = news
                    elif progress is not None and not progress(news):
                        stop.touch()
            except gr.Error:  # the visitor's share is used up, or no GPU is free
                result = None
        if result is None:
            return here.optimise(pixels, start, steps, progress=progress)
        return replace(result, foundation=start.foundation)


def _duration(model: str, device: str, pixels: Tensor, start: Inversion, steps: int, stop: str) -> float:
    return min(_START + _STEP * steps, _MOST)


def _search(
    model: str, device: str, pixels: Tensor, start: Inversion, steps: int, stop: str
) -> Iterator[Progress | Inversion]:
    """In the process that has the GPU: how the optimisation goes, and last its result."""
    inverter, flag = _opened(model, device), Path(stop)

    def work(tell: Callable[[Progress], None]) -> Inversion:
        def report(progress: Progress) -> bool:
            tell(progress)
            return not flag.exists()

        return inverter.optimise(pixels, start, steps, progress=report)

    told: Any = run_aside("optimisation", work)
    while not isinstance(news := told.get(), Outcome):
        yield news
    if news.error is not None:
        raise gr.Error(str(news.error))
    if news.result is not None:
        yield news.result


@lru_cache(maxsize=1)
def _opened(model: str, device: str) -> InvertsPictures:
    return open_model(load_bundle(model), device=device, engine="torch").inverter
