"""Stage `generator --block`: one block more, on what the frozen ones below hand on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from editor.parts.efficientnet import EfficientNetLite0Features
from stylegan2 import Generator
from stylegan2.bundle.block import widened
from stylegan2.image import picture_grid, psnr, shrink, to_uint8
from stylegan2.network.synthesis import SynthesisBlock
from stylegan2.ops.upfirdn2d import upsample2d
from train.core.hardware import autocast, choose_precision, laid_out, to_channels_last
from train.core.optim import Optimiser, learning_rate
from train.core.processes import own_seed
from train.core.seeds import Stream, positioned_generator
from train.evaluate.metrics import median
from train.evaluate.photo.measures import fine_detail
from train.growth.config import GrowthConfig
from train.growth.export import GrownBundle
from train.growth.faces import FaceSource
from train.growth.judge import Judge, fooling_loss, judge_loss, slope_penalty
from train.growth.pool import Below, GrownPool
from train.losses.perceptual import levels_distance

BATCH = 10  # pictures at once in validation
GRID_COLUMNS = 6


class NewBlock(nn.Module):
    """`Below` -> img: the block itself, all of whose styles are that of the last convolution below.

    Its noise stays at strength 0, where it starts: a fixed pattern would stick to the screen under edits.
    """

    def __init__(self, block: SynthesisBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, img: Tensor, w: Tensor) -> Tensor:
        """Pictures [N, 3, 2 R, 2 R], not clamped, of what the blocks below hand on, see `Below`."""
        ws = w[:, None].expand(-1, 3, -1)
        return self.block.draw(self.block.activation(x, ws, "none"), img, ws)


def new_block(generator: Generator, channels: int) -> NewBlock:
    """A block that draws nothing yet: its ToRGB is zero, so every picture is the old one, enlarged."""
    block = NewBlock(widened(generator, channels).synthesis.blocks[-1])
    nn.init.zeros_(block.block.torgb.weight)
    return block


class GrowthStage:
    """One step: draw faces, update the judge, then the block.

    Args:
        config: Settings.
        block: On the device, to be trained.
        features: On the device, frozen: what the judge and the perceptual distance see by.
        faces: Makes what the pool lacks.
        pool: Keeps it.
        bundle: Writes the block as the product reads it.
        device: Where to compute.
    """

    def __init__(
        self,
        config: GrowthConfig,
        block: NewBlock,
        features: EfficientNetLite0Features,
        faces: FaceSource,
        pool: GrownPool,
        bundle: GrownBundle,
        device: torch.device,
    ) -> None:
        self.phases = config.phases
        self._config, self._device, self._bundle = config, device, bundle
        self._dtype = choose_precision(device, config.hardware.precision)
        self._faces, self.pool = faces, pool
        self.judge = Judge(config.judge).to(device)
        if config.hardware.channels_last:
            to_channels_last(self.judge)
        self.optimiser = Optimiser(block, config.optim)
        self._taught = [p for p in self.judge.parameters() if p.requires_grad]
        self._adam = torch.optim.Adam(self._taught, lr=0.0, betas=config.optim.betas)
        self._draw: Callable[..., Tensor] = self.optimiser.module
        self._features: Callable[[Tensor], list[Tensor]] = features
        self._opinions: Callable[[list[Tensor]], list[Tensor]] = self.judge
        self._distance: Callable[[list[Tensor], list[Tensor]], Tensor] = _distance
        if config.hardware.compile:
            self._opinions = torch.compile(self.judge, dynamic=False)
            self._distance = torch.compile(_distance, dynamic=False)
            self._draw = torch.compile(self.optimiser.module, dynamic=False)
            self._features = torch.compile(features, dynamic=False)
        self._index = 0

    def enter_phase(self, index: int) -> None:
        """Take the phase's settings."""
        self._index = index

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Make what the pool lacks."""
        self.pool.fill(
            self._faces.draw_faces, self._faces.photos, self._faces.invent, self._faces.batch, progress
        )

    def step(self, step: int, fraction: float) -> dict[str, Tensor]:
        """One step of both; returns every term before its weight, the block's sum, and what the judge lost.

        The last two entries say what it thinks of photos and of grown pictures.
        """
        phase, config = self.phases[self._index], self._config
        rng = positioned_generator(own_seed(config.seed), Stream.GROWTH_STEP, self._index, step)
        below, photos = self._draw_faces(phase.pair_batch, phase.real_batch, rng)
        with autocast(self._device, self._dtype):
            out = self._draw(below.x, below.img, below.w).float()
            seen, known = [out], [photos]
            if phase.real_batch or config.judge.sees == "features":
                seen = self._features(out)
                with torch.no_grad():
                    known = self._features(photos)
        judged, true = ([out], [photos]) if config.judge.sees == "pixels" else (seen, known)
        told = self._teach_judge(judged, true, phase.judge_lr)
        for weight in self._taught:
            weight.requires_grad_(False)
        with autocast(self._device, self._dtype):
            opinions = self._opinions(judged)
            with torch.no_grad():
                of_photos = self._opinions(true) if config.judge.game == "relativistic" else opinions
        terms = {
            "adversarial": fooling_loss(of_photos, opinions, config.judge),
            "same": (shrink(out, below.img.shape[-1]) - below.img).square().mean(),
        }
        if count := phase.real_batch:
            terms["l1"] = (out[:count] - photos[:count]).abs().mean()
            terms["perceptual"] = self._distance([x[:count] for x in seen], [x[:count] for x in known])
        total = torch.stack([getattr(phase.loss, name) * value for name, value in terms.items()]).sum()
        total.backward()  # type: ignore[no-untyped-call]
        norm = self.optimiser.update(learning_rate(phase, step, fraction), phase.ema)
        detached = {name: value.detach() for name, value in terms.items()}
        return {**detached, "total": total.detach(), "gradient_norm": norm, **told}

    def _teach_judge(self, fake: list[Tensor], real: list[Tensor], lr: float) -> dict[str, Tensor]:
        config = self._config.judge
        for weight in self._taught:
            weight.requires_grad_(True)
        fake = [x.detach() for x in fake]
        with autocast(self._device, self._dtype):
            of_real, of_fake = self._opinions(real), self._opinions(fake)
        loss = judge_loss(of_real, of_fake, config)
        told = {
            "judge": loss.detach(),
            "of_photos": torch.stack([x.detach().float().mean() for x in of_real]).mean(),
            "of_grown": torch.stack([x.detach().float().mean() for x in of_fake]).mean(),
        }
        if config.game == "relativistic" and config.gamma:
            slopes = slope_penalty(self.judge, real) + slope_penalty(self.judge, fake)
            loss = loss + config.gamma * slopes
            told["slopes"] = slopes.detach()
        for group in self._adam.param_groups:
            group["lr"] = lr
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        return told

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """PSNR in dB and share of fine detail against photos, each beside that of enlarging; both shrunk.

        `same` is the PSNR in dB of shrunk invented faces against those of the blocks below.
        """
        found: dict[str, list[float]] = {}
        for rows in self._unseen(real=True):
            below, photos = self._known(rows), self.pool.photos(rows)
            for name, drawn in (("", self._grown(below)), ("enlarged_", upsample2d(below.img))):
                img = drawn.clamp(-1, 1).cpu()
                found.setdefault(f"{name}psnr", []).extend(psnr(img, photos, span=2).tolist())
                shares = zip(to_uint8(img).numpy(), to_uint8(photos).numpy(), strict=True)
                found.setdefault(f"{name}detail", []).extend(
                    fine_detail(a) / fine_detail(b) for a, b in shares
                )
        for rows in self._unseen(real=False):
            below = self._known(rows)
            small = shrink(self._grown(below).clamp(-1, 1), below.img.shape[-1])
            found.setdefault("same", []).extend(psnr(small, below.img.clamp(-1, 1), span=2).tolist())
        return {name: float(median(torch.tensor(values))) for name, values in found.items()}

    @torch.no_grad()
    def grid(self) -> Tensor:
        """Photos, enlarged and grown, then invented faces, enlarged and grown: pixels [5 R, 6 R, 3]."""
        rows: list[Tensor] = []
        for real in (True, False):
            numbers = next(self._unseen(real=real))[:GRID_COLUMNS]
            below = self._known(numbers)
            rows += [self.pool.photos(numbers)] if real else []
            rows += [upsample2d(below.img).cpu(), self._grown(below).cpu()]
        return picture_grid(torch.stack([to_uint8(row) for row in rows]))

    def export(self, folder: Path, steps: int) -> None:
        """Write the averaged block, and a bundle that is grown by it."""
        self._bundle.write(folder, self.optimiser.average.block, {"steps": steps})

    def state_dict(self) -> dict[str, Any]:
        """Weights, their average, and both optimisers."""
        return {
            "optimiser": self.optimiser.state_dict(),
            "judge": self.judge.state_dict(),
            "adam": self._adam.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.judge.load_state_dict(state["judge"])
        self._adam.load_state_dict(state["adam"])

    def _draw_faces(self, invented: int, real: int, rng: torch.Generator) -> tuple[Below, Tensor]:
        """Faces at random, the real ones first, and as many photos, theirs first."""
        kept, sizes = self._config.validation_faces, self.pool.sizes
        photos = torch.randint(kept, sizes.faces, (invented + real,), generator=rng)
        made = torch.randint(kept, sizes.invented, (invented,), generator=rng)
        below = self._known(torch.cat([photos[:real], sizes.faces + made]))
        return below, laid_out(self.pool.photos(photos).to(self._device), self._config.hardware)

    def _known(self, rows: Tensor) -> Below:
        found, hardware = self.pool.below(rows), self._config.hardware
        x, img = (laid_out(part.to(self._device), hardware) for part in (found.x, found.img))
        return Below(x=x, img=img, w=found.w.to(self._device))

    def _unseen(self, *, real: bool) -> Iterator[Tensor]:
        first = 0 if real else self.pool.sizes.faces
        return iter(torch.split(torch.arange(first, first + self._config.validation_faces), BATCH))

    def _grown(self, below: Below) -> Tensor:
        with autocast(self._device, self._dtype):
            return self.optimiser.average(below.x, below.img, below.w).float()  # type: ignore[no-any-return]


def _distance(seen: list[Tensor], known: list[Tensor]) -> Tensor:
    """Mean `levels_distance` of pictures [], in the digits of float32."""
    return levels_distance([x.float() for x in seen], [x.float() for x in known]).mean()
