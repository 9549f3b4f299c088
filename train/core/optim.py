"""One optimiser step: learning rate, clipping, AdamW, and the average of the weights; Adam of a GAN."""

import copy
import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from train.core.config import OptimConfig, ScheduleConfig
from train.core.processes import average_gradients

Network = TypeVar("Network", bound=nn.Module)


def learning_rate(phase: ScheduleConfig, step: int, fraction: float) -> float:
    """Linear warm-up, then half a cosine.

    Args:
        phase: Peak, warm-up and floor.
        step: Steps done in the phase.
        fraction: Share of the phase that is done, in [0, 1].
    """
    warmup = min(1.0, (step + 1) / (phase.warmup_steps + 1))
    cosine = 0.5 * (1 + math.cos(math.pi * fraction))
    return phase.lr * warmup * (phase.final_lr + (1 - phase.final_lr) * cosine)


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, decay: float) -> None:
    """Move the average: average = decay * average + (1 - decay) * module; counters are copied."""
    ours = [*average.parameters(), *average.buffers()]
    theirs = [*module.parameters(), *module.buffers()]
    for mean, value in zip(ours, theirs, strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def gather_gradients(compute: Callable[[], dict[str, Tensor]], passes: int) -> dict[str, Tensor]:
    """Backward passes of a loss, as one batch that is `passes` times as large would make.

    Args:
        compute: Terms of the next batch, each the mean over its pictures; `total` is what is minimised.
        passes: How many.

    Returns:
        The mean of every term, detached; the mean gradient has been added to the parameters' own.
    """
    sums: dict[str, Tensor] = {}
    for _ in range(passes):
        terms = compute()
        (terms["total"] / passes).backward()  # type: ignore[no-untyped-call]
        for name, value in terms.items():
            part = value.detach() / passes
            sums[name] = sums[name] + part if name in sums else part
    return sums


class Optimiser(Generic[Network]):
    """AdamW on `module`, and `average`, its exponential moving average in evaluation mode."""

    def __init__(self, module: Network, config: OptimConfig) -> None:
        self.module = module
        self.average: Network = copy.deepcopy(module).eval().requires_grad_(False)
        self._clip = config.clip
        self._adam = torch.optim.AdamW(
            module.parameters(), lr=0.0, betas=config.betas, weight_decay=config.weight_decay
        )
        self._updates = 0

    def update(self, lr: float, ema: float) -> Tensor:
        """Apply the gradients that have gathered.

        Args:
            lr: Learning rate.
            ema: Decay of the average; less in the first updates, so that it leaves the start behind.

        Returns:
            L2 norm of the gradient before clipping [].
        """
        for group in self._adam.param_groups:
            group["lr"] = lr
        average_gradients(self.module.parameters())
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), self._clip)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self._updates += 1
        update_average(self.average, self.module, min(ema, self._updates / (self._updates + 10)))
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on."""
        return {
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "adam": self._adam.state_dict(),
            "updates": self._updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.module.load_state_dict(state["module"])
        self.average.load_state_dict(state["average"])
        self._adam.load_state_dict(state["adam"])
        self._updates = state["updates"]


class LazyAdam:
    """Adam for a loss of every step and a penalty of every k-th.

    Lazy regularisation of Karras et al. 2020 (arXiv:1912.04958, section 3.1 and appendix B).
    A penalty that is k times as strong then makes (k + 1) / k updates a step, so with c = k / (k + 1) the
    learning rate is multiplied by c, and the betas are raised to the power c.

    Args:
        module: What is trained.
        every: k; None where there is no penalty.
        betas: Of Adam, before the change.
    """

    def __init__(
        self, module: nn.Module, every: int | None, betas: tuple[float, float] = (0.0, 0.99)
    ) -> None:
        self.factor = 1.0 if every is None else every / (every + 1)
        self.betas = (betas[0] ** self.factor, betas[1] ** self.factor)
        self._adam = torch.optim.Adam(module.parameters(), lr=0.0, betas=self.betas, eps=1e-8)

    def minimise(
        self, compute: Callable[[], dict[str, Tensor]], lr: float, passes: int = 1
    ) -> dict[str, Tensor]:
        """One update down the mean gradient of some passes.

        Args:
            compute: Terms of the next pass, as `gather_gradients` takes them.
            lr: Learning rate before the change.
            passes: How many.

        Returns:
            The mean of every term, detached.
        """
        for group in self._adam.param_groups:
            group["lr"] = lr * self.factor
        self._adam.zero_grad(set_to_none=True)
        terms = gather_gradients(compute, passes)
        for group in self._adam.param_groups:
            average_gradients(group["params"])
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        return terms

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on, besides the weights."""
        return self._adam.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self._adam.load_state_dict(state)
