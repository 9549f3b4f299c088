"""Measure how well a contrastive pair tells which latent belongs to which picture."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from inversion.networks.contrastive import ContrastivePair
from inversion.networks.w_encoder import WEncoder
from inversion.optimise.latents import LatentSearch
from stylegan2 import Generator
from stylegan2.image import from_uint8, shrink
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.synthesis import draw_styles
from train.data.pairs import UNSEEN_PAIRS, PairRenderer, unseen_pairs
from train.evaluate.retrieval import rank, retrieval

PAIRS = 2000  # synthetic pairs, every one sought among all
PSI = (0.7, 1.0)  # of these pairs, drawn uniformly
FACES = 16  # real faces at most
STEPS = 60  # of the search for a face's w
CANDIDATES = 1000  # latents among which a face's w is sought
SEED = 2 * UNSEEN_PAIRS  # of pairs and candidates: neither training nor its validation draws these
BATCH = 64  # pictures embedded at once
CPU_DRAWN = 4  # pictures drawn at once on a CPU: 64 at once take twice as long each, they leave its caches
CPU_SOUGHT = 1  # faces sought at once there: 4 take a quarter longer each, and stop together


def report_contrastive(
    contrastive: ContrastivePair, generator: Generator, encoder: WEncoder, pixels: Tensor
) -> dict[str, Any]:
    """Retrieval among unseen synthetic pairs, and the rank of real faces' latents among random ones.

    Args:
        contrastive: Trained for `generator`, on its device.
        generator: Frozen.
        encoder: Where the search for a real face's w starts, on the same device.
        pixels: Held-out cropped faces [N, R, R, 3] uint8, R the generator's resolution; the first are used.

    Returns:
        {"pairs", "psi", "image_to_w": {"r1", "r5"}, "w_to_image": {"r1", "r5"}, "real": {"faces",
        "candidates", "mean_rank", "median_rank", "r1"}}, ready for JSON; recalls in [0, 1], rank 1 the best.
    """
    return {
        **_synthetic(contrastive, generator),
        "real": _real(contrastive, generator, encoder, pixels[:FACES]),
    }


@torch.no_grad()
def _synthetic(contrastive: ContrastivePair, generator: Generator) -> dict[str, Any]:
    w, pixels = unseen_pairs(PairRenderer(generator, PSI, SEED, _drawing(generator)), PAIRS, BATCH)
    found = retrieval(_image_embedding(contrastive, pixels), _latent_embedding(contrastive, w))
    return {"pairs": PAIRS, "psi": list(PSI), **found}


@torch.no_grad()
def _real(
    contrastive: ContrastivePair, generator: Generator, encoder: WEncoder, pixels: Tensor
) -> dict[str, Any]:
    size = CPU_SOUGHT if generator.w_avg.device.type == "cpu" else len(pixels)
    w = torch.cat([_search(generator, encoder, part) for part in torch.split(pixels, size)])
    others = _latent_embedding(contrastive, generator.sample_w(CANDIDATES - 1, seed=SEED))
    image_emb, latent_emb = _image_embedding(contrastive, pixels), _latent_embedding(contrastive, w)
    candidates = torch.cat([latent_emb[:, None], others.expand(len(w), -1, -1)], 1)  # [N, CANDIDATES, D]
    scores = (image_emb[:, None] * candidates).sum(2)  # summed alike for all, so that equal ones tie
    ranks = rank(scores, torch.zeros(len(w), dtype=torch.int64))
    return {
        "faces": len(pixels),
        "candidates": CANDIDATES,
        "mean_rank": round(ranks.mean(), 6),
        "median_rank": round(ranks.median(), 6),
        "r1": round(ranks.recall(1), 6),
    }


def _drawing(generator: Generator) -> Callable[[Tensor], Tensor]:
    """What draws w [N, w_dim] -> img [N, 3, R, R], in parts on a CPU."""
    synthesis = FoldedSynthesis(generator.synthesis)

    def draw(w: Tensor) -> Tensor:
        parts = torch.split(w, CPU_DRAWN if w.device.type == "cpu" else len(w))
        return torch.cat([draw_styles(synthesis, generator.broadcast(part)) for part in parts])

    return draw


def _search(generator: Generator, encoder: WEncoder, pixels: Tensor) -> Tensor:
    """The w [N, w_dim] whose pictures come closest to `pixels` [N, R, R, 3], found from the encoder's."""
    img = from_uint8(pixels).to(generator.w_avg.device)
    start = encoder(shrink(img, encoder.config.in_resolution))
    return LatentSearch(generator).w(img, start, STEPS).best


def _image_embedding(contrastive: ContrastivePair, pixels: Tensor) -> Tensor:
    device, side = contrastive.w_avg.device, contrastive.config.in_resolution
    parts = [shrink(from_uint8(part).to(device), side) for part in torch.split(pixels, BATCH)]
    return torch.cat([contrastive.image_embedding(img).cpu() for img in parts])


def _latent_embedding(contrastive: ContrastivePair, w: Tensor) -> Tensor:
    return contrastive.latent_embedding(w.to(contrastive.w_avg.device)).cpu()
