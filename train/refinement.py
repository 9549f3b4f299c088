"""Stage `refiners`: W+ and F on top of a trained encoder, from real faces and from edited pairs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inversion.chain import Chain
from inversion.checkpoint import save_refiners
from inversion.refiners import Refiners
from inversion.w_encoder import WEncoder
from stylegan2 import Generator
from stylegan2.image import from_uint8, shrink
from train.augment import flip
from train.checkpoint import write_weights
from train.data import ImageSource
from train.edits import EditSampler
from train.hardware import autocast, choose_precision
from train.identity import IdentityEmbedder
from train.losses import identity_loss, latent_regression, pixel_l2, pooled_l2
from train.optim import Optimiser, learning_rate
from train.pairs import open_pairs
from train.perceptual import PerceptualDistance
from train.refinement_config import PictureWeights, RefinementConfig, RefinementPhase
from train.refinement_validation import RefinementValidation
from train.seeds import positioned_generator
from train.stream import RealImages

REFINERS_FILE = "refiners.safetensors"
STEP_STREAM = 5  # of `positioned_generator`

Lowered = tuple[Tensor, Tensor]  # activation where f enters, picture of the blocks below


@dataclass(frozen=True, kw_only=True)
class RefinementNetworks:
    """What the stage works with; all but `refiners` frozen, loss networks None where no phase weighs them."""

    generator: Generator
    encoder: WEncoder
    refiners: Refiners
    perceptual: PerceptualDistance | None = None
    identity: IdentityEmbedder | None = None


class RefinementStage:
    """One step: real faces through ws and (ws, f), and inverted G(w), edited, against G(w + d).

    Gradients of f stop at ws: what ws is must not depend on how much f can repair.

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
        self._config, self._networks, self._source, self._fingerprint = config, networks, source, fingerprint
        generator, refiners = networks.generator, networks.refiners
        self._device = generator.w_avg.device
        self._dtype = choose_precision(self._device, config.hardware.precision)
        self._optimiser = Optimiser(refiners, config.optim)
        self._resolution = refiners.config.f_resolution
        self._encode: Callable[[Tensor], tuple[Tensor, Any]] = networks.encoder.encode
        self._lower: Callable[[Tensor], Any] = self._lowered
        self._upper: Callable[[Tensor, Tensor, Tensor], Tensor] = generator.synthesis.upper
        self._wplus, self._feature = refiners.wplus.forward, refiners.feature.forward
        if config.hardware.compile:
            for name in ("_encode", "_lower", "_upper", "_wplus", "_feature"):
                setattr(self, name, torch.compile(getattr(self, name), dynamic=False))
        self._sampler = EditSampler(generator, seed=config.seed)
        self._pairs = open_pairs(
            generator, config.pairs, seed=config.seed, fingerprint=fingerprint, draw=self._draw
        )
        self._validation = RefinementValidation(
            config, source, generator, self._sampler, draw=self._draw, dtype=self._dtype
        )
        self._index = 0
        self._real: RealImages | None = None

    def enter_phase(self, index: int) -> None:
        """Open the phase's stream of real faces."""
        data = self._config.data
        self._index = index
        self._real = RealImages(
            self._source,
            self._networks.generator.img_resolution,
            self.phases[index].real_batch,
            validation_fraction=data.validation_fraction,
            buffer=data.shuffle_buffer,
            seed=self._config.seed + index,
            workers=data.workers,
        )

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Fill the pool of pairs, where there is one."""
        if self.phases[self._index].pair_batch:
            self._pairs.prepare(progress)

    def step(self, step: int, fraction: float) -> dict[str, Tensor]:
        """One optimiser step; every term before its weight, their weighted sum, and the gradient's norm."""
        phase = self.phases[self._index]
        rng = positioned_generator(self._config.seed, STEP_STREAM, self._index, step)
        self._networks.refiners.train()
        terms = self._terms(phase, fraction, rng)
        terms["total"].backward()  # type: ignore[no-untyped-call]
        norm = self._optimiser.update(learning_rate(phase, step, fraction), phase.ema)
        return {**{name: value.detach() for name, value in terms.items()}, "gradient_norm": norm}

    def _terms(self, phase: RefinementPhase, fraction: float, rng: torch.Generator) -> dict[str, Tensor]:
        assert self._real is not None  # noqa: S101  (narrows the type for mypy: a phase was entered)
        real = flip(from_uint8(self._real.next()), rng).to(self._device)
        pairs = self._pairs.sample(phase.pair_batch, rng) if phase.pair_batch else None
        n, loss = len(real), phase.loss
        img = real if pairs is None else torch.cat([real, pairs.img.to(self._device)])
        img = self._laid_out(img)
        with autocast(self._device, self._dtype):
            with torch.no_grad():
                w, levels = self._encode(self._shrunk(img))
            w, levels = w.clone(), tuple(level.clone() for level in levels)
            ws = self._wplus(w, levels).float()
            a, below = self._lower(ws[:n])
            drawn = self._upper(a, below, ws[:n]).float()
        terms = self._compare("ws", drawn, real, loss.ws)
        std = self._networks.encoder.w_std
        terms["spread"] = ((ws[:n] - w[:n, None]) / std).square().mean()
        frozen = ws.detach()
        drawn = drawn.detach().clamp(-1, 1)
        edited: _Edited | None = None
        if pairs is not None:
            true_w = pairs.w.to(self._device)
            terms["latent"] = latent_regression(
                ws[n:].flatten(0, 1), true_w.repeat_interleave(ws.shape[1], 0), std
            )
            edited = self._edit(frozen[n:], true_w, rng)
            drawn = torch.cat([drawn, edited.drawn])
        with autocast(self._device, self._dtype):
            code = self._feature(img, drawn, levels, frozen)
            f, offset = self._entered(code[:n], a.detach(), phase, fraction)
            below, styles = below.detach(), frozen[:n]
            if edited is not None:
                f_hat = self._networks.refiners.carrier.carry(code[n:], edited.a, edited.a_hat)
                f = torch.cat([f, f_hat.to(f.dtype)])
                below, styles = torch.cat([below, edited.below]), torch.cat([styles, edited.ws_hat])
            out = self._upper(f, below, styles).float()
        terms["offset"] = offset.float().square().mean()
        terms |= self._compare("f", out[:n], real, loss.f)
        if edited is not None:
            terms |= self._compare("edit", out[n:], edited.target, loss.edit)
        terms["total"] = self._weighted(terms, phase)
        return terms

    def _entered(
        self, code: Tensor, a: Tensor, phase: RefinementPhase, fraction: float
    ) -> tuple[Tensor, Tensor]:
        """F as it enters the generator, its offset ramped up once over the run, and the whole offset."""
        offset = self._networks.refiners.carrier(code, a) - a
        ramp = min(1.0, fraction / phase.f_ramp) if phase.f_ramp else 1.0
        return a + ramp * offset, offset

    @torch.no_grad()
    def _edit(self, ws: Tensor, true_w: Tensor, rng: torch.Generator) -> "_Edited":
        d = self._sampler.sample(len(ws), rng)
        ws_hat = ws + d[:, None]
        with autocast(self._device, self._dtype):
            a, below = self._lower(torch.cat([ws, ws_hat]))
            m = len(ws)
            drawn = self._upper(a[:m], below[:m], ws).float().clamp(-1, 1)
            target = self._draw(true_w + d)
        return _Edited(
            a=a[:m].clone(),
            a_hat=a[m:].clone(),
            below=below[m:].clone(),
            ws_hat=ws_hat,
            drawn=drawn.clone(),
            target=target,
        )

    def _compare(self, name: str, out: Tensor, target: Tensor, weights: PictureWeights) -> dict[str, Tensor]:
        networks = self._networks
        terms: dict[str, Tensor] = {}
        if weights.l2:
            terms[f"{name}/l2"] = pixel_l2(out, target)
        if weights.pooled_l2:
            terms[f"{name}/pooled_l2"] = pooled_l2(out, target, self._config.pool_factor)
        with autocast(self._device, self._dtype):
            if weights.perceptual and networks.perceptual is not None:
                terms[f"{name}/perceptual"] = networks.perceptual(out, target).float().mean()
            if weights.identity and networks.identity is not None:
                terms[f"{name}/identity"] = identity_loss(
                    networks.identity(out).float(), networks.identity(target).float()
                )
        return terms

    def _weighted(self, terms: dict[str, Tensor], phase: RefinementPhase) -> Tensor:
        total = []
        for name, value in terms.items():
            weights: Any = phase.loss
            for part in name.split("/"):
                weights = getattr(weights, part)
            total.append(weights * value)
        return torch.stack(total).sum()

    def validate(self) -> dict[str, float]:
        """See `RefinementValidation.measure`."""
        return self._validation.measure(self._average_chain())

    def grid(self) -> Tensor:
        """See `RefinementValidation.grid`."""
        return self._validation.grid(self._average_chain())

    def export(self, folder: Path, steps: int) -> None:
        """Write the averaged refiners as `refiners.safetensors`."""
        average = self._optimiser.average
        assert isinstance(average, Refiners)  # noqa: S101  (narrows the type for mypy)
        facts = {
            "steps": steps,
            "generator_sha256": self._fingerprint,
            "losses": sorted({name for phase in self.phases for name in phase.loss.weighed}),
        }
        write_weights(folder / REFINERS_FILE, facts, lambda path, told: save_refiners(average, path, told))

    def state_dict(self) -> dict[str, Any]:
        """Weights, their average, the optimiser, and how far pairs and real faces are."""
        real = self._real.state_dict() if self._real else None
        return {"optimiser": self._optimiser.state_dict(), "pairs": self._pairs.state_dict(), "real": real}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self._optimiser.load_state_dict(state["optimiser"])
        self._pairs.load_state_dict(state["pairs"])
        if self._real and state["real"] is not None:
            self._real.load_state_dict(state["real"])

    def _average_chain(self) -> Chain:
        average = self._optimiser.average
        assert isinstance(average, Refiners)  # noqa: S101  (narrows the type for mypy)
        synthesis = self._networks.generator.synthesis
        return Chain(synthesis=synthesis, encoder=self._networks.encoder, refiners=average)

    def _lowered(self, ws: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._networks.generator.synthesis.lower(ws, self._resolution)

    def _draw(self, w: Tensor) -> Tensor:
        """G(w) in the training's number format: img, float32."""
        ws = self._networks.generator.broadcast(w).contiguous()
        with autocast(self._device, self._dtype):
            a, below = self._lower(ws)
            return self._upper(a, below, ws).float()

    def _shrunk(self, img: Tensor) -> Tensor:
        return self._laid_out(shrink(img, self._networks.encoder.config.in_resolution))

    def _laid_out(self, img: Tensor) -> Tensor:
        return (
            img.contiguous(memory_format=torch.channels_last) if self._config.hardware.channels_last else img
        )


@dataclass(frozen=True, kw_only=True)
class _Edited:
    """Pairs before and after their edit: activations, what the blocks below drew, styles, pictures."""

    a: Tensor
    a_hat: Tensor
    below: Tensor
    ws_hat: Tensor
    drawn: Tensor  # G(ws)
    target: Tensor  # G(w + d)
