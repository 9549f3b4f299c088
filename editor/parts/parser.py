"""FaceParser: a cropped face -> which of its pixels belong to its head."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from editor.parts.checkpoint import load_face_parser
from editor.parts.labels import HEAD, Part
from editor.parts.network import SIDE, FaceParserNetwork
from editor.photo.colour import Pixels
from stylegan2.checks import check_shape
from stylegan2.engines.live import LiveEngine
from stylegan2.image import from_uint8

Shares = NDArray[np.float32]


class _PartShares(nn.Module):
    """Pixels [N, SIDE, SIDE, 3] uint8 -> how likely each part is [N, len(Part), GRID, GRID]."""

    def __init__(self, network: FaceParserNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        shares: Tensor = self.network(from_uint8(pixels)).softmax(1)
        return shares


class FaceParser:
    """The face parser, run by an engine; one instance may serve several threads.

    Args:
        path: Its weights; None for those that come with the project.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "auto", "torch" or "openvino".
        cache: Folder for converted graphs; None for the user's cache folder.

    Raises:
        CheckpointError: The weights are missing or damaged.
        EngineError: See `LiveEngine`.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        device: str = "auto",
        engine: str = "auto",
        cache: Path | None = None,
    ) -> None:
        network = load_face_parser() if path is None else load_face_parser(path)
        example = torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8)
        self.engine = LiveEngine(
            _PartShares(network).eval(), (example,), device=device, engine=engine, cache=cache
        )

    def shares(self, crop: Pixels) -> Shares:
        """How likely each part is [len(Part), GRID, GRID], sum 1, of a crop [SIDE, SIDE, 3] uint8.

        Raises:
            ShapeError: `crop` has another shape.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(crop))[None]
        check_shape("crop", pixels, 1, SIDE, SIDE, 3)
        return np.asarray(self.engine(pixels)[0][0].numpy(), np.float32)

    def head(self, crop: Pixels) -> Shares:
        """How likely a pixel belongs to a head [GRID, GRID]; arguments as `shares`."""
        return np.asarray(self.shares(crop)[list(HEAD)].sum(0).clip(0, 1), np.float32)

    def parts(self, crop: Pixels) -> NDArray[np.uint8]:
        """The likeliest `Part` of every pixel [SIDE, SIDE]; arguments as `shares`."""
        shares = self.shares(crop).transpose(1, 2, 0)
        enlarged = [cv2.resize(shares[..., part], (SIDE, SIDE)) for part in Part]
        return np.asarray(np.argmax(enlarged, 0), np.uint8)


def room_of_head(head: Shares, own: Shares, others: Sequence[Shares]) -> Shares:
    """Where the head that is edited may be, before and after an edit.

    Args:
        head: Of the photo, as `FaceParser.head` answers [G, G].
        own: Outline of the face that is edited [K, 2], in parts of the crop's side.
        others: Outlines of the other faces of the photo.

    Returns:
        [G, G] in 0..1: 1 on and around what hangs together with the own face, 0 on other faces and what is
        theirs, soft between. It does not change with the edit, so that nothing springs.
    """
    side = len(head)
    taken, mine = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    for outline in others:
        cv2.fillConvexPoly(taken, _grid_points(outline, side), 1)
    cv2.fillConvexPoly(mine, _grid_points(own, side), 1)
    taken[mine > 0] = 0
    likely = ((head > _HALF) & (taken == 0)) | (mine > 0)
    _, labels = cv2.connectedComponents(likely.astype(np.uint8))
    label = np.bincount(labels[mine > 0]).argmax() if mine.any() else 0
    connected = ((labels == label) & likely).astype(np.uint8)
    foreign = (likely & (connected == 0)).astype(np.uint8) | taken
    margin = max(1, round(_MARGIN * side))
    room = cv2.dilate(connected, np.ones((2 * margin + 1,) * 2, np.uint8))
    room[foreign > 0] = 0
    return np.asarray(cv2.GaussianBlur(room.astype(np.float32), (0, 0), 1.0), np.float32)


_HALF = 0.5
_MARGIN = 0.12  # of the side: how far beyond its outline an edited head may reach


def _grid_points(outline: Shares, side: int) -> NDArray[np.int32]:
    hull = cv2.convexHull(np.asarray(outline, np.float32))
    return np.asarray(np.rint(hull * side - 0.5), np.int32)
