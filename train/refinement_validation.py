"""What the stage `refiners` is measured on while it trains: faces and edited pairs that it never sees."""

from collections.abc import Callable

import torch
from torch import Tensor

from inversion.chain import Chain
from stylegan2 import Generator
from stylegan2.image import from_uint8, to_uint8
from train.data import ImageSource, in_validation, read_images
from train.edits import EditSampler
from train.hardware import autocast
from train.metrics import psnr
from train.pairs import UNSEEN_PAIRS, PairRenderer
from train.refinement_config import RefinementConfig
from train.seeds import positioned_generator

VALIDATION_STREAM = 6  # of `positioned_generator`
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
        dtype: torch.dtype,
    ) -> None:
        self._device, self._dtype = generator.w_avg.device, dtype
        renderer = PairRenderer(generator, config.pairs.psi, config.seed + UNSEEN_PAIRS, draw)
        blocks = [renderer.render(i, BATCH) for i in range(VALIDATION_PAIRS // BATCH)]
        self._pixels = torch.cat([pixels for _, pixels in blocks])
        self._d = sampler.sample(len(self._pixels), positioned_generator(config.seed, VALIDATION_STREAM))
        w = torch.cat([w for w, _ in blocks]).to(self._device) + self._d
        with torch.no_grad():
            self._truth = torch.cat([to_uint8(draw(part).cpu()) for part in torch.split(w, BATCH)])
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
    def measure(self, chain: Chain) -> dict[str, float]:
        """Median PSNR of the faces in w, ws and (ws, f), and of the edited pairs against G(w + d)."""
        found: dict[str, list[Tensor]] = {}
        for pixels in torch.split(self._faces, BATCH):
            for name, out in self._draw(chain, pixels, None).items():
                found.setdefault(f"psnr_{name}", []).append(psnr(to_uint8(out), pixels))
        parts = zip(*(torch.split(x, BATCH) for x in (self._pixels, self._d, self._truth)), strict=True)
        for pixels, d, truth in parts:
            for name, out in self._draw(chain, pixels, d).items():
                found.setdefault(f"psnr_edit_{name}", []).append(psnr(to_uint8(out), truth))
        return {name: float(torch.cat(values).median()) for name, values in found.items()}

    @torch.no_grad()
    def grid(self, chain: Chain) -> Tensor:
        """Three rows, pixels [3 R, 8 R, 3]: validation faces, G(ws), G(ws, f)."""
        pixels = self._faces[:GRID_COLUMNS]
        both = self._draw(chain, pixels, None)
        rows = torch.stack([pixels, to_uint8(both["ws"]), to_uint8(both["f"])])
        return rows.permute(0, 2, 1, 3, 4).flatten(2, 3).flatten(0, 1)

    def _draw(self, chain: Chain, pixels: Tensor, d: Tensor | None) -> dict[str, Tensor]:
        with autocast(self._device, self._dtype):
            latents = chain.invert(from_uint8(pixels).to(self._device))
            moved = 0.0 if d is None else d[:, None]
            drawn = {
                "w": chain.draw_w(latents.w if d is None else latents.w + d),
                "ws": chain.draw_ws(latents.ws + moved),
                "f": chain.draw(latents, None if d is None else latents.ws_f + moved),
            }
            return {name: img.float().cpu() for name, img in drawn.items()}
