"""Stage `attributes`: a network that tells age, sex, glasses and what else people rate of a face."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from editor.measure.attribute_network import (
    ATTRIBUTES,
    MOST_YEARS,
    NAMES,
    SIDE,
    AttributeNetwork,
    expected_years,
    save_attributes,
    tell,
)
from stylegan2.image import from_uint8, picture_grid
from train.attributes.config import AttributesConfig
from train.attributes.faces import KnownFaces, varied
from train.attributes.measures import qualities
from train.core.checkpoint import write_weights
from train.core.optim import Optimiser, learning_rate
from train.core.processes import own_seed
from train.core.seeds import Stream, positioned_generator

ATTRIBUTES_FILE = "attributes.safetensors"
GRID_COLUMNS = 8
YEARS_SPREAD = 2.5  # of the ages that count as right, beside the one that is told
YEARS_SHARE = 0.05  # what a year of error counts for, beside the distribution
_RATED = NAMES.index("happy")


class AttributesStage:
    """One step: vary faces, tell their attributes, compare with what is known of each.

    In float32: the backbone's depthwise convolutions learn more slowly in bf16 on a CPU.

    Args:
        config: Settings.
        network: On the device.
        keep: Reads the faces, or finds them kept; receives a progress callback.
        device: Where to compute.
    """

    def __init__(
        self,
        config: AttributesConfig,
        network: AttributeNetwork,
        keep: Callable[[Callable[[int, int], None]], KnownFaces],
        device: torch.device,
    ) -> None:
        self.phases = config.phases
        self._config, self._device, self._keep = config, device, keep
        self.network, self.optimiser = network, Optimiser(network, config.optim)
        self._index = 0

    def enter_phase(self, index: int) -> None:
        """Take the phase's settings."""
        self._index = index
        frozen = self.phases[index].frozen_blocks
        self.network.stem.requires_grad_(frozen < 0)
        for number, block in enumerate(self.network.blocks):
            block.requires_grad_(number >= frozen)

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Read the faces, unless they are kept."""
        self._faces = self._keep(progress)
        numbers = np.arange(len(self._faces))
        self.validation = numbers[:: self._config.validation_every]
        trained = np.setdiff1d(numbers, self.validation)
        rated = ~np.isnan(self._faces.known[trained, _RATED])
        self._rated, self._others = trained[rated], trained[~rated]
        told = torch.from_numpy(self._faces.known[trained])
        # What is rare counts more, so that it is learned at all.
        share = told.nanmean(0).clamp(0.02, 0.98)
        self._rare = ((1 - share) / share).sqrt().to(self._device)

    def step(self, step: int, fraction: float) -> dict[str, Tensor]:
        """One optimiser step; returns the loss of each kind of attribute, their sum, the gradient's norm."""
        phase = self.phases[self._index]
        rng = positioned_generator(own_seed(self._config.seed), Stream.ATTRIBUTES_STEP, self._index, step)
        rated = round(phase.batch * phase.rated_share) if len(self._rated) else 0
        chosen = [_drawn(self._rated, rated, rng), _drawn(self._others, phase.batch - rated, rng)]
        numbers = np.sort(np.concatenate(chosen))
        img = varied(from_uint8(torch.from_numpy(self._faces.pixels[numbers])), rng).to(self._device)
        known = torch.from_numpy(self._faces.known[numbers]).to(self._device)
        self.network.train()
        terms = attribute_losses(*self.network.answers(img), known, self._rare)
        total = torch.stack(list(terms.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        norm = self.optimiser.update(learning_rate(phase, step, fraction), phase.ema)
        detached = {name: value.detach() for name, value in terms.items()}
        return {**detached, "total": total.detach(), "gradient_norm": norm}

    def validate(self) -> dict[str, float]:
        """Error of the age, areas under the curve and correlations, on faces that are never trained on."""
        found = tell(self.optimiser.average, self._faces.pixels[self.validation], self._device)
        return qualities(found, torch.from_numpy(self._faces.known[self.validation]))

    def grid(self) -> Tensor:
        """Faces of the validation, youngest first by the network's word, pixels [4 SIDE, 8 SIDE, 3]."""
        pixels = self._faces.pixels[self.validation[: 4 * GRID_COLUMNS]]
        order = tell(self.optimiser.average, pixels, self._device)[:, 0].argsort().numpy()
        whole = order[: len(order) // GRID_COLUMNS * GRID_COLUMNS]
        shown = pixels[whole if len(whole) else order].reshape(
            -1, min(GRID_COLUMNS, len(order)), SIDE, SIDE, 3
        )
        return picture_grid(torch.from_numpy(shown))

    def export(self, folder: Path, steps: int) -> None:
        """Write the averaged network as `attributes.safetensors`."""
        average = self.optimiser.average
        write_weights(
            folder / ATTRIBUTES_FILE,
            {"steps": steps},
            lambda path, told: save_attributes(average, path, told),
        )

    def state_dict(self) -> dict[str, Any]:
        """Weights, their average, and the optimiser."""
        return {"optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.optimiser.load_state_dict(state["optimiser"])


def attribute_losses(years: Tensor, others: Tensor, known: Tensor, rare: Tensor) -> dict[str, Tensor]:
    """What answers cost; of what nobody tells, nothing.

    Args:
        years: Logits of whole years [N, MOST_YEARS + 1].
        others: All other answers [N, len(ATTRIBUTES) - 1].
        known: As they are told, NaN where nobody does [N, len(ATTRIBUTES)].
        rare: What a face that is so counts for, beside one that is not [len(ATTRIBUTES)].

    Returns:
        "age": cross entropy with a normal distribution around the age, and a share of the error in years;
        "odds": binary cross entropy; "scale": Huber's loss in standard deviations. Each the mean over what
        is told, summed over attributes.
    """
    terms = {"age": years.sum() * 0, "odds": years.sum() * 0, "scale": years.sum() * 0}
    told = ~known[:, 0].isnan()
    if told.any():
        truth, found = known[told, :1], years[told].float()
        grid = torch.arange(MOST_YEARS + 1, device=found.device)
        wanted = torch.exp(-0.5 * ((grid - truth) / YEARS_SPREAD) ** 2)
        error = (expected_years(found) - truth).abs().mean()
        terms["age"] = F.cross_entropy(found, wanted / wanted.sum(1, keepdim=True)) + YEARS_SHARE * error
    for index, attribute in enumerate(ATTRIBUTES[1:], 1):
        told = ~known[:, index].isnan()
        if told.any():
            truth, found = known[told, index], others[told, index - 1].float()
            if attribute.kind == "odds":
                loss = F.binary_cross_entropy_with_logits(found, truth, pos_weight=rare[index])
            else:
                loss = F.huber_loss(found, (truth - attribute.mean) / attribute.unit)
            terms[attribute.kind] = terms[attribute.kind] + loss
    return terms


def _drawn(numbers: np.ndarray, count: int, rng: torch.Generator) -> np.ndarray:
    chosen = torch.randint(max(1, len(numbers)), (count if len(numbers) else 0,), generator=rng)
    return np.asarray(numbers[chosen.numpy()])
