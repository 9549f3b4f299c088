"""Stage `transfer`: what of a photo goes along with an edit, learned from faces whose true edit is known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inversion.transfer.checkpoint import save_transfer
from inversion.transfer.compose import compose, moved
from inversion.transfer.network import TransferNetwork
from stylegan2.image import picture_grid, psnr, to_uint8
from train.core.checkpoint import write_weights
from train.core.hardware import autocast, choose_precision
from train.core.optim import Optimiser, learning_rate
from train.core.processes import own_seed
from train.core.seeds import Stream, positioned_generator
from train.evaluate.metrics import median
from train.losses.perceptual import PerceptualDistance
from train.transfer.config import TransferTrainingConfig
from train.transfer.examples import EDITS, ExampleMaker
from train.transfer.pool import KINDS, ExamplePool
from train.transfer.terms import carried_l1, edit_gain, optical_flow, total_variation

TRANSFER_FILE = "transfer.safetensors"
BATCH = 12  # examples at once in validation
GRID_COLUMNS = 8


@dataclass(frozen=True)
class Composed:
    """An edited photo, and what it was put together from."""

    img: Tensor  # [N, 3, R, R]
    added: Tensor
    kept: Tensor
    photo: Tensor  # the moved photo [N, 3, R, R]
    flow: Tensor  # [N, 2, R, R] px


class TransferStage:
    """One step: draw examples, compose their edited photos, compare with the truth.

    Args:
        config: Settings.
        network: On the device.
        perceptual: On the device, frozen.
        maker: Makes examples; called where the pool lacks some.
        pool: Keeps them.
        device: Where to compute.
    """

    def __init__(
        self,
        config: TransferTrainingConfig,
        network: TransferNetwork,
        perceptual: PerceptualDistance,
        maker: ExampleMaker,
        pool: ExamplePool,
        device: torch.device,
    ) -> None:
        self.phases = config.phases
        self._config, self._device = config, device
        self._dtype = choose_precision(device, config.hardware.precision)
        self.network, self.optimiser = network, Optimiser(network, config.optim)
        self._perceptual, self._maker, self.pool = perceptual, maker, pool
        self._index = 0

    def enter_phase(self, index: int) -> None:
        """Take the phase's settings."""
        self._index = index

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Make the examples that are missing."""
        self.pool.fill(self._maker.make, progress)

    def step(self, step: int, fraction: float) -> dict[str, Tensor]:
        """One optimiser step; returns every term before its weight, their sum, and the gradient's norm."""
        phase = self.phases[self._index]
        rng = positioned_generator(own_seed(self._config.seed), Stream.TRANSFER_STEP, self._index, step)
        img = self.pool.draw(self._config.validation_examples, phase.batch, rng, phase.held_back)
        img = img.to(self._device)
        photo, truth = img[:, 0], img[:, 1]
        self.network.train()
        found = self._compose(self.network, img)
        gain, weight = edit_gain(found.img, truth, photo)
        looked = max(1, round(phase.batch * phase.perceptual_share))
        with autocast(self._device, self._dtype):
            perceptual = self._perceptual(found.img[:looked].clamp(-1, 1), truth[:looked]).float().mean()
        terms = {
            "l1": (found.img - truth).abs().mean(),
            "carried": carried_l1(found.added, found.photo, found.kept, truth),
            "perceptual": perceptual,
            "gain": (weight * (1 - gain).square()).mean(),
            "smoothness": total_variation(found.flow),
        }
        total = torch.stack([getattr(phase.loss, name) * value for name, value in terms.items()]).sum()
        guided = max(0.0, 1 - 2 * fraction)
        if guided and phase.loss.flow and self._config.transfer.learned_flow:
            seen = slice(0, (phase.batch + 1) // 2)  # the flow takes as long as the network
            terms["flow"] = (found.flow[seen] - optical_flow(photo[seen], truth[seen])).abs().mean()
            total = total + guided * phase.loss.flow * terms["flow"]
        total.backward()  # type: ignore[no-untyped-call]
        norm = self.optimiser.update(learning_rate(phase, step, fraction), phase.ema)
        detached = {name: value.detach() for name, value in terms.items()}
        return {**detached, "total": total.detach(), "gradient_norm": norm}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """PSNR of edited photos against the truth in dB, in each kind of space, beside the model's own."""
        measures = {}
        for kind, name in enumerate(KINDS):
            ours, drawn, gains, weights = [], [], [], []
            for img in self._unseen(kind):
                found = self._compose(self.optimiser.average, img).img.clamp(-1, 1)
                ours.append(psnr(found, img[:, 1], span=2))
                drawn.append(psnr(img[:, 4], img[:, 1], span=2))
                gain, weight = edit_gain(found, img[:, 1], img[:, 0])
                gains.append((gain * weight).sum())
                weights.append(weight.sum())
            measures[f"{name}_psnr"] = float(median(torch.cat(ours)))
            measures[f"{name}_drawn_psnr"] = float(median(torch.cat(drawn)))
            measures[f"{name}_gain"] = float(sum(gains) / sum(weights))
        return measures

    @torch.no_grad()
    def grid(self) -> Tensor:
        """Photos, the model's edits, ours, and the truth: pixels [4 R, 8 R, 3]."""
        img = next(self._unseen(0))[:GRID_COLUMNS]
        found = self._compose(self.optimiser.average, img).img
        rows = [to_uint8(x.cpu()) for x in (img[:, 0], img[:, 4], found, img[:, 1])]
        return picture_grid(torch.stack(rows))

    def export(self, folder: Path, steps: int) -> None:
        """Write the averaged network as `transfer.safetensors`."""
        average, facts = self.optimiser.average, {"steps": steps, "bundle": self._config.bundle.name}
        write_weights(folder / TRANSFER_FILE, facts, lambda path, told: save_transfer(average, path, told))

    def state_dict(self) -> dict[str, Any]:
        """Weights, their average, and the optimiser."""
        return {"optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.optimiser.load_state_dict(state["optimiser"])

    def _unseen(self, kind: int) -> Iterator[Tensor]:
        numbers = [(i, edit) for i in range(self._config.validation_examples) for edit in range(EDITS)]
        for start in range(0, len(numbers), BATCH):
            picked = [self.pool.pick(i, edit, kind) for i, edit in numbers[start : start + BATCH]]
            yield torch.stack(picked).to(self._device)

    def _compose(self, network: TransferNetwork, img: Tensor) -> Composed:
        photo, drawn, edited = img[:, 0], img[:, 2:4].flatten(1, 2), img[:, 4:6].flatten(1, 2)
        given = None if network.config.learned_flow else optical_flow(drawn[:, -3:], edited[:, -3:])
        with autocast(self._device, self._dtype):
            flow, masks, shares = (x.float() for x in network(photo, drawn, edited, given))
        added, kept = compose(drawn, edited, flow, masks, shares)
        carried = moved(photo, flow)
        return Composed(added + kept * carried, added, kept, carried, flow)
