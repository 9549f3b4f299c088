"""Chain: from a cropped face to its latents, step by step, whatever runs the steps."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from inversion.chain.colour_fit import ColourFit
from inversion.chain.inversion import Feature, Inversion
from inversion.chain.steps import Encode, FindFeature, Refine
from inversion.networks.refiners import Refiners
from inversion.networks.w_encoder import WEncoder
from stylegan2.checks import check_shape
from stylegan2.image import from_uint8, to_uint8
from stylegan2.network.generator import Generator
from stylegan2.network.synthesis import Synthesis

# A step and one input each -> what runs it: the step itself, or an engine.
Run = Callable[[nn.Module, tuple[Tensor, ...]], Callable[..., tuple[Tensor, ...]]]


class Begin(Protocol):
    """Styles [N, num_ws, w_dim] -> what `Synthesis.lower` answers at a resolution that all steps reach."""

    @property
    def example(self) -> tuple[Tensor, ...]:
        """An answer for one picture, as to its shapes."""

    def __call__(self, ws: Tensor) -> tuple[Tensor, ...]:
        """See the class."""


def _nothing(_: Tensor) -> tuple[Tensor, ...]:
    return ()


def run_as_is(step: nn.Module, examples: tuple[Tensor, ...]) -> nn.Module:
    """A `Run` that leaves steps to torch, on the device and in the number format that the caller chose."""
    return step


# The steps as engines run them: of pixels [N, R, R, 3] uint8 in the place of img. They are subclasses and no
# wrappers, since a module within a module is converted to another graph, which rounds otherwise.


class _EncodePixels(Encode):
    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return super().forward(from_uint8(pixels))


class _RefinePixels(Refine):
    def forward(
        self, pixels: Tensor, w: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor, *begun: Tensor
    ) -> tuple[Tensor, Tensor]:
        return super().forward(from_uint8(pixels), w, fine, middle, coarse, *begun)


class _FindPixels(FindFeature):
    """Draws pixels too."""

    def forward(
        self, pixels: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor, ws: Tensor, *begun: Tensor
    ) -> tuple[Tensor, ...]:
        found = super().forward(from_uint8(pixels), fine, middle, coarse, ws, *begun)
        code, a, img, missing, palette = found
        return code, a, to_uint8(img), missing, palette


class Chain:
    """crop -> w -> second look -> ws -> code -> colours. What draws its answer is `Decoder`.

    Args:
        generator: The encoder was trained for it.
        synthesis: Draws for it.
        encoder: Answers first.
        refiners: Trained for `encoder`; None ends the chain at w.
        run: What runs a step, told of inputs [1, ...].
        keep: See `ColourFit`.
        begin: Draws the lower part of pictures for all steps that draw; without it each does so itself.
    """

    def __init__(
        self,
        generator: Generator,
        synthesis: Synthesis,
        encoder: WEncoder,
        refiners: Refiners | None,
        *,
        run: Run = run_as_is,
        keep: Path | None = None,
        begin: Begin | None = None,
    ) -> None:
        side = generator.img_resolution
        self._shape, self._broadcast = (side, side, 3), generator.broadcast
        pixels = torch.zeros(1, *self._shape, dtype=torch.uint8, device=generator.w_avg.device)
        self.encode = run(_EncodePixels(encoder, with_levels=refiners is not None).eval(), (pixels,))
        self.after_w: AfterW | None = None
        if refiners is not None:
            shapes = [(encoder.config.w_dim,), *encoder.config.level_shapes]
            answer = [torch.zeros(1, *shape, device=pixels.device) for shape in shapes]
            self.after_w = AfterW(generator, synthesis, refiners, run, (pixels, *answer), keep, begin)

    def invert(self, pixels: Tensor) -> Inversion:
        """Invert cropped faces.

        Args:
            pixels: [N, R, R, 3] uint8, R the generator's resolution.

        Returns:
            Latents where `run` leaves them; engines answer on the CPU.

        Raises:
            ShapeError: `pixels` has another shape.
        """
        w, levels = self._encoded(pixels)
        if self.after_w is None:
            return self._of_w(w)
        w, plain_ws = self.after_w.refine(pixels, w, levels)
        ws, f, drawn = self.after_w.find_feature(pixels, plain_ws, levels)
        return Inversion(w=w, ws=ws, plain_ws=plain_ws, f=f, drawn=drawn)

    def glance(self, pixels: Tensor) -> Inversion:
        """Find w alone, at the encoder's first look, in about a tenth of the time; as `invert` else."""
        return self._of_w(self._encoded(pixels)[0])

    def _encoded(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        check_shape("pixels", pixels, "N", *self._shape)
        w, *levels = self.encode(pixels)
        return w, levels

    def _of_w(self, w: Tensor) -> Inversion:
        return Inversion(w=w, ws=self._broadcast(w).clone())


class AfterW:
    """The part of the chain that refiners add: two steps, and one solution in closed form.

    Args:
        generator: As for `Chain`, and the next three.
        synthesis: See there.
        refiners: See there.
        run: See there.
        found: Pixels of one picture and the encoder's answer for it, as to their shapes.
        keep: See `ColourFit`.
        begin: See `Chain`.
    """

    def __init__(
        self,
        generator: Generator,
        synthesis: Synthesis,
        refiners: Refiners,
        run: Run,
        found: tuple[Tensor, ...],
        keep: Path | None = None,
        begin: Begin | None = None,
    ) -> None:
        self.refiners = refiners
        self._colours = ColourFit(
            generator,
            refiners.wplus.w_std,
            synthesis=synthesis,
            restraint=refiners.config.restraint,
            keep=keep,
        )
        pixels, w, *levels = found
        self._broadcast, self._begin = generator.broadcast, begin or _nothing
        self._looks = refiners.look is not None
        ws = self._broadcast(w).contiguous()
        begun = begin.example if begin is not None else ()
        refine = _RefinePixels(synthesis, refiners).eval()
        self._refine = run(refine, (*found, *(begun if self._looks else ())))
        find = _FindPixels(synthesis, refiners, self._colours.side).eval()
        self._find = run(find, (pixels, *levels, ws, *begun))

    def refine(self, pixels: Tensor, w: Tensor, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The encoder's answer -> w and ws.

        Args:
            pixels: [N, R, R, 3] uint8.
            w: The encoder's answer [N, w_dim].
            levels: And its feature levels.
        """
        begun = self._begin(self._broadcast(w)) if self._looks else ()
        w, ws = self._refine(pixels, w, *levels, *begun)
        return w, ws

    def find_feature(
        self, pixels: Tensor, ws: Tensor, levels: Sequence[Tensor]
    ) -> tuple[Tensor, Feature, Tensor]:
        """Find what F adds to styles, and the styles' colours.

        Args:
            pixels: [N, R, R, 3] uint8.
            ws: Their styles [N, num_ws, w_dim].
            levels: Their feature levels.

        Returns:
            ws with the colours of the pictures, what F adds to it as it was, and G(ws, f) unedited
            [N, R, R, 3] uint8.
        """
        code, a, drawn, missing, palette = self._find(pixels, *levels, ws, *self._begin(ws))
        return self._colours(missing, palette, ws), Feature(ws=ws, code=code, a=a), drawn
