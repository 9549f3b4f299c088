"""What the stage `refiners` is measured on while it trains: faces and edited pairs that it never sees."""

from collections.abc import Callable

import torch
from torch import Tensor

from inversion.chain.chain import Chain
from inversion.chain.decoder import unedited
from inversion.chain.steps import FeatureSynthesis
from inversion.networks.refiners import Refiners
from inversion.networks.w_encoder import WEncoder
from stylegan2 import Generator
from stylegan2.image import picture_grid, psnr, to_uint8
from stylegan2.network.synthesis import draw_styles
from train.core.hardware import autocast
from train.core.seeds import Stream, positioned_generator
from train.data.images import ImageSource, in_validation, read_images
from train.data.pairs import UNSEEN_PAIRS, PairRenderer
from train.evaluate.metrics import median
from train.refiners.config import RefinementConfig
from train.refiners.edits import EditSampler, RandomEdits

VALIDATION_PAIRS = 48
BATCH = 16  # pictures at once
GRID_COLUMNS = 8


class RefinementValidation:
    """Validation faces, and unseen pairs with one edit each.

    Args:
        config: Settings of the stage.
        source: Real faces, of which the validation part is taken.
        generator: Frozen.
        sampler: Of edits.
        draw: w [N, w_dim] -> img, in the training's number format.
        draw_truth: The same of ws [N, num_ws, w_dim].
        dtype: That format.
    """

    def __init__(
        self,
        config: RefinementConfig,
        source: ImageSource,
        generator: Generator,
        sampler: EditSampler,
        *,
        draw: Callable[[Tensor], Tensor],
        draw_truth: Callable[[Tensor], Tensor],
        dtype: torch.dtype,
    ) -> None:
        self._device, self._dtype = generator.w_avg.device, dtype
        renderer = PairRenderer(generator, config.pairs.psi, config.seed + UNSEEN_PAIRS, draw)
        blocks = [renderer.render(i, BATCH) for i in range(VALIDATION_PAIRS // BATCH)]
        self._pixels = torch.cat([pixels for _, pixels in blocks])
        rng = positioned_generator(config.seed, Stream.REFINEMENT_VALIDATION)
        self._generator = generator
        edits = sampler.sample(len(self._pixels), rng)
        self._edits = [edits.rows(slice(i, i + BATCH)) for i in range(0, len(edits), BATCH)]
        with torch.no_grad():
            true = [
                edit.apply(self._generator.broadcast(w.to(self._device)))
                for edit, (w, _) in zip(self._edits, blocks, strict=True)
            ]
            self._truth = torch.cat([to_uint8(draw_truth(ws).cpu()) for ws in true])
        data = config.data
        faces = read_images(
            source,
            generator.img_resolution,
            64,
            keep=lambda key: in_validation(key, data.validation_fraction),
            limit=data.validation_images,
        )
        self._faces = torch.cat(list(faces))

    @torch.no_grad()
    def measure(self, encoder: WEncoder, refiners: Refiners) -> dict[str, float]:
        """Median PSNR of faces in w, ws (colours fitted) and (ws, f), and of edited pairs."""
        found: dict[str, list[Tensor]] = {}
        draw = self._drawn_by(encoder, refiners)
        for pixels in torch.split(self._faces, BATCH):
            for name, out in draw(pixels, None).items():
                found.setdefault(f"psnr_{name}", []).append(psnr(to_uint8(out), pixels))
        pictures = (torch.split(x, BATCH) for x in (self._pixels, self._truth))
        for pixels, truth, edits in zip(*pictures, self._edits, strict=True):
            for name, out in draw(pixels, edits).items():
                found.setdefault(f"psnr_edit_{name}", []).append(psnr(to_uint8(out), truth))
        return {name: float(median(torch.cat(values))) for name, values in found.items()}

    @torch.no_grad()
    def grid(self, encoder: WEncoder, refiners: Refiners) -> Tensor:
        """Three rows, pixels [3 R, 8 R, 3]: validation faces, G(ws), G(ws, f)."""
        pixels = self._faces[:GRID_COLUMNS]
        both = self._drawn_by(encoder, refiners)(pixels, None)
        rows = torch.stack([pixels, to_uint8(both["ws"]), to_uint8(both["f"])])
        return picture_grid(rows)

    def _drawn_by(
        self, encoder: WEncoder, refiners: Refiners
    ) -> Callable[[Tensor, RandomEdits | None], dict[str, Tensor]]:
        """What inverts pixels, edits them, and draws them in each space: img [N, 3, R, R] on the CPU."""
        generator = self._generator
        synthesis = generator.synthesis
        chain = Chain(generator, synthesis, encoder, refiners)
        in_f = FeatureSynthesis(synthesis, refiners)

        def draw(pixels: Tensor, edits: RandomEdits | None) -> dict[str, Tensor]:
            edit = unedited if edits is None else edits.apply
            with autocast(self._device, self._dtype):
                found = chain.invert(pixels.to(self._device))
                drawn = {
                    "w": draw_styles(synthesis, edit(generator.broadcast(found.w.float()))),
                    "ws": draw_styles(synthesis, edit(found.ws.float())),
                }
                if found.f is not None:
                    drawn["f"] = in_f(edit(found.f.ws.float()), found.f.code, found.f.a)
                return {name: img.float().cpu() for name, img in drawn.items()}

        return draw
