"""Stage `generator`: StyleGAN2 against its discriminator, from pictures (Karras et al. 2020)."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from editor.parts.efficientnet import EfficientNetLite0Features
from stylegan2 import Generator
from stylegan2.bundle.content import Content
from stylegan2.bundle.folder import save_bundle
from train.core.hardware import autocast, choose_precision, laid_out
from train.core.optim import LazyAdam, learning_rate
from train.core.processes import own_seed
from train.core.seeds import Stream, positioned_generator
from train.data.augment import flip
from train.data.images import ImageSource
from train.data.stream import PhaseImages
from train.errors import DatasetError
from train.gan.ada import AdaptiveProbability, augment
from train.gan.config import GeneratorPhase, GeneratorTrainingConfig
from train.gan.discriminator import Discriminator
from train.gan.growth import save_discriminator
from train.gan.losses import (
    discriminator_loss,
    generator_loss,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)
from train.gan.validation import GeneratorValidation, sample_grid

BUNDLE_FOLDER = "bundle"  # in the run's folder
EMA_RAMP = 0.05  # the average's half-life is at most this share of the images so far


@dataclass(frozen=True, kw_only=True)
class GanNetworks:
    """What the stage works with, on the device; `features` is None where nothing is measured with them."""

    generator: Generator
    discriminator: Discriminator
    features: EfficientNetLite0Features | None = None


class GeneratorStage:
    """One step: an update of the discriminator, then one of the generator; penalties every few steps.

    The averaged generator is what is drawn, measured and exported; its `w_avg` follows its own mapping.

    Args:
        config: Settings.
        networks: Trained.
        source: Real pictures.

    Raises:
        ConfigError: The number format does not suit the device.
        DatasetError: The source's validation part, or the rest, holds no picture.
    """

    def __init__(self, config: GeneratorTrainingConfig, networks: GanNetworks, source: ImageSource) -> None:
        self.phases: tuple[GeneratorPhase, ...] = config.phases
        self._config = config
        self.generator, self.discriminator = networks.generator, networks.discriminator
        self.average = copy.deepcopy(networks.generator).eval().requires_grad_(False)
        self._device = self.average.w_avg.device
        self._dtype = choose_precision(self._device, config.hardware.precision)
        penalties = config.regularisation
        self._adam_g = LazyAdam(
            self.generator, penalties.path_length_every if penalties.path_length else None
        )
        self._adam_d = LazyAdam(self.discriminator, penalties.r1_every if penalties.r1_gamma else None)
        self._synthesise: Callable[..., Tensor] = self.generator.synthesis
        self._judge: Callable[[Tensor, Tensor | None], Tensor] = self.discriminator
        if config.hardware.compile:
            self._synthesise = torch.compile(self.generator.synthesis, dynamic=False)
            self._judge = torch.compile(self.discriminator, dynamic=False)
        settings = config.augment
        self._probability = AdaptiveProbability(
            target=settings.target, start=settings.start, kimg=settings.kimg, every=settings.every
        )
        self._validation = GeneratorValidation(config, source, networks.features, self._device)
        self._path_length = torch.zeros([], device=self._device)  # a: running mean of the path lengths
        self._penalties = {name: torch.zeros([], device=self._device) for name in ("r1", "path_length")}
        self.images = 0  # real pictures looked at
        self._index = 0
        self._real = PhaseImages(source, self.generator.img_resolution, config.data, config.seed)

    def enter_phase(self, index: int) -> None:
        """Open the phase's stream of real pictures."""
        self._index = index
        self._real.enter_phase(index, self._phase.batch)

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Nothing has to be made."""

    def step(self, step: int, fraction: float) -> dict[str, Tensor]:
        """One step of both networks.

        Args:
            step: Steps done in the phase.
            fraction: Share of the phase that is done.

        Returns:
            Losses of both, penalties with their weights (the last ones, where none was due), the share of
            augmented pictures `augment_p`, and `sign_real`: E sign(D) of the augmented real pictures.
        """
        phase = self._phase
        rng = positioned_generator(own_seed(self._config.seed), Stream.GENERATOR_STEP, self._index, step)
        # The synthesis draws its noise from torch's own generator, on the device.
        torch.manual_seed(int(torch.randint(2**62, (), generator=rng)))
        lr = learning_rate(phase, step, fraction)
        terms = self.step_discriminator(step, lr, rng)
        terms["generator"] = self.step_generator(step, lr, rng)
        self._update_average(phase, rng)
        self.images += phase.images
        return {**terms, **self._penalties, "augment_p": torch.tensor(self._probability.p)}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Signs of the discriminator on fixed pictures, and `feature_distance`."""
        fade = self._fade()

        def judge(img: Tensor) -> Tensor:
            return self.discriminator(laid_out(img, self._config.hardware), fade)  # type: ignore[no-any-return]

        return self._validation.measure(judge, self.average, self._phase.batch)

    @torch.no_grad()
    def grid(self) -> Tensor:
        """See `sample_grid`: of the averaged generator."""
        return sample_grid(self.average, self._config.seed)

    def export(self, folder: Path, steps: int) -> None:
        """Write the averaged generator as `bundle`, and the discriminator for a run to start from."""
        model = self._config.model
        digest = save_bundle(
            folder / BUNDLE_FOLDER,
            self.average,
            name=model.name,
            crop_config=model.crop,
            licence=model.licence,
            content=Content() if model.pictures else None,
        )
        facts = {"steps": steps, "images": self.images, "generator_sha256": digest}
        save_discriminator(self.discriminator, folder, facts)

    def state_dict(self) -> dict[str, Any]:
        """Both networks, the average, both optimisers, what is adapted, and how far the pictures are."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "adam_g": self._adam_g.state_dict(),
            "adam_d": self._adam_d.state_dict(),
            "augment": self._probability.state_dict(),
            "path_length": self._path_length,
            "penalties": dict(self._penalties),
            "images": self.images,
            "real": self._real.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.average.load_state_dict(state["average"])
        self._adam_g.load_state_dict(state["adam_g"])
        self._adam_d.load_state_dict(state["adam_d"])
        self._probability.load_state_dict(state["augment"])
        self._path_length = state["path_length"].to(self._device)
        self._penalties = {name: value.to(self._device) for name, value in state["penalties"].items()}
        self.images = state["images"]
        self._real.load_state_dict(state["real"])

    @property
    def _phase(self) -> GeneratorPhase:
        return self.phases[self._index]

    def step_discriminator(self, step: int, lr: float, rng: torch.Generator) -> dict[str, Tensor]:
        """The first half of `step`: its loss `discriminator`, and `sign_real`."""
        penalties, fade, passes = self._config.regularisation, self._fade(), self._phase.accumulate
        seen: list[tuple[Tensor, Tensor]] = []  # real pictures of every pass, and what was said of them

        def tell_apart() -> dict[str, Tensor]:
            real = self._augmented(self._next_real(rng), rng)
            with torch.no_grad():
                fake = self._augmented(self._draw(self._styles(len(real), rng)), rng)
            with autocast(self._device, self._dtype):
                real_logits, fake_logits = self._judge(real, fade), self._judge(fake, fade)
            seen.append((real, real_logits.detach()))
            sign_real = real_logits.detach().sign().mean()
            return {"total": discriminator_loss(real_logits, fake_logits), "sign_real": sign_real}

        def slope() -> dict[str, Tensor]:
            # Compiled code has no second derivative, and slopes need the digits of float32. The slope is
            # taken at the augmented picture: the resampling has no second derivative either.
            real = seen.pop(0)[0].requires_grad_()
            penalty = r1_penalty(self.discriminator(real, fade), real, penalties.r1_gamma)
            return {"total": penalty * penalties.r1_every, "r1": penalty}

        terms = self._adam_d.minimise(tell_apart, lr, passes)
        self._probability.observe(torch.cat([real_logits for _, real_logits in seen]))
        if penalties.r1_gamma and step % penalties.r1_every == 0:
            self._penalties["r1"] = self._adam_d.minimise(slope, lr, passes)["r1"]
        return {"discriminator": terms["total"], "sign_real": terms["sign_real"]}

    def step_generator(self, step: int, lr: float, rng: torch.Generator) -> Tensor:
        """The second half of `step`: its loss []."""
        penalties, passes = self._config.regularisation, self._phase.accumulate
        self.discriminator.requires_grad_(False)
        loss = self._adam_g.minimise(lambda: self._pass_for_real(rng), lr, passes)["total"]
        self.discriminator.requires_grad_(True)
        if penalties.path_length and step % penalties.path_length_every == 0:
            terms = self._adam_g.minimise(lambda: self._unevenness(rng), lr, passes)
            self._penalties["path_length"] = terms["path_length"]
        return loss

    def _pass_for_real(self, rng: torch.Generator) -> dict[str, Tensor]:
        fake = self._augmented(self._draw(self._styles(self._phase.batch, rng)), rng)
        with autocast(self._device, self._dtype):
            logits = self._judge(fake, self._fade())
        return {"total": generator_loss(logits)}

    def _unevenness(self, rng: torch.Generator) -> dict[str, Tensor]:
        penalties, phase = self._config.regularisation, self._phase
        ws = self._styles(max(1, phase.batch // penalties.path_length_shrink), rng)
        img = self.generator.synthesis(ws, noise_mode="random")
        lengths = path_lengths(img, ws, torch.randn(img.shape, generator=rng).to(img))
        # However many the passes of a step, together they move the mean as far as one would.
        moved = penalties.path_length_decay / phase.accumulate
        self._path_length = self._path_length.lerp(lengths.detach().mean(), moved)
        penalty = path_length_penalty(lengths, self._path_length) * penalties.path_length
        return {"total": penalty * penalties.path_length_every, "path_length": penalty}

    @torch.no_grad()
    def _update_average(self, phase: GeneratorPhase, rng: torch.Generator) -> None:
        """Move the averaged weights towards the generator's, and their `w_avg` towards their mean of W."""
        decay = average_decay(phase.images, phase.ema_kimg, self.images)
        ours: list[Tensor] = list(self.average.parameters())
        theirs: list[Tensor] = list(self.generator.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - decay)
        z = torch.randn(phase.images, self.average.z_dim, generator=rng).to(self._device)
        mean = self.average.mapping(z).mean(0)
        self.average.w_avg.lerp_(mean, 1 - self._config.regularisation.w_avg_beta)

    def _styles(self, count: int, rng: torch.Generator) -> Tensor:
        """Latents ws [count, num_ws, w_dim]; some take later layers from a second one (style mixing)."""
        num_ws = self.generator.num_ws
        z = torch.randn(2 * count, self.generator.z_dim, generator=rng).to(self._device)
        crossover = torch.randint(1, num_ws, (count,), generator=rng)
        mixed = torch.rand(count, generator=rng) < self._config.regularisation.style_mixing
        own = (torch.arange(num_ws) < crossover[:, None]) | ~mixed[:, None]  # [count, num_ws]
        first, second = self.generator.mapping(z)[:, None].chunk(2)
        return torch.where(own[:, :, None].to(self._device), first, second)

    def _draw(self, ws: Tensor) -> Tensor:
        with autocast(self._device, self._dtype):
            return self._synthesise(ws, noise_mode="random").float()

    def _next_real(self, rng: torch.Generator) -> Tensor:
        img = self._real.next()
        if img is None:
            raise DatasetError("no real pictures: no phase was entered")
        img = img.to(self._device, non_blocking=True)
        return flip(img, rng) if self._config.mirror else img

    def _augmented(self, img: Tensor, rng: torch.Generator) -> Tensor:
        return laid_out(augment(img, self._probability.p, rng), self._config.hardware)

    def _fade(self) -> Tensor | None:
        """How far the discriminator's new block has faded in []; None where nothing grows."""
        if not self._config.grow:
            return None
        return torch.tensor(min(1.0, self.images / self._config.fade_images), device=self._device)


def average_decay(batch: int, ema_kimg: float, images: int) -> float:
    """Decay a step of an average with a half-life of `ema_kimg` thousand images, or less at the start.

    Args:
        batch: Images a step.
        ema_kimg: Half-life, thousand images.
        images: Looked at before this step.
    """
    half_life = min(ema_kimg * 1000, images * EMA_RAMP)
    return 0.5 ** (batch / half_life) if half_life else 0.0
