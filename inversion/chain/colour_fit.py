"""ColourFit: the styles of the last two blocks that draw a picture's colours best, in closed form."""

from contextlib import suppress
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stylegan2.aside import written_aside
from stylegan2.checks import check_shape
from stylegan2.engines.hashes import weights_hash
from stylegan2.network.generator import Generator
from stylegan2.network.layers import FullyConnectedLayer
from stylegan2.network.synthesis import Synthesis, SynthesisBlock

PENALTY = 1e-9  # per square of w_std that ws moves
SIDE = 32  # pixels a side, at most, of the pictures that are compared
OTHERS = 8  # faces that are generated for the restraint


class ColourFit:
    """ws -> ws, its last step: what no network has to guess, since it can be solved.

    A generator adds up the colours of its blocks, and a block's colours are linear in their style: its
    ToRGB layer weighs the channels of the activation, without demodulation (arXiv:1912.04958, Fig. 7b).
    With x the activations of the last two blocks and s their styles,

        img = below + up(W_1 (s_1 x_1)) + W_2 (s_2 x_2)

    so that the best styles are a linear least-squares problem. A row of ws is also the style of the next
    block's first layer. Only what that layer does not see is moved, so that x stays, and the solution is
    exact but for colours that are cut off at -1 and 1: with c_i the picture that the i-th such movement of
    unit length adds,

        min_z  |img - G(ws) - sum_i z_i c_i|^2 + restraint |sum_i z_i c_i of other faces|^2
               + PENALTY |z|^2 / w_std^2                                  (means over places, and other faces)

    An edit turns the face into another one, with other activations. So colours that this face alone would
    have, and that would come out wildly on others, are held back. Shape and place of everything in the
    picture stay: they are the lower blocks'.

    Whatever device the pictures are on, it works on the CPU and in float64, which some accelerators lack: the
    less the movements are held back, the more digits it takes to tell them apart.

    Args:
        generator: Its weights are read once, here.
        w_std: Spread of W [], as `WEncoder` holds it.
        synthesis: Draws the other faces, here.
        restraint: See above, `RefinerConfig.restraint`.
        keep: A folder that what the other faces say is kept in, which is nearly all of the work; None keeps
            nothing.
    """

    def __init__(
        self,
        generator: Generator,
        w_std: Tensor,
        *,
        synthesis: Synthesis,
        restraint: float,
        keep: Path | None = None,
    ) -> None:
        self._up_to = base = generator.config.base_resolution
        lower, last = (b for b in generator.synthesis.blocks if base // 2 <= b.resolution <= base)
        self.first, self.side = lower.resolution, min(SIDE, lower.resolution)
        self.num_ws = generator.num_ws
        weight = [block.torgb.weight[:, :, 0, 0] * block.torgb.weight_gain for block in (lower, last)]
        self.weight = _exact(torch.cat(weight, 1))  # [3, C]
        self.lower_moves, lower_tints = _movements(lower, last.conv0.affine)  # [w_dim, movements]
        self.last_moves, last_tints = _movements(last, None)
        self.tints: Tensor = torch.block_diag(lower_tints, last_tints)  # type: ignore[no-untyped-call]
        spread = torch.eye(self.tints.shape[1]) / _exact(w_std).square()
        self.restraint = restraint * self._kept_squares(generator, synthesis, keep) + PENALTY * spread

    def __call__(self, missing: Tensor, palette: Tensor, ws: Tensor) -> Tensor:
        """Solve for the colours of each picture.

        Args:
            missing: What G(ws) lacks [N, 3, side, side], as `compared_colours` answers.
            palette: What its colours are mixed from [N, C, side, side], likewise.
            ws: Styles [N, num_ws, w_dim].

        Returns:
            ws, of which the rows of the last two ToRGB layers have moved.

        Raises:
            ShapeError: An argument does not have the shape above.
        """
        check_shape("missing", missing, "N", 3, self.side, self.side)
        check_shape("palette", palette, len(missing), self.weight.shape[1], self.side, self.side)
        check_shape("ws", ws, len(missing), self.num_ws, self.lower_moves.shape[0])
        y, x = _exact(missing).flatten(2), _exact(palette).flatten(2)
        matched = torch.einsum("oc,ncp,nop->nc", self.weight, x, y) / self.side**2
        factor = torch.linalg.cholesky(self._squares(x) + self.restraint)
        z = torch.cholesky_solve((matched @ self.tints)[..., None], factor)[..., 0]
        border = self.lower_moves.shape[1]
        moved = ws.clone()
        moved[:, -3] += (z[:, :border] @ self.lower_moves.T).to(ws)
        moved[:, -1] += (z[:, border:] @ self.last_moves.T).to(ws)
        return moved

    def _squares(self, x: Tensor) -> Tensor:
        """Mean products of the c_i [N, movements, movements] for palettes [N, C, places]."""
        gram = (self.weight.T @ self.weight) * (x @ x.transpose(1, 2)) / x.shape[2]
        squares: Tensor = self.tints.T @ gram @ self.tints
        return squares

    def _kept_squares(self, generator: Generator, synthesis: Synthesis, keep: Path | None) -> Tensor:
        if keep is None:
            return self._squares_of_others(generator, synthesis)
        file = keep / f"colours-{weights_hash(generator, self.tints)[:32]}-{OTHERS}-{self.side}.safetensors"
        with suppress(OSError, SafetensorError, KeyError):
            squares = load_file(file)["squares"]
            if squares.shape == (self.tints.shape[1],) * 2 and torch.isfinite(squares).all():
                return squares
        squares = self._squares_of_others(generator, synthesis)
        with suppress(OSError, SafetensorError):  # a disk that is full costs the next start a second
            keep.mkdir(parents=True, exist_ok=True)
            with written_aside(file, shared=True) as partial:
                save_file({"squares": squares.contiguous()}, partial)
        return squares

    @torch.no_grad()
    def _squares_of_others(self, generator: Generator, synthesis: Synthesis) -> Tensor:
        squares = []
        for w in generator.sample_w(OTHERS, seed=0):
            ws = generator.broadcast(w[None]).contiguous()
            activations, _ = synthesis.trace(*synthesis.lower(ws, self.first), ws, up_to=self._up_to)
            squares.append(self._squares(_exact(_palette(activations, self.side)).flatten(2)))
        return torch.cat(squares).mean(0)


def compared_colours(
    img: Tensor, drawn: Tensor, activations: list[Tensor], side: int
) -> tuple[Tensor, Tensor]:
    """What `ColourFit` looks at.

    Args:
        img: Pictures [N, 3, R, R] in [-1, 1], R the resolution that latents were learnt at.
        drawn: Their G(ws), the same shape and range.
        activations: Of the last two blocks, that G(ws) is drawn from: see `SynthesisNetwork.trace`.
        side: `ColourFit.side`.

    Returns:
        What `drawn` lacks [N, 3, side, side], and what its colours are mixed from [N, C, side, side], C the
        channels of both activations.

    Raises:
        ShapeError: `img` or `drawn` has another shape.
    """
    check_shape("img", img, "N", 3, "R", "R")
    check_shape("drawn", drawn, *img.shape)
    return _pooled(img - drawn, side), _palette(activations, side)


def _palette(activations: list[Tensor], side: int) -> Tensor:
    return torch.cat([_pooled(x, side) for x in activations], 1)


def _pooled(x: Tensor, side: int) -> Tensor:
    # As `shrink`, but ending in a convolution: what comes after its last convolution OpenVINO computes in
    # float32, here from activations as large as the picture. Adaptive pooling takes it longer yet.
    share = x.shape[3] // side
    last = min(share, 4)  # torch is slow where a convolution is much larger
    x = x if share == last else F.avg_pool2d(x, share // last)
    weight = x.new_full((x.shape[1], 1, last, last), 1 / last**2)
    return F.conv2d(x, weight, stride=last, groups=x.shape[1])


def _movements(block: SynthesisBlock, unseen_by: FullyConnectedLayer | None) -> tuple[Tensor, Tensor]:
    """How a row of ws can change a block's colours.

    Args:
        block: Whose ToRGB layer has its style from the row.
        unseen_by: Makes another style of the same row, which must stay; None where there is none.

    Returns:
        Orthonormal movements of the row [w_dim, r], and what each does to the style of ToRGB [C, r].
    """
    mixing = _matrix(block.torgb.affine)
    free = torch.eye(mixing.shape[1], dtype=mixing.dtype)
    if unseen_by is not None:
        seen = _matrix(unseen_by)
        _, _, rows = torch.linalg.svd(seen)
        free = rows[int(torch.linalg.matrix_rank(seen)) :].T
    u, s, v = torch.linalg.svd(mixing @ free, full_matrices=False)
    rank = int(torch.linalg.matrix_rank(mixing @ free))
    return free @ v[:rank].T, u[:, :rank] * s[:rank]


def _matrix(affine: FullyConnectedLayer) -> Tensor:
    """The layer's weights as it applies them [outputs, w_dim]."""
    return _exact(affine.weight * affine.weight_gain)


def _exact(x: Tensor) -> Tensor:
    """The same numbers in float64, on the CPU."""
    return x.detach().cpu().double()
