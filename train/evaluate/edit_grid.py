"""A picture of what an evaluation measures: invented faces, their inversions, and edits beside the truth."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inversion.chain.decoder import unedited
from stylegan2.image import picture_grid
from train.data.pairs import UNSEEN_PAIRS
from train.evaluate.edit_truth import PSI, truth_edits
from train.evaluate.subject import Subject

COLUMNS = 6  # faces, each with another edit
MARGIN = 96  # pixels at the left, for the rows' names
QUALITY = 92  # of the JPEG
INK, PAPER = (40, 40, 40), 255


@torch.no_grad()
def edit_grid(subject: Subject) -> NDArray[np.uint8]:
    """Draw the grid.

    Args:
        subject: Its generator invents the faces; principal components follow where its edits are few.

    Returns:
        Pixels [H, W, 3] uint8: a column a face, a row each for the face, its inversion in every space, its
        true edit, and the edited inversions.
    """
    generator = subject.generator
    w = generator.sample_w(COLUMNS, seed=UNSEEN_PAIRS, truncation_psi=PSI)
    truth_ws = generator.broadcast(w)
    face = subject.truth(truth_ws)
    variants = subject.variants(face)
    del variants["none"]  # the face itself
    edits = truth_edits(generator, subject.directions)
    names = list(edits)[:COLUMNS]

    def each(ws: Tensor) -> Tensor:
        return torch.cat([edits[name](ws[i : i + 1]) for i, name in enumerate(names)])

    rows = {"face": face}
    rows |= {space: render(unedited) for space, render in variants.items()}
    rows["true edit"] = subject.truth(each(truth_ws))
    rows |= {f"edited {space}": render(each) for space, render in variants.items()}
    pixels = torch.stack(list(rows.values()))  # [rows, faces, R, R, 3]
    grid = picture_grid(pixels).numpy()
    return _labelled(grid, list(rows), names)


def _labelled(grid: NDArray[np.uint8], rows: list[str], columns: list[str]) -> NDArray[np.uint8]:
    side = grid.shape[0] // len(rows)
    page = np.pad(grid, ((20, 0), (MARGIN, 0), (0, 0)), constant_values=PAPER)
    for i, name in enumerate(rows):
        _write(page, name, (4, 20 + side * i + side // 2))
    for i, name in enumerate(columns):
        _write(page, name, (MARGIN + side * i + 4, 14))
    return page


def _write(page: NDArray[np.uint8], text: str, where: tuple[int, int]) -> None:
    cv2.putText(page, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)


def save_grid(file: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a JPEG or PNG, as the file's name says."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    cv2.imwrite(str(file), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
