"""FeatureCarrier: code and the generator's activations -> f, also where an edit has moved the face."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.networks.attention import to_map, to_tokens, zero_started
from inversion.networks.config import RefinerConfig
from stylegan2.checks import check_shape
from stylegan2.ops.int8 import Int8Conv2d


class FeatureCarrier(nn.Module):
    """f = a + offset(code, a), and after an edit f_hat = a_hat + what the code calls for that still holds.

    With `a = G_k(ws)` and `a_hat = G_k(ws_hat)`, CLCAE (section 3.3) adds the same offset after an edit,
    `f_hat = f + a_hat - a`, so that features of the old face stay where they were although the face moved.
    Here the code is first carried along: every place of `a_hat` looks up, by attention, where in `a` it
    came from, and fetches the code from there,

        moved = softmax(q(a_hat) k(a)^T / sqrt(d)) code
        code_hat = (1 - g) ((1 - m) code + m moved),   f_hat = a_hat + offset(code_hat, a_hat)

    and two gates m and g open where the edit changes the activation: m chooses the carried code, g lets go of
    it. Without code the offset still sees `a_hat`, and gives a face that the styles draw softly its details
    back. With `size` the mean change at a place, as a share of the mean activation,

        (m, g) = 1 - exp(-readiness size / (1 + size) size / mean(size) softplus(net(|a_hat - a|, code)))

    Without an edit `size` is 0, so both are 0 and f_hat is f, exactly. `size / (1 + size)` saturates:
    else edits of one feature would be held back while a turned head is let go of altogether. For the same
    reason `size / mean(size)`, over all places: an edit of the mouth is gathered there and has to win there,
    an edit of age or light is spread thinly and leaves most of the person alone. A softplus and no ReLU: a
    gate that training once shuts must be able to open again.

    `RefinerConfig.feature` chooses CLCAE's formula for comparison, with f an offset or instead of `a`; the
    parts that carry are then there, and nothing asks them.
    """

    colours_from_f = True
    int8_convolutions = True  # see `stylegan2.engines.int8`

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        channels, side, width = config.f_channels, config.f_resolution, config.carry_width
        self.mix = Int8Conv2d(config.code + channels, config.f_hidden, 3, 1, 1)
        head = Int8Conv2d(config.f_hidden, channels, 3, 1, 1)
        # An untrained carrier leaves f as G_k(ws), if f is to go on from there.
        self.offset = head if config.feature == "replacement" else zero_started(head)
        self.match = nn.Conv2d(channels, width, 1)
        self.row = nn.Parameter(torch.randn(width, side, 1) * 0.5)
        self.column = nn.Parameter(torch.randn(width, 1, side) * 0.5)
        self.gates = nn.Sequential(
            Int8Conv2d(channels + config.code, width, 3, 1, 1), nn.SiLU(), nn.Conv2d(width, 2, 3, 1, 1)
        )

    def forward(self, code: Tensor, a: Tensor) -> Tensor:
        """F of the unedited picture.

        Args:
            code: From `FeatureRefiner` [N, code, R, R].
            a: The generator's activation under the same styles [N, C, R, R].

        Returns:
            f [N, C, R, R].

        Raises:
            ShapeError: An argument does not have the shape above.
        """
        self._check(code, a)
        return self._entered(code, a)

    def carry(self, code: Tensor, a: Tensor, a_hat: Tensor) -> Tensor:
        """f_hat of an edited picture.

        Args:
            code: Of the unedited picture [N, code, R, R].
            a: The generator's activation before the edit [N, C, R, R].
            a_hat: And after it, the same shape.

        Returns:
            f_hat [N, C, R, R]; `forward(code, a)` where `a_hat` equals `a`.

        Raises:
            ShapeError: An argument does not have the shape above.
        """
        self._check(code, a)
        check_shape("a_hat", a_hat, *a.shape)
        if self.config.feature != "carried":
            return self._entered(code, a) + a_hat - a
        return self.move(code, a, a_hat, self.open_gates(code, a, a_hat))

    def open_gates(self, code: Tensor, a: Tensor, a_hat: Tensor) -> Tensor:
        """How far the gates m and g open [N, 2, R, R], in [0, 1); arguments as for `carry`."""
        change = (a_hat - a).abs()
        size = change.mean(1, keepdim=True) / a.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-6)
        eager = F.softplus(self.gates(torch.cat([change, code], 1)))
        gathered = size / size.mean((2, 3), keepdim=True).clamp(min=1e-6)
        return 1 - torch.exp(-self.config.readiness * size / (1 + size) * gathered * eager)

    def move(self, code: Tensor, a: Tensor, a_hat: Tensor, gates: Tensor) -> Tensor:
        """f_hat with the gates so far open [N, 2, R, R]; the other arguments as for `carry`."""
        m, g = gates[:, :1], gates[:, 1:]
        code = (1 - g) * (code + m * (self._moved(code, a, a_hat) - code))
        return self._entered(code, a_hat)

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return f"readiness={self.config.readiness}, feature={self.config.feature}"

    def _moved(self, code: Tensor, a: Tensor, a_hat: Tensor) -> Tensor:
        place, side = self.row + self.column, self.config.f_resolution
        q, k = to_tokens(self.match(a_hat) + place), to_tokens(self.match(a) + place)
        moved = F.scaled_dot_product_attention(q[:, None], k[:, None], to_tokens(code)[:, None])
        return to_map(moved[:, 0], side, side)

    def _entered(self, code: Tensor, a: Tensor) -> Tensor:
        offset: Tensor = self.offset(F.silu(self.mix(torch.cat([code, a], 1))))
        return offset if self.config.feature == "replacement" else a + offset

    def _check(self, code: Tensor, a: Tensor) -> None:
        side = self.config.f_resolution
        check_shape("code", code, "N", self.config.code, side, side)
        check_shape("a", a, len(code), self.config.f_channels, side, side)
