"""Stage `contrastive`: the contrastive pair of pictures and W, from synthetic pairs (CLCAE section 3.1)."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inversion.networks.checkpoint import save_contrastive_pair
from inversion.networks.contrastive import Alignment, ContrastivePair
from stylegan2 import Generator
from stylegan2.image import from_uint8, picture_grid, shrink
from train.contrastive.config import ContrastiveConfig
from train.core.checkpoint import write_weights
from train.core.hardware import autocast, laid_out
from train.core.optim import Optimiser, learning_rate
from train.core.processes import own_seed
from train.core.seeds import Stream, positioned_generator
from train.data.augment import jitter
from train.data.drawing import Drawing
from train.data.pairs import UNSEEN_PAIRS, PairRenderer, open_pairs, unseen_pairs
from train.evaluate.retrieval import retrieval
from train.losses.terms import info_nce

CONTRASTIVE_FILE = "contrastive.safetensors"
BATCH = 64  # pictures embedded at once in validation
GRID_COLUMNS = 8


class ContrastiveStage:
    """One step: embed pictures and latents of pairs, tell every pair from all others of the batch.

    Pictures are varied in light and grain, but never mirrored: the mirrored picture is not that of w.

    Args:
        config: Settings.
        generator: Frozen, on the device.
        contrastive: On the device.
        fingerprint: Of the generator's weights, for the pool of pairs and the exported file.
    """

    def __init__(
        self, config: ContrastiveConfig, generator: Generator, contrastive: ContrastivePair, fingerprint: str
    ) -> None:
        self.phases = config.phases
        self._config, self._generator, self._fingerprint = config, generator, fingerprint
        self._draw = Drawing(generator, config.hardware)
        self.contrastive, self.optimiser = contrastive, Optimiser(contrastive, config.optim)
        self._align: Callable[[Tensor, Tensor], Alignment] = contrastive
        if config.hardware.compile:
            self._align = torch.compile(contrastive, dynamic=False)
        self._pairs = open_pairs(
            generator, config.pairs, seed=config.seed, fingerprint=fingerprint, draw=self._draw
        )
        self._index = 0

    def enter_phase(self, index: int) -> None:
        """Take the phase's settings."""
        self._index = index

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Fill the pool of pairs, where there is one."""
        self._pairs.prepare(progress)

    def step(self, step: int, fraction: float) -> dict[str, Tensor]:
        """One optimiser step.

        Args:
            step: Steps done in the phase.
            fraction: Share of the phase that is done.

        Returns:
            The loss `info_nce`, the inverse temperature `logit_scale`, and the gradient's norm.
        """
        phase = self.phases[self._index]
        rng = positioned_generator(own_seed(self._config.seed), Stream.CONTRASTIVE_STEP, self._index, step)
        pairs = self._pairs.sample(phase.pair_batch, rng)
        img = self._seen(jitter(pairs.img, rng))
        self.contrastive.train()
        with autocast(self._draw.device, self._draw.dtype):
            found = self._align(img, pairs.w.to(img.device))
        loss = info_nce(found.image_emb, found.latent_emb, found.logit_scale, self._config.weight_image)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = self.optimiser.update(learning_rate(phase, step, fraction), phase.ema)
        for network in (self.contrastive, self.average):
            network.bound_logit_scale()
        scale = found.logit_scale.detach()
        return {"info_nce": loss.detach(), "logit_scale": scale, "gradient_norm": norm}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Recall among unseen pairs both ways, and their loss, with the averaged weights."""
        w, pixels = self.unseen
        image_emb, latent_emb = self._image_embedding(pixels), self._latent_embedding(w)
        measures = {
            f"{way}_{name}": value
            for way, recalls in retrieval(image_emb, latent_emb).items()
            for name, value in recalls.items()
        }
        loss = info_nce(image_emb, latent_emb, self.average.logit_scale.cpu(), self._config.weight_image)
        return {**measures, "info_nce": float(loss)}

    @torch.no_grad()
    def grid(self) -> Tensor:
        """Two rows, pixels [2 R, 8 R, 3]: unseen pictures, and the pictures of the latents they find."""
        w, pixels = self.unseen
        queries = pixels[:GRID_COLUMNS]
        best = (self._image_embedding(queries) @ self._latent_embedding(w).T).argmax(1)
        rows = torch.stack([queries, pixels[best]])  # [2, N, R, R, 3]
        return picture_grid(rows)

    def export(self, folder: Path, steps: int) -> None:
        """Write the averaged pair as `contrastive.safetensors`, with what it was trained on beside it."""
        facts = {
            "steps": steps,
            "generator_sha256": self._fingerprint,
            "losses": ["info_nce"],
            "psi": list(self._config.pairs.psi),
        }
        average = self.average
        write_weights(
            folder / CONTRASTIVE_FILE, facts, lambda path, told: save_contrastive_pair(average, path, told)
        )

    def state_dict(self) -> dict[str, Any]:
        """Weights, their average, the optimiser, and how far the pairs are."""
        return {"optimiser": self.optimiser.state_dict(), "pairs": self._pairs.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.optimiser.load_state_dict(state["optimiser"])
        self._pairs.load_state_dict(state["pairs"])

    @property
    def average(self) -> ContrastivePair:
        """What is exported: the averaged weights."""
        return self.optimiser.average

    @cached_property
    def unseen(self) -> tuple[Tensor, Tensor]:
        """W [N, w_dim] and pixels [N, R, R, 3] of the validation's pairs, rendered at the first use."""
        config = self._config
        renderer = PairRenderer(self._generator, config.pairs.psi, config.seed + UNSEEN_PAIRS, self._draw)
        return unseen_pairs(renderer, config.validation_pairs, config.pairs.block)

    def _image_embedding(self, pixels: Tensor) -> Tensor:
        """The averaged pair's embeddings of `pixels` [N, R, R, 3], on the CPU."""
        with autocast(self._draw.device, self._draw.dtype):
            parts = [
                self.average.image_embedding(self._seen(from_uint8(part)))
                for part in torch.split(pixels, BATCH)
            ]
        return torch.cat(parts).cpu()

    def _latent_embedding(self, w: Tensor) -> Tensor:
        with autocast(self._draw.device, self._draw.dtype):
            return self.average.latent_embedding(w.to(self._draw.device)).cpu()

    def _seen(self, img: Tensor) -> Tensor:
        """Pictures [N, 3, R, R] at the pair's size, on the device and laid out as it reads them."""
        img = shrink(img.to(self._draw.device), self._config.contrastive.in_resolution)
        return laid_out(img, self._config.hardware)
