"""Random edits of W: what edited pairs are made with."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inversion.directions.bank import DirectionBank
from inversion.directions.components import principal_edits
from inversion.directions.linear import EditDirection
from stylegan2 import Generator
from stylegan2.checks import check_shape
from train.core.seeds import Stream, positioned_generator

STRONGEST = 2.5  # standard deviations, of random edits
COMPONENTS = 8  # principal ones that random edits choose from
NAMED_SHARE = 0.5  # of the edits, that go along the model's own directions


def component_rng(seed: int = 0) -> torch.Generator:
    """What draws the latents that components are found from: the same in training and evaluation."""
    return positioned_generator(seed, Stream.COMPONENTS)


@dataclass(frozen=True, kw_only=True)
class RandomEdits:
    """One edit for each of N faces, by the rules of `inversion.directions.linear.apply_direction`."""

    unit: Tensor  # what a deviation of strength adds to ws [N, num_ws, w_dim]; 0 in layers that stay
    bend: Tensor  # what its square adds, likewise
    strength: Tensor  # [N]
    # Where the rule is absolute: a coordinate is <ws_0 - mean, probe>; elsewhere both are 0.
    mean: Tensor  # [N, w_dim]
    probe: Tensor  # [N, w_dim]
    named: Tensor  # along one of the model's own directions [N], bool

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.strength)

    def rows(self, chosen: slice) -> "RandomEdits":
        """The edits of some of the faces."""
        return RandomEdits(**{name: value[chosen] for name, value in vars(self).items()})

    def apply(self, ws: Tensor) -> Tensor:
        """Edit ws [N, num_ws, w_dim], row by row.

        Raises:
            ShapeError: `ws` has another shape.
        """
        check_shape("ws", ws, *self.unit.shape)
        there = ((ws[:, 0] - self.mean) * self.probe).sum(1)
        bent = self.strength.square()[:, None, None] * self.bend
        return ws + (self.strength - there)[:, None, None] * self.unit + bent


class EditSampler:
    """Random edits of ws: each along one of the model's own directions, or a principal component, as likely.

    Strengths are uniform in +-`STRONGEST` standard deviations of w along the edit's direction. A model
    without directions gets principal components alone.

    Args:
        generator: Frozen.
        directions: The model's edits, if it has some; their layers and rules are kept.
        seed: Of the components.
    """

    def __init__(
        self, generator: Generator, directions: DirectionBank | None = None, *, seed: int = 0
    ) -> None:
        own = list((directions or {}).values())
        edits = [*own, *principal_edits(generator, COMPONENTS, component_rng(seed))]
        rules = [_rule(edit, generator) for edit in edits]
        stacked = (torch.stack(part) for part in zip(*rules, strict=True))
        self._unit, self._bend, self._mean, self._probe = stacked
        self._own, self._components = len(own), len(edits) - len(own)

    @torch.no_grad()
    def sample(self, count: int, rng: torch.Generator) -> RandomEdits:
        """Edits of `count` faces, on the generator's device; `rng` is a CPU generator."""
        strength = (2 * torch.rand(count, generator=rng) - 1) * STRONGEST
        named = torch.rand(count, generator=rng) < (NAMED_SHARE if self._own else 0.0)
        own = torch.randint(max(1, self._own), (count,), generator=rng)
        component = self._own + torch.randint(self._components, (count,), generator=rng)
        chosen = torch.where(named, own, component).to(self._unit.device)
        return RandomEdits(
            unit=self._unit[chosen],
            bend=self._bend[chosen],
            strength=strength.to(self._unit.device),
            mean=self._mean[chosen],
            probe=self._probe[chosen],
            named=named,
        )


def _rule(edit: EditDirection, generator: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Unit, bend, mean and probe of an edit, as `RandomEdits` has them."""
    n = edit.direction.to(generator.w_avg)
    unit = torch.zeros(generator.num_ws, generator.w_dim).to(n)
    layers = slice(*edit.layers)
    unit[layers] = edit.unit_size * edit.sigma * (n if n.ndim == 1 else n[layers])
    bend = torch.zeros_like(unit)
    if edit.bend is not None:
        bend[layers] = edit.unit_size**2 * edit.bend.to(n)[layers]
    if edit.mean is None:
        return unit, bend, torch.zeros_like(generator.w_avg), torch.zeros_like(generator.w_avg)
    return unit, bend, edit.mean.to(n), n / edit.sigma
