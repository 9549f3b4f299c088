"""PhotoTransfer: a model's pictures before and after an edit -> the edit as it is painted onto the photo."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from editor.parts.parser import FaceParser
from editor.transfer.fields import EditFields, Field
from editor.transfer.ground import Ground
from editor.transfer.paint import paint_crop
from editor.transfer.surroundings import region_of, uncovered_by
from inversion.transfer.checkpoint import load_transfer
from inversion.transfer.config import SIDE, WAYS
from inversion.transfer.graph import TransferPixels
from stylegan2.checks import check_shape
from stylegan2.engines.live import LiveEngine

# The edit, painted everywhere -> how likely each place belongs to the head that it leaves [G, G].
FindHead = Callable[[EditFields], Field]


class PhotoTransfer:
    """The transfer network and the face parser, run by engines; one instance may serve several threads.

    Args:
        resolution: Side R of the model's pictures.
        weights: Of the transfer network; None for those that come with the project.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "auto", "torch" or "openvino".
        cache: Folder for converted graphs; None for the user's cache folder.

    Raises:
        CheckpointError: Weights are missing or damaged.
        EngineError: See `LiveEngine`.
    """

    def __init__(
        self,
        resolution: int,
        *,
        weights: str | Path | None = None,
        device: str = "auto",
        engine: str = "auto",
        cache: Path | None = None,
    ) -> None:
        network = load_transfer() if weights is None else load_transfer(weights)
        self._side = resolution
        seen = torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8)
        ways = torch.zeros(1, WAYS, resolution, resolution, 3, dtype=torch.uint8)
        self.engine = LiveEngine(
            TransferPixels(network).eval(), (seen, ways, ways), device=device, engine=engine, cache=cache
        )
        self.parser = FaceParser(device=device, engine=engine, cache=cache)

    def prepare(self) -> None:
        """Start building faster engines in the background."""
        self.engine.prepare()
        self.parser.engine.prepare()

    def wait(self) -> None:
        """Return when they are built, or have refused."""
        self.engine.wait()
        self.parser.engine.wait()

    def fields(
        self, ground: Ground, drawn: Tensor, edited: Tensor, find_head: FindHead | None = None
    ) -> EditFields:
        """Decide what of the photo moves, what the model draws, and where the photo may change.

        Args:
            ground: Of the face.
            drawn: What the model draws of it, unedited [1, WAYS, R, R, 3] uint8.
            edited: And under the edit, the same shape.
            find_head: Where the head of the edited crop is; None asks the parser.

        Raises:
            ShapeError: `drawn` or `edited` has another shape.
        """
        check_shape("drawn", drawn, 1, WAYS, self._side, self._side, 3)
        check_shape("edited", edited, *drawn.shape)
        flow, added, kept = self.engine(torch.from_numpy(ground.seen)[None], drawn, edited)
        everywhere = EditFields(
            flow=np.asarray(_channels_last(flow) / SIDE, np.float32),
            kept=_channels_last(kept)[..., 0],
            # One level of the model's scale is 127.5 levels of a picture; `kept` weighs levels from 0 on.
            added=np.asarray((_channels_last(added) + 1 - _channels_last(kept)) * 127.5, np.float32),
        )
        around = ground.surroundings
        if around is None:
            return replace(everywhere, region=ground.region)
        find_head = find_head or (lambda edit: self.parser.head(paint_crop(ground.parsed, edit)))
        after = find_head(everywhere) * around.room
        return replace(
            everywhere,
            region=region_of(around.head, after),
            uncovered=uncovered_by(around.head, after),
            behind=around.behind,
        )


def _channels_last(x: Tensor) -> Field:
    """[1, C, H, W] -> [H, W, C]."""
    return np.ascontiguousarray(x[0].permute(1, 2, 0).numpy(), np.float32)
