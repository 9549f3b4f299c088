"""The processes of a run: one, or many side by side as `accelerate launch` and `torchrun` start them.

Every process computes on its own pictures; gradients are averaged before each update, so that all processes
hold the same weights. Logs, checkpoints and pools of pairs lie in a folder of each process's own.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn

from stylegan2.engines.engine import choose_device

SEED_STRIDE = 10_000_019  # between the seeds of neighbouring processes, beyond every other shift of a seed


def training_device(name: str) -> torch.device:
    """The device of this process: its own GPU where several processes share a machine.

    Args:
        name: "auto", "cpu", "cuda" or "mps".

    Raises:
        EngineError: The device is not there.
    """
    device = choose_device(name)
    state = PartialState(cpu=device.type == "cpu")
    return state.device if state.num_processes > 1 else device


@contextmanager
def leaving_together() -> Iterator[None]:
    """Part from the other processes at the end of the work, so that none is torn down in the middle of it."""
    state = PartialState()
    try:
        yield
        state.wait_for_everyone()
    finally:
        state.destroy_process_group()


def is_main() -> bool:
    """Whether this process speaks for all: it alone shows progress."""
    return bool(PartialState().is_main_process)


def number_and_count() -> tuple[int, int]:
    """Number of this process, from 0, and how many there are."""
    state = PartialState()
    return int(state.process_index), int(state.num_processes)


def own_seed(seed: int) -> int:
    """A seed that no other process has; `seed` itself for the first."""
    return seed + SEED_STRIDE * number_and_count()[0]


def own_folder(folder: Path) -> Path:
    """A folder that no other process uses; `folder` itself for the first."""
    number, _ = number_and_count()
    return folder / f"process-{number}" if number else folder


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes, in one exchange."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if number_and_count()[1] == 1 or not gradients:
        return
    mean = reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
    for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def agree(fraction: float, signal: int) -> tuple[float, int]:
    """What all processes take to be true before a step, so that none waits for another that has left.

    Args:
        fraction: Share of the phase that is done, by this process's clock.
        signal: Number of the signal that asked this process to stop, 0 without one.

    Returns:
        The first process's fraction, and the highest signal of any.
    """
    number, count = number_and_count()
    if count == 1:
        return fraction, signal
    told = torch.tensor([0.0 if number else fraction, float(signal)], dtype=torch.float64)
    found: Tensor = reduce(told.to(PartialState().device), "max")
    return float(found[0]), int(found[1])
