"""Stage `inversion`: the encoder img -> w, from synthetic pairs and from real faces through the generator."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inversion.networks.checkpoint import save_encoder
from inversion.networks.w_encoder import WEncoder
from stylegan2 import Generator
from stylegan2.image import from_uint8, picture_grid, psnr, shrink, to_uint8
from train.core.checkpoint import write_weights
from train.core.hardware import autocast, laid_out
from train.core.optim import Optimiser, gather_gradients, learning_rate
from train.core.processes import own_seed
from train.core.seeds import Stream, positioned_generator
from train.data.augment import Mirrored, jitter, mirror
from train.data.drawing import Drawing
from train.data.images import ImageSource, in_validation, read_images
from train.data.pairs import UNSEEN_PAIRS, PairRenderer, Pairs, open_pairs
from train.data.stream import PhaseImages
from train.encoder.config import InversionConfig, LossWeights
from train.evaluate.metrics import mean_squared_error, median
from train.losses.alignment import AlignmentLoss
from train.losses.identity import IdentityEmbedder
from train.losses.perceptual import PerceptualDistance
from train.losses.terms import identity_loss, latent_prior, latent_regression, pixel_l2, pooled_l2

ENCODER_FILE = "encoder.safetensors"
GRID_COLUMNS = 8


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What the stage works with; the loss networks are None where no phase weighs their term."""

    generator: Generator
    encoder: WEncoder
    perceptual: PerceptualDistance | None = None
    identity: IdentityEmbedder | None = None
    alignment: AlignmentLoss | None = None


class InversionStage:
    """One step: encode real faces and pairs together, render the real faces' latents, add the phase's terms.

    Args:
        config: Settings.
        networks: On the device, the generator and the loss networks frozen.
        source: Real faces; None where no phase uses them.
        fingerprint: Of the generator's weights, for the pool of pairs and the exported file.
    """

    def __init__(
        self, config: InversionConfig, networks: Networks, source: ImageSource | None, fingerprint: str
    ) -> None:
        self.phases = config.phases
        self._config, self.networks, self._source, self._fingerprint = config, networks, source, fingerprint
        generator = networks.generator
        self._draw = Drawing(generator, config.hardware)
        self._device, self._dtype = self._draw.device, self._draw.dtype
        self.optimiser = Optimiser(networks.encoder, config.optim)
        self._encode: Callable[[Tensor], Tensor] = networks.encoder
        if config.hardware.compile:
            self._encode = torch.compile(networks.encoder, dynamic=False)
        self._pairs = open_pairs(
            generator, config.pairs, seed=config.seed, fingerprint=fingerprint, draw=self._draw
        )
        self.validation = self._validation_pixels()
        self._index = 0
        self._real = PhaseImages(source, generator.img_resolution, config.data, config.seed)

    def enter_phase(self, index: int) -> None:
        """Open the phase's stream of real faces."""
        self._index = index
        self._real.enter_phase(index, self.phases[index].real_batch)

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Fill the pool of pairs, where there is one."""
        if self.phases[self._index].pair_batch:
            self._pairs.prepare(progress)

    def step(self, step: int, fraction: float) -> dict[str, Tensor]:
        """One optimiser step.

        Args:
            step: Steps done in the phase.
            fraction: Share of the phase that is done.

        Returns:
            Every term before its weight, the weighted sum `total`, and the gradient's norm.
        """
        phase = self.phases[self._index]
        rng = positioned_generator(own_seed(self._config.seed), Stream.INVERSION_STEP, self._index, step)
        self.networks.encoder.train()
        terms = gather_gradients(lambda: self._pass(phase.loss, rng), phase.accumulate)
        norm = self.optimiser.update(learning_rate(phase, step, fraction), phase.ema)
        return {**terms, "gradient_norm": norm}

    def _pass(self, weights: LossWeights, rng: torch.Generator) -> dict[str, Tensor]:
        terms = self._terms(self._next_real(rng), self._next_pairs(rng), weights, rng)
        return {**terms, "total": weighted_sum(terms, weights)}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """PSNR of 8-bit pictures and mean squared error on [-1, 1], averaged weights, validation pictures."""
        ratios, errors = [], []
        for pixels in torch.split(self.validation, 16):
            out = self._reconstruct(pixels)
            ratios.append(psnr(to_uint8(out), pixels))
            errors.append(mean_squared_error(out, from_uint8(pixels)))
        ratio, error = torch.cat(ratios), torch.cat(errors)
        return {
            "psnr_median": float(median(ratio)),
            "psnr_mean": float(ratio.mean()),
            "l2_median": float(median(error)),
        }

    @torch.no_grad()
    def grid(self) -> Tensor:
        """Two rows, pixels [2 R, 8 R, 3]: validation pictures and their reconstructions."""
        pixels = self.validation[:GRID_COLUMNS]
        rows = torch.stack([pixels, to_uint8(self._reconstruct(pixels))])  # [2, N, R, R, 3]
        return picture_grid(rows)

    def export(self, folder: Path, steps: int) -> None:
        """Write the averaged encoder as `encoder.safetensors`, with what it was trained on beside it."""
        average = self.optimiser.average
        identity = self._config.identity_weights
        facts = {
            "steps": steps,
            "generator_sha256": self._fingerprint,
            "losses": sorted({name for phase in self.phases for name, v in vars(phase.loss).items() if v}),
            "identity_network": identity.name if identity is not None and self.networks.identity else None,
        }
        write_weights(folder / ENCODER_FILE, facts, lambda path, told: save_encoder(average, path, told))

    def state_dict(self) -> dict[str, Any]:
        """Weights, their average, the optimiser, and how far pairs and real faces are."""
        return {
            "optimiser": self.optimiser.state_dict(),
            "pairs": self._pairs.state_dict(),
            "real": self._real.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.optimiser.load_state_dict(state["optimiser"])
        self._pairs.load_state_dict(state["pairs"])
        self._real.load_state_dict(state["real"])

    def _terms(
        self, real: Mirrored | None, pairs: Pairs | None, weights: LossWeights, rng: torch.Generator
    ) -> dict[str, Tensor]:
        encoder = self.networks.encoder
        parts = [] if real is None else [real.img]
        if pairs is not None:
            parts.append(jitter(pairs.img, rng))
        seen = self._shrunk(torch.cat(parts))
        if real is not None:
            seen = laid_out(real.with_mirrored_mean(seen, encoder.img_avg), self._config.hardware)
        with autocast(self._device, self._dtype):
            w = self._encode(seen).float()
        count = 0 if real is None else len(real.img)
        terms: dict[str, Tensor] = {}
        if pairs is not None:
            terms["latent"] = latent_regression(w[count:], pairs.w, encoder.w_std)
        if real is not None:
            if weights.prior:
                terms["prior"] = latent_prior(w[:count], encoder.w_avg, encoder.w_std)
            if weights.pixels:
                drawn = self._draw(w[:count])
                terms |= self._picture_terms(drawn, real.img, weights)
                if weights.align and self.networks.alignment is not None:
                    with autocast(self._device, self._dtype):
                        terms["align"] = self.networks.alignment(real.img, drawn, w[:count])
        return terms

    def _picture_terms(self, out: Tensor, img: Tensor, weights: LossWeights) -> dict[str, Tensor]:
        networks = self.networks
        terms: dict[str, Tensor] = {}
        if weights.l2:
            terms["l2"] = pixel_l2(out, img)
        if weights.pooled_l2:
            terms["pooled_l2"] = pooled_l2(out, img, self._config.pool_factor)
        with autocast(self._device, self._dtype):
            if weights.perceptual and networks.perceptual is not None:
                terms["perceptual"] = networks.perceptual(out, img).float().mean()
            if weights.identity and networks.identity is not None:
                seen = max(1, round(self._config.identity_share * len(img)))
                terms["identity"] = identity_loss(
                    networks.identity(out[:seen]).float(), networks.identity(img[:seen]).float()
                )
        return terms

    def _next_real(self, rng: torch.Generator) -> Mirrored | None:
        img = self._real.next()
        return None if img is None else mirror(img.to(self._device, non_blocking=True), rng)

    def _next_pairs(self, rng: torch.Generator) -> Pairs | None:
        count = self.phases[self._index].pair_batch
        if not count:
            return None
        pairs = self._pairs.sample(count, rng)
        return Pairs(pairs.w.to(self._device), pairs.img.to(self._device))

    def _reconstruct(self, pixels: Tensor) -> Tensor:
        """The averaged encoder's picture of `pixels` [N, R, R, 3]: img on the CPU, float32."""
        img = self._shrunk(from_uint8(pixels).to(self._device))
        with autocast(self._device, self._dtype):
            w = self.optimiser.average(img).float()
        return self._draw.uncompiled(w).cpu()

    def _shrunk(self, img: Tensor) -> Tensor:
        img = shrink(img, self.networks.encoder.config.in_resolution)
        return laid_out(img, self._config.hardware)

    def _validation_pixels(self) -> Tensor:
        """Pixels [N, R, R, 3]: the validation part of the real faces, or unseen pairs without them."""
        data, generator = self._config.data, self.networks.generator
        if self._source is None:
            renderer = PairRenderer(generator, self._config.pairs.psi, self._config.seed + UNSEEN_PAIRS)
            return renderer.render(0, min(data.validation_images, 16))[1]
        fraction = data.validation_fraction
        batches = read_images(
            self._source,
            generator.img_resolution,
            64,
            keep=lambda key: in_validation(key, fraction),
            limit=data.validation_images,
        )
        return torch.cat(list(batches))


def weighted_sum(terms: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """The loss: every term times its weight."""
    return torch.stack([getattr(weights, name) * value for name, value in terms.items()]).sum()
