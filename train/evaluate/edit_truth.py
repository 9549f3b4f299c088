"""Edit truth: edited inversions of generated faces, whose true edit G(w + d) is known."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from inversion.chain.decoder import Edit
from inversion.directions.bank import DirectionBank
from inversion.directions.components import principal_components
from inversion.directions.linear import apply_direction
from stylegan2 import Generator
from stylegan2.image import from_uint8, psnr
from train.data.pairs import UNSEEN_PAIRS
from train.evaluate.measure import number
from train.evaluate.metrics import median
from train.evaluate.subject import Subject
from train.losses.identity import IdentityEmbedder
from train.refiners.edits import component_rng

FACES = 200
BATCH = 8  # faces at once
PSI = 0.8  # truncation of the generated faces
STRENGTH = 1.5  # standard deviations
COMPONENTS = 4  # principal ones, beside the model's directions


def truth_edits(generator: Generator, directions: DirectionBank) -> dict[str, Edit]:
    """Every edit that is measured, by name: both signs of each direction and of the principal components."""
    found = principal_components(generator, COMPONENTS, component_rng())
    edits: dict[str, Edit] = {}
    for sign, strength in (("+", STRENGTH), ("-", -STRENGTH)):
        for name, direction in directions.items():
            wide = direction.reaching(STRENGTH)  # a slider may stop earlier
            edits[f"{name}{sign}"] = partial(
                apply_direction, direction=wide, strength=strength * wide.unit_size
            )
        for i in range(COMPONENTS):
            offset = strength * found.sigma[i] * found.directions[i]
            edits[f"component{i}{sign}"] = partial(_moved, offset=offset)
    return edits


def _moved(ws: Tensor, offset: Tensor) -> Tensor:
    return ws + offset.to(ws)


@torch.no_grad()
def measure_edits(
    subject: Subject,
    identity: IdentityEmbedder | None,
    *,
    faces: int = FACES,
    count: Callable[[int], object] = lambda done: None,
) -> dict[str, Any]:
    """Invert generated faces, edit the inversions, and compare them with the edited faces themselves.

    Args:
        subject: Its generator makes the faces and the truth.
        identity: Measures identity; None leaves it out.
        faces: How many, each under every edit.
        count: Receives the number of faces done since its last call.

    Returns:
        Per variant ("none": the picture unedited; "w", "w+", "f") median and mean of PSNR in dB and identity
        cosine over all faces and edits, and the median PSNR of each edit; beside them what was measured.
    """
    generator, edits = subject.generator, truth_edits(subject.generator, subject.directions)
    values: dict[str, dict[str, list[Tensor]]] = {}
    found: dict[str, list[Tensor]] = {}
    w = generator.sample_w(faces, seed=UNSEEN_PAIRS, truncation_psi=PSI)
    for part in torch.split(w, BATCH):
        truth_ws = generator.broadcast(part)
        variants = subject.variants(subject.truth(truth_ws))
        for name, edit in edits.items():
            truth = subject.truth(edit(truth_ws))
            who = None if identity is None else identity(from_uint8(truth).to(w.device))
            for variant, render in variants.items():
                pixels = render(edit)
                values.setdefault(variant, {}).setdefault(name, []).append(psnr(pixels, truth))
                if identity is not None:
                    cosine = (identity(from_uint8(pixels).to(w.device)) * who).sum(1)
                    found.setdefault(variant, []).append(cosine.cpu())
        count(len(part))
    protocol = {"faces": faces, "psi": PSI, "strength": STRENGTH, "edits": list(edits), "noise_mode": "const"}
    return {"protocol": protocol, **{v: _summary(values[v], found.get(v)) for v in values}}


def _summary(by_edit: dict[str, list[Tensor]], identity: list[Tensor] | None) -> dict[str, Any]:
    each = {name: torch.cat(parts) for name, parts in by_edit.items()}
    every = torch.cat(list(each.values()))
    cosine = torch.cat(identity).double() if identity else None
    return {
        "psnr_median": number(median(every)),
        "psnr_mean": number(every.mean()),
        "identity_median": "n/a" if cosine is None else number(median(cosine)),
        "identity_mean": "n/a" if cosine is None else number(cosine.mean()),
        "psnr_median_by_edit": {name: number(median(part)) for name, part in each.items()},
    }
