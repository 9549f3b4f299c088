"""Stage `refiners`: W+ and F on top of an encoder, from real faces and from edited pairs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inversion.networks.checkpoint import save_encoder, save_refiners
from inversion.networks.refiners import Refiners
from inversion.networks.w_encoder import WEncoder
from train.core.checkpoint import write_weights
from train.core.optim import Optimiser, gather_gradients, learning_rate
from train.core.processes import own_seed
from train.core.seeds import Stream, positioned_generator
from train.data.augment import mirror
from train.data.images import ImageSource
from train.data.pairs import open_pairs
from train.data.stream import PhaseImages
from train.encoder.stage import ENCODER_FILE
from train.errors import DatasetError
from train.refiners.config import RefinementConfig, RefinementPhase
from train.refiners.terms import RefinementNetworks, RefinementTerms
from train.refiners.validation import RefinementValidation

REFINERS_FILE = "refiners.safetensors"


class RefinementStage:
    """Steps of `RefinementTerms`; trains the refiners, and the encoder in phases that let it learn.

    Args:
        config: Settings.
        networks: On the device.
        source: Real faces.
        fingerprint: Of the generator's weights.
    """

    def __init__(
        self, config: RefinementConfig, networks: RefinementNetworks, source: ImageSource, fingerprint: str
    ) -> None:
        self.phases = config.phases
        self._config, self.networks, self._fingerprint = config, networks, fingerprint
        generator = networks.generator
        self.terms = RefinementTerms(config, networks)
        self.optimiser = Optimiser(networks.refiners, config.optim)
        self.encoder_optimiser = Optimiser(networks.encoder, config.optim) if config.trains_encoder else None
        self._pairs = open_pairs(
            generator, config.pairs, seed=config.seed, fingerprint=fingerprint, draw=self.terms.draw
        )
        self._validation = RefinementValidation(
            config,
            source,
            generator,
            self.terms.sampler,
            draw=self.terms.draw,
            draw_truth=self.terms.draw_styles,
            dtype=self.terms.dtype,
        )
        self._index = 0
        self._real = PhaseImages(source, generator.img_resolution, config.data, config.seed)

    def enter_phase(self, index: int) -> None:
        """Open the phase's stream of real faces; let the encoder learn, or not."""
        phase = self.phases[index]
        self._index = index
        self.networks.encoder.requires_grad_(phase.encoder_rate > 0)
        self._real.enter_phase(index, phase.real_batch)

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Fill the pool of pairs, where there is one."""
        if self.phases[self._index].pair_batch:
            self._pairs.prepare(progress)

    def step(self, step: int, fraction: float) -> dict[str, Tensor]:
        """One optimiser step; every term before its weight, their weighted sum, and the gradient's norm."""
        phase = self.phases[self._index]
        rng = positioned_generator(own_seed(self._config.seed), Stream.REFINEMENT_STEP, self._index, step)
        self.networks.refiners.train()
        if not phase.loss.weighs_ws:  # what does not learn must not measure its batch norms anew either
            for part in (self.networks.refiners.look, self.networks.refiners.wplus):
                if part is not None:
                    part.eval()
        terms = gather_gradients(lambda: self.losses(phase, fraction, rng), phase.accumulate)
        lr = learning_rate(phase, step, fraction)
        norm = self.optimiser.update(lr, phase.ema)
        if self.encoder_optimiser is not None and phase.encoder_rate:
            terms["encoder_gradient_norm"] = self.encoder_optimiser.update(lr * phase.encoder_rate, phase.ema)
        return {**terms, "gradient_norm": norm}

    def losses(self, phase: RefinementPhase, fraction: float, rng: torch.Generator) -> dict[str, Tensor]:
        """Terms of the next faces and pairs, see `RefinementTerms`."""
        img = self._real.next()
        if img is None:
            raise DatasetError("no real faces: no phase was entered")
        real = mirror(img, rng)
        pairs = self._pairs.sample(phase.pair_batch, rng) if phase.pair_batch else None
        return self.terms(phase, real, pairs, fraction, rng)

    def validate(self) -> dict[str, float]:
        """See `RefinementValidation.measure`."""
        return self._validation.measure(*self._averages())

    def grid(self) -> Tensor:
        """See `RefinementValidation.grid`."""
        return self._validation.grid(*self._averages())

    def export(self, folder: Path, steps: int) -> None:
        """Write the averaged refiners, and the averaged encoder where one was trained."""
        encoder, refiners = self._averages()
        facts = {
            "steps": steps,
            "generator_sha256": self._fingerprint,
            "losses": sorted({name for phase in self.phases for name in phase.loss.weighed}),
        }
        write_weights(folder / REFINERS_FILE, facts, lambda path, told: save_refiners(refiners, path, told))
        if self.encoder_optimiser is not None:
            write_weights(folder / ENCODER_FILE, facts, lambda path, told: save_encoder(encoder, path, told))

    def state_dict(self) -> dict[str, Any]:
        """Weights, their averages, the optimisers, and how far pairs and real faces are."""
        encoder = self.encoder_optimiser
        return {
            "optimiser": self.optimiser.state_dict(),
            "encoder_optimiser": encoder.state_dict() if encoder else None,
            "pairs": self._pairs.state_dict(),
            "real": self._real.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.optimiser.load_state_dict(state["optimiser"])
        if self.encoder_optimiser is not None:
            self.encoder_optimiser.load_state_dict(state["encoder_optimiser"])
        self._pairs.load_state_dict(state["pairs"])
        self._real.load_state_dict(state["real"])

    def _averages(self) -> tuple[WEncoder, Refiners]:
        learned = self.encoder_optimiser
        return learned.average if learned else self.networks.encoder, self.optimiser.average
