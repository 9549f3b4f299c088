import itertools
import json
import math

import pytest
import torch
import torch.nn.functional as F

from inversion.networks.checkpoint import (
    load_contrastive_pair,
    load_encoder,
    save_contrastive_pair,
    save_encoder,
)
from inversion.networks.config import ContrastivePairConfig, EncoderConfig
from inversion.networks.contrastive import ContrastivePair
from inversion.networks.w_encoder import WEncoder
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import ShapeError
from stylegan2.image import to_uint8
from tests.helpers.pictures import write_shard
from tests.helpers.process_group import contrastive_pairs, gathered_loss
from tests.helpers.training import tiny_generator, write_bundle
from train.__main__ import main
from train.assemble import frame_network
from train.evaluate import contrastive_report
from train.evaluate.retrieval import rank, retrieval
from train.losses.terms import info_nce

ARCHITECTURE = {
    "in_resolution": 32,
    "channels": (8, 8, 8, 8, 8),
    "depths": (1, 1, 1, 1),
    "latent_hidden": 8,
    "latent_blocks": 1,
    "embedding_dim": 8,
}


def embeddings(n=6, width=4):
    rng = torch.Generator().manual_seed(0)
    return F.normalize(torch.randn(2, n, width, generator=rng, dtype=torch.float64), dim=2)


def scale(value=3.0):
    return torch.tensor(value, dtype=torch.float64)


def test_info_nce_equals_the_formula_spelled_out():
    a, b = embeddings()
    total = 0.0
    for i in range(6):
        to_w = [math.exp(3 * sum(p * q for p, q in zip(a[i], b[k], strict=True))) for k in range(6)]
        to_image = [math.exp(3 * sum(p * q for p, q in zip(a[k], b[i], strict=True))) for k in range(6)]
        total += -0.3 * math.log(to_w[i] / sum(to_w)) - 0.7 * math.log(to_image[i] / sum(to_image))
    assert info_nce(a, b, scale(), 0.3).item() == pytest.approx(total / 6)


def test_the_weight_counts_pictures_by_default_as_much_as_latents():
    a, b = embeddings()
    ways = [info_nce(a, b, scale(), weight).item() for weight in (0.0, 1.0)]
    assert ways[0] != ways[1]
    assert info_nce(a, b, scale()).item() == pytest.approx(sum(ways) / 2)


def test_identical_pairs_at_a_large_scale_leave_no_loss():
    a, _ = embeddings()
    assert info_nce(a, a, scale(1000.0)).item() == pytest.approx(0, abs=1e-6)


def test_embeddings_that_say_nothing_cost_the_logarithm_of_their_number():
    a, _ = embeddings()
    same = a[:1].expand(6, -1)
    assert info_nce(same, same, scale()).item() == pytest.approx(math.log(6))
    assert info_nce(a[:1], a[:1], scale()).item() == 0


def test_info_nce_does_not_care_which_side_is_which():
    a, b = embeddings()
    assert info_nce(a, b, scale()).item() == pytest.approx(info_nce(b, a, scale()).item())
    assert info_nce(a, b, scale(), 0.2).item() == pytest.approx(info_nce(b, a, scale(), 0.8).item())


def test_the_order_of_the_pairs_does_not_matter():
    a, b = embeddings()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert info_nce(a[order], b[order], scale()).item() == pytest.approx(info_nce(a, b, scale()).item())
    assert info_nce(a[order], b, scale()).item() != pytest.approx(info_nce(a, b, scale()).item())


def test_gradients_of_info_nce_are_right():
    a, b = (each.requires_grad_() for each in embeddings(4, 3).unbind())
    assert torch.autograd.gradcheck(info_nce, (a, b, scale().requires_grad_(), 0.3))


def test_pairs_of_all_processes_are_contrasted(tmp_path):
    context = torch.multiprocessing.spawn(gathered_loss, (2, str(tmp_path)), nprocs=2, join=False)
    expected = contrastive_pairs()
    loss = info_nce(*expected, 0.3)
    loss.backward()
    while not context.join(timeout=60):
        pass
    found = [torch.load(tmp_path / f"{number}.pt", weights_only=True) for number in range(2)]
    for values in found:
        torch.testing.assert_close(values[0], loss.detach())
    assert not torch.isclose(info_nce(*(each[:2] for each in expected[:2]), expected[2], 0.3), loss)
    # As DistributedDataParallel averages them.
    for part, whole in enumerate(expected, start=1):
        torch.testing.assert_close((found[0][part] + found[1][part]) / 2, whole.grad)


def test_ranks_equal_a_slow_sort():
    rng = torch.Generator().manual_seed(1)
    scores, target = torch.randn(7, 9, generator=rng), torch.randint(9, (7,), generator=rng)
    places = [
        sorted(range(9), key=lambda k, row=row: -scores[row, k]).index(target[row]) + 1 for row in range(7)
    ]
    found = rank(scores, target)
    assert found.mean() == pytest.approx(sum(places) / 7)
    for k in (1, 2, 5, 9):
        assert found.recall(k) == pytest.approx(sum(place <= k for place in places) / 7)


def test_tied_candidates_count_as_their_mean_over_all_orders():
    scores = torch.tensor([[2.0, 1.0, 1.0, 1.0, 0.0]])
    tied = [1, 2, 3]
    places = [(0, *order, 4).index(1) + 1 for order in itertools.permutations(tied)]
    found = rank(scores, torch.tensor([1]))
    assert found.mean() == pytest.approx(sum(places) / len(places))
    for k in range(1, 6):
        assert found.recall(k) == pytest.approx(sum(place <= k for place in places) / len(places))


def test_the_median_rank_does_not_follow_an_outlier():
    scores = torch.tensor([[9.0, 1, 2, 3], [9.0, 1, 2, 3], [2.0, 2, 1, 1], [0.0, 1, 2, 3]])
    found = rank(scores, torch.zeros(4, dtype=torch.int64))  # ranks 1, 1, 1.5 (tied), 4
    assert found.median() == pytest.approx(1.25)
    assert found.mean() == pytest.approx(1.875)


def test_perfect_constant_and_reversed_embeddings_are_measured_as_such():
    a, _ = embeddings(8)
    assert retrieval(a, a) == {way: {"r1": 1.0, "r5": 1.0} for way in ("image_to_w", "w_to_image")}
    constant = torch.ones(8, 4) / 2
    assert retrieval(constant, constant)["image_to_w"] == {"r1": 1 / 8, "r5": 5 / 8}
    assert retrieval(a, -a)["w_to_image"] == {"r1": 0.0, "r5": 0.0}


def test_embeddings_that_are_no_numbers_find_nothing():
    broken = torch.full((8, 4), float("nan"))
    assert retrieval(broken, broken)["image_to_w"] == {"r1": 0.0, "r5": 0.0}
    assert rank(broken @ broken.T, torch.arange(8)).mean() == 8


def test_retrieval_equals_a_slow_loop_both_ways():
    a, b = embeddings(20)
    for name, (queries, candidates) in {"image_to_w": (a, b), "w_to_image": (b, a)}.items():
        hits = {1: 0, 5: 0}
        for i in range(20):
            scores = [float(queries[i] @ candidates[k]) for k in range(20)]
            place = sum(score > scores[i] for score in scores) + 1
            hits = {k: count + (place <= k) for k, count in hits.items()}
        assert retrieval(a, b)[name] == pytest.approx({f"r{k}": count / 20 for k, count in hits.items()})


@pytest.mark.parametrize(
    "call",
    [
        lambda: info_nce(torch.zeros(2, 3), torch.zeros(3, 3), torch.ones([])),
        lambda: info_nce(torch.zeros(2, 3), torch.zeros(2, 4), torch.ones([])),
        lambda: info_nce(torch.zeros(3), torch.zeros(3), torch.ones([])),
        lambda: info_nce(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(1)),
        lambda: retrieval(torch.zeros(2, 3), torch.zeros(3, 3)),
        lambda: rank(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64)),
        lambda: rank(torch.zeros(2), torch.zeros(2, dtype=torch.int64)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call):
    with pytest.raises(ShapeError):
        call()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A bundle with an untrained contrastive pair, and six faces that its generator can make."""
    folder = tmp_path_factory.mktemp("model")
    generator = tiny_generator()
    encoder = WEncoder(
        EncoderConfig(in_resolution=32, w_dim=16, channels=(8,) * 5, depths=(1,) * 4, hidden=8)
    )
    contrastive = ContrastivePair(ContrastivePairConfig(**ARCHITECTURE, w_dim=16))
    for network in (encoder, contrastive):
        frame_network(network, generator, (0.7, 1.0), 0)
    save_encoder(encoder.eval(), folder / "encoder.safetensors")
    save_contrastive_pair(contrastive.eval(), folder / "contrastive.safetensors")
    write_bundle(
        folder, generator=generator, encoder="encoder.safetensors", contrastive="contrastive.safetensors"
    )
    w = generator.sample_w(6, seed=4)
    write_shard(folder / "faces.tar", to_uint8(generator.synthesis(generator.broadcast(w))).numpy())
    return folder


@pytest.fixture
def few(monkeypatch):
    """Few pairs and candidates: the numbers say nothing, but come quickly."""
    for name, value in {"PAIRS": 40, "CANDIDATES": 20, "STEPS": 3, "FACES": 4}.items():
        monkeypatch.setattr(contrastive_report, name, value)


def evaluated(capsys, model, *arguments):
    data = ("--data", model / "faces.tar", "--metrics-dir", model)
    assert main(["evaluate", "--json", *map(str, (*data, "--bundle", model, *arguments))]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_bundle_may_name_a_contrastive_pair(model, tmp_path):
    assert load_bundle(model).contrastive_path == model / "contrastive.safetensors"
    assert load_bundle(model).contrastive_sha256 == file_sha256(model / "contrastive.safetensors")
    write_bundle(tmp_path, generator=tiny_generator())
    assert load_bundle(tmp_path).contrastive_path is None


def test_evaluation_reports_the_bundles_contrastive_pair(model, few, capsys):
    found = evaluated(capsys, model)["retrieval"]
    assert set(found) == {"pairs", "psi", "image_to_w", "w_to_image", "real"}
    assert (found["pairs"], found["psi"]) == (40, [0.7, 1.0])
    assert set(found["image_to_w"]) == set(found["w_to_image"]) == {"r1", "r5"}
    assert set(found["real"]) == {"faces", "candidates", "mean_rank", "median_rank", "r1"}
    assert (found["real"]["faces"], found["real"]["candidates"]) == (4, 20)
    assert 1 <= found["real"]["mean_rank"] <= 20
    assert 1 <= found["real"]["median_rank"] <= 20
    assert evaluated(capsys, model, "--limit", 2)["retrieval"]["real"]["faces"] == 2


def test_without_a_contrastive_pair_nothing_is_said_of_alignment(model, few, tmp_path, capsys):
    save_encoder(load_encoder(model / "encoder.safetensors"), tmp_path / "encoder.safetensors")
    write_bundle(tmp_path, generator=tiny_generator(), encoder="encoder.safetensors")
    arguments = ("--data", str(model / "faces.tar"), "--bundle", str(tmp_path), "--metrics-dir", str(model))
    assert main(["evaluate", *arguments, "--json"]) == 0
    assert "retrieval" not in json.loads(capsys.readouterr().out.splitlines()[-1])
    assert main(["evaluate", *arguments, "--contrastive", str(model / "contrastive.safetensors")]) == 0
    assert "image_to_w" in capsys.readouterr().out


def test_a_contrastive_pair_that_does_not_fit_is_refused(model, tmp_path, capsys):
    arguments = ["evaluate", "--data", str(model / "faces.tar"), "--bundle", str(model), "--contrastive"]
    assert main([*arguments, str(tmp_path / "none.safetensors")]) == 2
    assert "no such file; expected a contrastive pair" in capsys.readouterr().err
    contrastive = load_contrastive_pair(model / "contrastive.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    save_contrastive_pair(contrastive, foreign, {"training": json.dumps({"generator_sha256": "0"})})
    assert main([*arguments, str(foreign)]) == 2
    assert "trained for another generator" in capsys.readouterr().err


class _Oracle(torch.nn.Module):
    """Knows the mean colour of a picture, and of the picture of a latent."""

    def __init__(self, generator):
        super().__init__()
        self.generator, self.w_avg = generator, generator.w_avg
        self.config = ContrastivePairConfig(**ARCHITECTURE, w_dim=16)

    def image_embedding(self, img):
        small = F.avg_pool2d(img, 8).flatten(1)
        return F.normalize(torch.cat([small, (1 - small.square().mean(1, keepdim=True)) * 7], 1))

    def latent_embedding(self, w):
        return self.image_embedding(self.generator.synthesis(self.generator.broadcast(w)))


def test_a_contrastive_pair_that_knows_better_is_ranked_better(model, few, monkeypatch):
    generator = tiny_generator()
    encoder = load_encoder(model / "encoder.safetensors")
    pixels = to_uint8(generator.synthesis(generator.broadcast(generator.sample_w(4, seed=4))))
    monkeypatch.setattr(contrastive_report, "STEPS", 60)  # enough to find these faces
    oracle = contrastive_report.report_contrastive(_Oracle(generator), generator, encoder, pixels)
    untrained = load_contrastive_pair(model / "contrastive.safetensors")
    chance = contrastive_report.report_contrastive(untrained, generator, encoder, pixels)
    assert oracle["image_to_w"]["r1"] > 0.9
    assert chance["image_to_w"]["r1"] < 0.3
    assert oracle["real"]["mean_rank"] < 2
    assert chance["real"]["mean_rank"] > 3
