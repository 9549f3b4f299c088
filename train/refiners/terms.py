"""The loss of the stage `refiners`: real faces in all three spaces, and edited pairs against their truth."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from inversion.chain.steps import Encode, Refine
from inversion.directions.bank import DirectionBank
from inversion.networks.attention import Levels
from inversion.networks.refiners import Refiners
from inversion.networks.w_encoder import WEncoder
from stylegan2 import Generator
from stylegan2.image import shrink
from train.core.hardware import autocast, choose_precision, laid_out, narrow_vectors
from train.data.augment import Mirrored
from train.data.pairs import Pairs
from train.losses.alignment import AlignmentLoss
from train.losses.detail import detail_distance
from train.losses.identity import IdentityEmbedder
from train.losses.perceptual import PerceptualDistance
from train.losses.terms import focused_l2, identity_loss, latent_regression, pixel_l2, pooled_l2
from train.refiners.config import PictureWeights, RefinementConfig, RefinementPhase
from train.refiners.edited_faces import EditedFaces, FaceEditor
from train.refiners.edits import EditSampler

DETAIL_WINDOW = 8  # pixels within which a detail of an edited pair may lie elsewhere
KEPT_WINDOWS = 4  # a side, within which a detail of an edited photo may: where it should be is not known


@dataclass(frozen=True, kw_only=True)
class RefinementNetworks:
    """What the stage works with; those that only measure are None where no phase weighs their term."""

    generator: Generator
    encoder: WEncoder
    refiners: Refiners
    perceptual: PerceptualDistance | None = None
    identity: IdentityEmbedder | None = None
    alignment: AlignmentLoss | None = None
    directions: DirectionBank | None = None


class RefinementTerms:
    """Terms of one pass: real faces in w, ws and (ws, f), and inverted G(w), edited, against G of w edited.

    Gradients of f stop at ws: what ws is must not depend on how much f can repair. The encoder learns from
    all terms where the phase lets it (`encoder_rate`); its batch norms keep their statistics, for a batch
    of this stage is too small to measure them.

    Args:
        config: Settings.
        networks: On the device, generator and measuring networks frozen.
    """

    def __init__(self, config: RefinementConfig, networks: RefinementNetworks) -> None:
        self._config, self._networks = config, networks
        generator, refiners = networks.generator, networks.refiners
        self._device = generator.w_avg.device
        self.dtype = choose_precision(self._device, config.hardware.precision)
        self._resolution = refiners.config.f_resolution
        self.sampler = EditSampler(generator, networks.directions, seed=config.seed)
        self._encode: Callable[[Tensor], tuple[Tensor, ...]] = Encode(networks.encoder)
        self._refine = Refine(generator.synthesis, refiners)
        self._lower: Callable[[Tensor], Any] = self._lowered
        self._upper: Callable[[Tensor, Tensor, Tensor], Tensor] = generator.synthesis.upper
        self._feature: Callable[[Tensor, Tensor, Levels, Tensor], Tensor] = refiners.feature
        if config.hardware.compile:
            self._compile()
        self._editor = FaceEditor(
            sampler=self.sampler,
            lower=self._lower,
            upper=self._upper,
            draw=self.draw_styles,
            broadcast=generator.broadcast,
        )

    def __call__(
        self,
        phase: RefinementPhase,
        real: Mirrored,
        pairs: Pairs | None,
        fraction: float,
        rng: torch.Generator,
    ) -> dict[str, Tensor]:
        """Every term before its weight, and `total`, their weighted sum.

        Args:
            phase: Weights.
            real: Real faces [N, 3, R, R] in [-1, 1].
            pairs: On any device; None leaves their terms out.
            fraction: Share of the phase that is done.
            rng: Draws the edits.
        """
        target, loss = real.img.to(self._device), phase.loss
        n = len(target)
        img = target if pairs is None else torch.cat([target, pairs.img.to(self._device)])
        img = laid_out(img, self._config.hardware)
        with autocast(self._device, self.dtype):
            with torch.set_grad_enabled(phase.encoder_rate > 0):
                w, *levels = (x.clone() for x in self._encode(self._seen(img, real)))
            with torch.set_grad_enabled(loss.weighs_ws):
                w, ws = self._refine(img, w, *levels)
                ws = ws.float()
                a, below = self._lower(ws[:n])
                drawn = self._upper(a, below, ws[:n]).float()
        terms: dict[str, Tensor] = {}
        if loss.weighs_ws:
            terms |= self._styles(phase, w.float(), ws, drawn, target, pairs)
        if loss.weighs_f:
            found = _Found(
                img=img,
                levels=(levels[0], levels[1], levels[2]),
                ws=ws.detach(),
                a=a.detach(),
                below=below.detach(),
            )
            edited = None if pairs is None else self._edit(found, pairs, rng, real=loss.kept_detail > 0)
            terms |= self._features(phase, found, drawn.detach().clamp(-1, 1), target, edited, fraction)
        terms["total"] = self._weighted(terms, phase)
        return terms

    def _compile(self) -> None:
        """Compile piece by piece, for every number of pictures: what is trained apart stays apart."""
        compiled = partial(torch.compile, dynamic=False)
        self._encode, self._lower, self._upper = map(compiled, (self._encode, self._lower, self._upper))
        self._feature = compiled(self._feature, options=narrow_vectors(self._device))
        styles = self._refine.styles
        for owner, name in ((styles, "look"), (styles, "wplus"), (self._refine, "sketch")):
            if (piece := getattr(owner, name)) is not None:
                setattr(owner, name, compiled(piece))

    def _styles(
        self,
        phase: RefinementPhase,
        w: Tensor,
        ws: Tensor,
        drawn: Tensor,
        target: Tensor,
        pairs: Pairs | None,
    ) -> dict[str, Tensor]:
        """Terms of w and ws, of which the first belong to the real faces `target`."""
        n, std = len(target), self._networks.encoder.w_std
        terms = self._compare("ws", drawn, target, phase.loss.ws)
        learns = phase.encoder_rate > 0 or self._refine.sketch is not None
        if learns:
            terms |= self._foundation(phase, w[:n], target)
        terms["spread"] = ((ws[:n] - w[:n, None].detach()) / std).square().mean()
        if pairs is not None:
            found = torch.cat([ws[n:], w[n:, None]], 1) if learns else ws[n:]
            true_w = pairs.w.to(self._device).repeat_interleave(found.shape[1], 0)
            terms["latent"] = latent_regression(found.flatten(0, 1), true_w, std)
        return terms

    def _foundation(self, phase: RefinementPhase, w: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Terms of G(w) itself, and of the agreement of w and picture."""
        terms: dict[str, Tensor] = {}
        drawn, against_drawn = target, self._config.align_against == "reconstruction"
        if any(vars(phase.loss.w).values()) or (phase.loss.align and against_drawn):
            count = max(1, round(phase.foundation_share * len(target)))
            drawn = self.draw(w[:count])
            terms = self._compare("w", drawn, target[:count], phase.loss.w)
        if phase.loss.align and self._networks.alignment is not None:
            if against_drawn:
                w, target = w[: len(drawn)], target[: len(drawn)]
            with autocast(self._device, self.dtype):
                terms["align"] = self._networks.alignment(target, drawn, w)
        return terms

    def _features(
        self,
        phase: RefinementPhase,
        found: "_Found",
        drawn: Tensor,
        target: Tensor,
        edited: EditedFaces | None,
        fraction: float,
    ) -> dict[str, Tensor]:
        """Terms of f: of the real faces `target`, and of what is edited."""
        n, loss, styles, below = len(target), phase.loss, found.ws[: len(target)], found.below
        if edited is not None:
            drawn = torch.cat([drawn, edited.drawn])
        with autocast(self._device, self.dtype):
            code = self._feature(found.img, drawn, found.levels, found.ws)
            f, offset = self.entered(code[:n], found.a, phase, fraction)
            if edited is not None:
                f_hat = self._carried(code[-len(edited.a) :], edited)
                f = torch.cat([f, f_hat.to(f.dtype)])
                below, styles = torch.cat([below, edited.below]), torch.cat([styles, edited.ws_hat])
            out = self._upper(f, below, styles).float()
        terms = {"offset": offset.float().square().mean()}
        terms |= self._compare("f", out[:n], target, loss.f)
        if edited is not None:
            l2 = partial(focused_l2, before=edited.before, focus=loss.focus)
            terms |= self._compare("edit", out[-len(edited.target) :], edited.target, loss.edit, l2)
            if loss.kept_detail:
                window = out.shape[-1] // KEPT_WINDOWS
                terms["kept_detail"] = detail_distance(out[n : 2 * n], out[:n].detach(), window)
        return terms

    def _carried(self, code: Tensor, edited: EditedFaces) -> Tensor:
        """f_hat of everything that is edited.

        Only pairs teach the gates when to open: shutting them is the easiest way to keep all detail.
        """
        carrier, real = self._networks.refiners.carrier, len(edited.a) - len(edited.target)
        if carrier.config.feature != "carried":
            return carrier.carry(code, edited.a, edited.a_hat)
        gates = carrier.open_gates(code, edited.a, edited.a_hat)
        gates = torch.cat([gates[:real].detach(), gates[real:]])
        return carrier.move(code, edited.a, edited.a_hat, gates)

    def entered(
        self, code: Tensor, a: Tensor, phase: RefinementPhase, fraction: float
    ) -> tuple[Tensor, Tensor]:
        """F as it enters the generator, its offset ramped up as `f_ramp` says, and the whole offset."""
        offset = self._networks.refiners.carrier(code, a) - a
        ramp = min(1.0, fraction / phase.f_ramp) if phase.f_ramp else 1.0
        return a + ramp * offset, offset

    def draw(self, w: Tensor) -> Tensor:
        """G(w) in the training's number format: img, float32."""
        return self.draw_styles(self._networks.generator.broadcast(w).contiguous())

    def draw_styles(self, ws: Tensor) -> Tensor:
        """G(ws), as `draw`."""
        with autocast(self._device, self.dtype):
            a, below = self._lower(ws)
            return self._upper(a, below, ws).float()

    def _edit(self, found: "_Found", pairs: Pairs, rng: torch.Generator, *, real: bool) -> EditedFaces:
        """The pairs under random edits, with `real` also the real faces."""
        n = len(found.a)
        with autocast(self._device, self.dtype):
            if real:
                return self._editor.edit(found.ws, found.a, pairs, rng)
            return self._editor.edit(found.ws[n:], found.a[:0], pairs, rng)

    def _compare(
        self,
        name: str,
        out: Tensor,
        target: Tensor,
        weights: PictureWeights,
        l2: Callable[[Tensor, Tensor], Tensor] = pixel_l2,
    ) -> dict[str, Tensor]:
        networks = self._networks
        terms: dict[str, Tensor] = {}
        if weights.l2:
            terms[f"{name}/l2"] = l2(out, target)
        if weights.pooled_l2:
            terms[f"{name}/pooled_l2"] = pooled_l2(out, target, self._config.pool_factor)
        if weights.detail:
            terms[f"{name}/detail"] = detail_distance(out, target, DETAIL_WINDOW)
        with autocast(self._device, self.dtype):
            if weights.perceptual and networks.perceptual is not None:
                terms[f"{name}/perceptual"] = networks.perceptual(out, target).float().mean()
            if weights.identity and networks.identity is not None:
                seen = max(1, round(self._config.identity_share * len(out)))
                terms[f"{name}/identity"] = identity_loss(
                    networks.identity(out[:seen]).float(), networks.identity(target[:seen]).float()
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

    def _lowered(self, ws: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._networks.generator.synthesis.lower(ws, self._resolution)

    def _seen(self, img: Tensor, real: Mirrored) -> Tensor:
        """What the encoder is shown of `img`, of which the first are `real`'s."""
        encoder = self._networks.encoder
        seen = real.with_mirrored_mean(shrink(img, encoder.config.in_resolution), encoder.img_avg)
        return laid_out(seen, self._config.hardware)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Real faces, then pairs, as f is found for them; `a` and `below` are of the real faces alone."""

    img: Tensor
    levels: Levels
    ws: Tensor
    a: Tensor
    below: Tensor
