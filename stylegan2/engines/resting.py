"""RestingWeights: weights that are in memory only while something has to run them by torch."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from stylegan2.errors import CheckpointError

SMALL = 1 << 16  # bytes: smaller tensors stay; means, biases and spreads are read all the time


class RestingWeights:
    """The tensors of some networks, which stay the same objects while their tensors are gone.

    Converted graphs hold the numbers once more, so that a model whose graphs are all converted needs these
    only where something is optimised or looked at within the network.

    Args:
        networks: On the CPU, frozen.
        read: Reads them again: networks with the same tensors, in the same order.
    """

    def __init__(self, networks: Sequence[nn.Module], read: Callable[[], Sequence[nn.Module]]) -> None:
        self._networks, self._read = tuple(networks), read
        self._lock = threading.Lock()
        self._users = 0
        self._wanted = True  # also while nobody uses them
        self._here = True

    @property
    def here(self) -> bool:
        """Whether they are in memory."""
        return self._here

    def rest(self) -> None:
        """Let go of them, now or as soon as nobody uses them any more."""
        with self._lock:
            self._wanted = False
            self._leave()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Have them in memory, for as long as the context lasts.

        Raises:
            CheckpointError: They cannot be read any more, or are others by now.
        """
        with self._lock:
            if not self._here:
                self._come()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                self._leave()

    def _leave(self) -> None:
        if self._wanted or self._users or not self._here:
            return
        self._here = False
        for network in self._networks:
            for module in network.modules():
                for own in _stores(module):
                    for name, tensor in own.items():
                        if tensor is not None and tensor.nbytes > SMALL:
                            own[name] = _like(tensor, torch.empty_like(tensor, device="meta"))

    def _come(self) -> None:
        again = self._read()
        for network, fresh in zip(self._networks, again, strict=True):
            found = {**dict(fresh.named_parameters()), **dict(fresh.named_buffers())}
            for path, module in network.named_modules():
                for own in _stores(module):
                    for name, tensor in own.items():
                        if tensor is None or not tensor.is_meta:
                            continue
                        key = f"{path}.{name}" if path else name
                        if key not in found or found[key].shape != tensor.shape:
                            raise CheckpointError(f"the model's files are others by now: {key} does not fit")
                        own[name] = _like(tensor, found[key].detach())
        self._here = True


def _like(old: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return nn.Parameter(value, requires_grad=False) if isinstance(old, nn.Parameter) else value


def _stores(module: nn.Module) -> tuple[dict[str, torch.Tensor | None], ...]:
    """Where a module keeps its own tensors, by their names."""
    return cast("dict[str, torch.Tensor | None]", module._parameters), module._buffers
