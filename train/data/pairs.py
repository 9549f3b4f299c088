"""Synthetic pairs (w, G(w)), rendered on the fly or kept in a pool that is slowly renewed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from stylegan2 import Generator
from stylegan2.image import from_uint8, to_uint8
from train.core.config import PairsConfig
from train.core.processes import own_folder, own_seed
from train.core.seeds import Stream, positioned_generator
from train.data.arrays import claim_arrays, open_array

UNSEEN_PAIRS = 1_000_003  # added to the seed for pairs that are never trained on
META_FILE = "pool.json"
SETTING = "pairs.cache"  # that names the folder of a pool


@dataclass(frozen=True)
class Pairs:
    """Latents w [N, w_dim] and their pictures img [N, 3, R, R], at 8-bit precision in [-1, 1]."""

    w: Tensor
    img: Tensor


class PairSource(Protocol):
    """Where a stage gets its pairs from."""

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Render what has to be there before the first batch, reporting (done, total) pairs."""

    def sample(self, count: int, rng: torch.Generator) -> Pairs:
        """The next `count` pairs."""

    def state_dict(self) -> dict[str, Any]:
        """Position, as plain values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""


class PairRenderer:
    """Blocks of pairs, each a pure function of the generator, the seed and the block's number.

    w = w_avg + psi (mapping(z) - w_avg), z unit normal, psi uniform in `psi`; pictures with the stored noise.

    Args:
        generator: Frozen.
        psi: Truncation, lowest and highest.
        seed: Of all blocks.
        draw: A faster form of w [N, w_dim] -> img; None for the generator's own synthesis in float32.
    """

    def __init__(
        self,
        generator: Generator,
        psi: tuple[float, float],
        seed: int,
        draw: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.generator, self.psi, self.seed = generator, psi, seed
        self._draw = draw or self._synthesise

    @torch.no_grad()
    def render(self, number: int, count: int) -> tuple[Tensor, Tensor]:
        """Block `number`: w [count, w_dim] float32 and pixels [count, R, R, 3] uint8, both on the CPU."""
        rng = positioned_generator(self.seed, Stream.PAIRS, number)
        w = sample_w(self.generator, count, self.psi, rng)
        return w.float().cpu(), to_uint8(self._draw(w).float()).cpu()

    def _synthesise(self, w: Tensor) -> Tensor:
        img: Tensor = self.generator.synthesis(self.generator.broadcast(w), noise_mode="const")
        return img


def unseen_pairs(renderer: PairRenderer, count: int, block: int) -> tuple[Tensor, Tensor]:
    """The first `count` pairs of `renderer`, as `PairRenderer.render` gives them.

    Args:
        renderer: With a seed that no training uses, for instance one moved by `UNSEEN_PAIRS`.
        count: Pairs, at least 1.
        block: Pairs rendered at once; as in the training, so that compiled code is used again.
    """
    blocks = [renderer.render(number, block) for number in range(-(-count // block))]
    return torch.cat([w for w, _ in blocks])[:count], torch.cat([pixels for _, pixels in blocks])[:count]


def sample_w(generator: Generator, count: int, psi: tuple[float, float], rng: torch.Generator) -> Tensor:
    """Latents w [count, w_dim] on the generator's device, each truncated by a psi uniform in `psi`."""
    w_avg = generator.w_avg
    z = torch.randn(count, generator.z_dim, generator=rng).to(w_avg)
    share = torch.rand(count, 1, generator=rng).to(w_avg)
    w: Tensor = w_avg + (psi[0] + (psi[1] - psi[0]) * share) * (generator.mapping(z) - w_avg)
    return w


class FreshPairs:
    """Every batch is rendered for itself: endless variety, at the price of a forward pass each."""

    def __init__(self, renderer: PairRenderer) -> None:
        self._renderer, self._count = renderer, 0

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Nothing is needed beforehand."""

    def sample(self, count: int, rng: torch.Generator) -> Pairs:
        """The next `count` pairs; `rng` is not needed."""
        w, pixels = self._renderer.render(self._count, count)
        self._count += 1
        return Pairs(w, from_uint8(pixels))

    def state_dict(self) -> dict[str, Any]:
        """Position, as plain values."""
        return {"count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self._count = state["count"]


class PairPool:
    """A window of the newest blocks of pairs: a ring that is filled once and partly refreshed.

    Slot b mod C holds block b, C the number of slots, and every slot knows its block. To resume, only the
    slots that were overwritten after the state was taken are rendered again; they come out as they were.

    Args:
        renderer: Makes the blocks.
        config: Size, share of fresh pairs, and the folder, if the pool shall outlive the process. One process
            at a time may use a folder.
        fingerprint: Of the generator's weights: a folder filled by another generator is refused.

    Raises:
        ConfigError: The folder holds a pool of other settings or of another generator.
    """

    def __init__(self, renderer: PairRenderer, config: PairsConfig, fingerprint: str) -> None:
        self._renderer, self._config = renderer, config
        self._slots = config.pool // config.block
        self._rendered, self._credit = 0, 0.0
        generator = renderer.generator
        side = generator.img_resolution
        if config.cache is not None:
            owner = {"generator": fingerprint, "seed": renderer.seed, "psi": list(config.psi)}
            owner |= {"pool": config.pool, "block": config.block}
            claim_arrays(config.cache, META_FILE, owner, setting=SETTING, things="pairs")
        self._w = _array(config.cache, "w", (config.pool, generator.w_dim), np.float32)
        self._pixels = _array(config.cache, "pixels", (config.pool, side, side, 3), np.uint8)
        self._blocks = _array(config.cache, "blocks", (self._slots,), np.int64)  # block of each slot, plus 1

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Bring every slot to the block it should hold, reporting (done, total) pairs."""
        self._rendered = max(self._rendered, self._slots)
        first = self._rendered - self._slots
        for done, block in enumerate(range(first, self._rendered)):
            if self._blocks[block % self._slots] != block + 1:
                progress(done * self._config.block, self._config.pool)
                self._store(block)
        progress(self._config.pool, self._config.pool)

    def sample(self, count: int, rng: torch.Generator) -> Pairs:
        """`count` pairs from the pool; `config.refresh * count` new ones enter it, by whole blocks.

        Args:
            count: Pairs in the batch.
            rng: Draws them.
        """
        self._credit += self._config.refresh * count
        while self._credit >= self._config.block:
            self._store(self._rendered)
            self._rendered += 1
            self._credit -= self._config.block
        chosen = torch.randint(self._config.pool, (count,), generator=rng).numpy()
        return Pairs(torch.from_numpy(self._w[chosen]), from_uint8(torch.from_numpy(self._pixels[chosen])))

    def state_dict(self) -> dict[str, Any]:
        """Position, as plain values."""
        return {"rendered": self._rendered, "credit": self._credit}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken; `prepare` then restores what the pool held."""
        self._rendered, self._credit = state["rendered"], state["credit"]

    def _store(self, block: int) -> None:
        size, slot = self._config.block, block % self._slots
        w, pixels = self._renderer.render(block, size)
        self._blocks[slot] = (
            0  # a process that dies between these lines leaves an empty slot, not a false one
        )
        self._w[slot * size : (slot + 1) * size] = w.numpy()
        self._pixels[slot * size : (slot + 1) * size] = pixels.numpy()
        self._blocks[slot] = block + 1


def open_pairs(
    generator: Generator,
    config: PairsConfig,
    *,
    seed: int,
    fingerprint: str,
    draw: Callable[[Tensor], Tensor] | None = None,
) -> PairSource:
    """The source of pairs that `config` asks for, this process's own; `draw` as in `PairRenderer`."""
    renderer = PairRenderer(generator, config.psi, own_seed(seed), draw)
    if not config.pool:
        return FreshPairs(renderer)
    cache = None if config.cache is None else own_folder(config.cache)
    return PairPool(renderer, replace(config, cache=cache), fingerprint)


def _array(folder: Path | None, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    if folder is None:
        return np.zeros(shape, dtype)
    return open_array(folder / f"{name}.npy", shape, dtype, setting=SETTING)
