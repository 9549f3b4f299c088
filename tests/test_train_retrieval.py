import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from stylegan2.errors import ShapeError
from tests.process_group import contrastive_pairs, gathered_loss
from train.losses import info_nce
from train.retrieval import rank, retrieval


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


def test_perfect_constant_and_reversed_embeddings_are_measured_as_such():
    a, _ = embeddings(8)
    assert retrieval(a, a) == {way: {"r1": 1.0, "r5": 1.0} for way in ("image_to_w", "w_to_image")}
    constant = torch.ones(8, 4) / 2
    assert retrieval(constant, constant)["image_to_w"] == {"r1": 1 / 8, "r5": 5 / 8}
    assert retrieval(a, -a)["w_to_image"] == {"r1": 0.0, "r5": 0.0}


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
