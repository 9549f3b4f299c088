"""PublishedModel: pixels -> latents with a published encoder, and what an edit does to f."""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.chain.inversion import Space
from inversion.published.config import NAMES, PublishedConfig
from inversion.published.encoders import ClcaeEncoder, Look, Offsets, PublishedEncoder
from stylegan2.checks import check_shape
from stylegan2.image import from_uint8
from stylegan2.network.generator import Generator


@dataclass(frozen=True, kw_only=True)
class PublishedLatents:
    """What is found of N pictures."""

    w: Tensor | None  # [N, w_dim]; None where the encoder finds styles of the layers alone
    ws: Tensor  # [N, num_ws, w_dim]
    f: Tensor | None  # [N, C, 16, 16]; None where the encoder knows no F
    look: Look | None  # what w+ and f were predicted from, see `PublishedModel.predict`


class OffsetCarrier(nn.Module):
    """f_hat = f + G_k(ws_hat) - G_k(ws), CLCAE section 3.3, with f itself as the code.

    In the published code the colours at 16 x 16 come from the generator's own activation, not from f.
    """

    colours_from_f = False

    def forward(self, code: Tensor, a: Tensor) -> Tensor:
        """F of the unedited picture: `code` itself, in place of the activation `a` [N, C, R, R]."""
        check_shape("a", a, *code.shape)
        return code

    def carry(self, code: Tensor, a: Tensor, a_hat: Tensor) -> Tensor:
        """f_hat of an edited picture.

        Args:
            code: f of the unedited picture [N, C, R, R].
            a: The generator's activation before the edit, the same shape.
            a_hat: And after it; where it equals `a`, f_hat is f bit for bit.

        Raises:
            ShapeError: The shapes differ.
        """
        check_shape("a", a, *code.shape)
        check_shape("a_hat", a_hat, *code.shape)
        return code + (a_hat - a)


class PublishedModel(nn.Module):
    """A published encoder in the frame of its generator.

    Args:
        config: Architecture of `encoder`.
        encoder: Ready for inference.
        w_avg: Mean of W [w_dim].
        report: How the file's entries fitted, in words.
    """

    w_avg: Tensor
    img_avg: Tensor

    def __init__(
        self, config: PublishedConfig, encoder: PublishedEncoder, w_avg: Tensor, *, report: str = ""
    ) -> None:
        super().__init__()
        self.config, self.encoder, self.report = config, encoder, report
        self.carrier = OffsetCarrier()
        self.register_buffer("w_avg", w_avg)
        self.register_buffer("img_avg", torch.zeros(3, *config.in_size))
        self.eval().requires_grad_(False)

    @property
    def name(self) -> str:
        """Whose encoder it is."""
        return NAMES[self.config.kind]

    @property
    def has_f(self) -> bool:
        """Whether it inverts into F too."""
        return self.config.kind == "clcae"

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces that photos are inverted into at once."""
        if self.has_f:
            return "w", "w+", "f"
        return ("w",) if self.config.finds_w else ("w+",)

    @torch.no_grad()
    def draw_mean(self, generator: Generator) -> None:
        """Set the mean image, which no published file holds: G(w_avg) with the stored noise.

        Only CLCAE subtracts it; for the others nothing is drawn.
        """
        if self.has_f:
            w = self.w_avg.to(generator.w_avg)
            img = generator.synthesis(generator.broadcast(w[None])).clamp(-1, 1)
            self.img_avg.copy_(self.see(img)[0])

    def see(self, img: Tensor) -> Tensor:
        """What the encoder sees of `img` [N, 3, R, R]: [N, 3, *in_size].

        Cars lose the eighth above and below, as the encoder's training pictures did. Shrinking averages
        over a triangle, as the image library of the published code does.
        """
        side = img.shape[2]
        if self.config.cars:
            img = img[:, :, side // 8 : side - side // 8]
        if tuple(img.shape[2:]) == self.config.in_size:
            return img
        return F.interpolate(img, self.config.in_size, mode="bilinear", align_corners=False, antialias=True)

    def invert(self, img: Tensor) -> PublishedLatents:
        """Invert `img` [N, 3, R, R] in [-1, 1]; `draw_mean` comes before."""
        return self.invert_seen(self.see(img))

    def invert_seen(self, seen: Tensor) -> PublishedLatents:
        """`invert` from what `see` answers."""
        return self._latents(cast("Offsets", self.encoder(seen - self.img_avg)))

    def predict(self, w: Tensor, look: Look) -> PublishedLatents:
        """What CLCAE predicts of another w [N, w_dim] than its own, see `ClcaeEncoder.predict`."""
        return self._latents(cast("ClcaeEncoder", self.encoder).predict(w - self.w_avg, look))

    def _latents(self, found: Offsets) -> PublishedLatents:
        mean = self.w_avg if self.config.adds_mean else torch.zeros_like(self.w_avg)
        w = None if found.w is None else mean + found.w
        return PublishedLatents(w=w, ws=mean + found.ws, f=found.f, look=found.look)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Pixels [N, R, R, 3] uint8 -> w, ws, and of CLCAE f and the tensors of its `Look`."""
        found = self.invert(from_uint8(pixels))
        look = () if found.look is None else (found.look.latents, found.look.fine)
        return (*self.latents(found), *look)

    def latents(self, found: PublishedLatents) -> tuple[Tensor, ...]:
        """w, ws, and f where there is one: tensors alone, as engines want them.

        Where no w is found, it is the mean of ws.
        """
        w = found.ws.mean(1) if found.w is None else found.w
        return (w, found.ws) if found.f is None else (w, found.ws, found.f)
