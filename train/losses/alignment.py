"""The alignment loss of inversion: a frozen contrastive pair tells whether w belongs to its picture."""

from torch import Tensor

from inversion.networks.contrastive import ContrastivePair
from stylegan2.image import shrink
from train.core.config import Against
from train.losses.terms import info_nce


class AlignmentLoss:
    """InfoNCE of pictures and the w that were found for them (CLCAE section 3.2, L_align).

    The paper compares w with the *input* picture. The published code compares it with G(w), which belongs to
    w by construction and says little about the input; `against="reconstruction"` is that, for comparison.
    A mirrored input is compared as it is, its mean not mirrored with it: w is then the mirrored face's own,
    and the contrastive pair knows faces as they are drawn, less one mean.

    Args:
        contrastive: Trained, frozen, on the device.
        against: The picture that w has to fit.
    """

    def __init__(self, contrastive: ContrastivePair, against: Against) -> None:
        self._contrastive, self._against = contrastive, against

    def __call__(self, img: Tensor, drawn: Tensor, w: Tensor) -> Tensor:
        """Contrast every w with all others of the batch.

        Args:
            img: Input pictures [N, 3, R, R] in [-1, 1].
            drawn: Their reconstructions G(w), the same shape.
            w: Latents [N, w_dim].

        Returns:
            Scalar, at least 0; ln N where w says nothing of its picture.

        Raises:
            ShapeError: The shapes differ.
        """
        picture = img if self._against == "input" else drawn
        found = self._contrastive(shrink(picture, self._contrastive.config.in_resolution), w)
        return info_nce(found.image_emb, found.latent_emb, found.logit_scale)
