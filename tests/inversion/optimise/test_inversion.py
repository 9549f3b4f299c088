import copy
from dataclasses import replace
from itertools import groupby, pairwise

import cv2
import pytest
import torch

from inversion.chain.decoder import FeatureRenderer
from inversion.chain.inverter import Inverter
from inversion.optimise.inversion import optimise_inversion
from inversion.optimise.latents import LatentSearch, OptimiseConfig
from inversion.optimise.search import SearchConfig, search
from inversion.published import PublishedInverter, load_published
from stylegan2.errors import ConfigError, ShapeError
from stylegan2.image import from_uint8, to_uint8
from tests.helpers import published_files as files
from tests.helpers.refiners import tiny_refiners

KINDS = ("no encoder", "encoder", "refiners", "clcae", "psp", "e4e")
STEPS = 12


class Subject:
    """An inverter, and what its answers draw."""

    def __init__(self, inverter, generator, features=None):
        self.inverter, self.generator, self.features = inverter, generator, features

    def drawn(self, inversion):
        """Pixels in every space that the inversion has."""
        spaces = {"w+": inversion.ws}
        if inversion.has_w:
            spaces["w"] = self.generator.broadcast(inversion.w)
        found = {name: to_uint8(self.generator.synthesis(ws)) for name, ws in spaces.items()}
        if inversion.f is not None:
            found["f"] = self.features.render(inversion.f.ws, inversion.f)
        return found

    def psnr(self, inversion, pixels):
        drawn = self.drawn(inversion).items()
        return {name: cv2.PSNR(pixels[0].numpy(), img[0].numpy()) for name, img in drawn}


@pytest.fixture
def open_subject(tiny_generator, tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("CLCAE_CACHE_DIR", str(tmp_path / "cache"))

    def open_kind(kind):
        if kind in ("clcae", "psp", "e4e"):
            generator = files.toy_generator()
            encoder = files.filled(files.toy_shapes(kind))
            torch.save(files.tree(kind, encoder, generator), tmp_path / f"{kind}.pt")
            model = load_published(tmp_path / f"{kind}.pt", generator)
            features = FeatureRenderer(generator, model, engine="torch") if kind == "clcae" else None
            inverter = PublishedInverter(model, generator, features=features, engine="torch")
            return Subject(inverter, generator, features)
        refiners = tiny_refiners(tiny_encoder) if kind == "refiners" else None
        features = FeatureRenderer(tiny_generator, refiners, engine="torch") if refiners else None
        encoder = None if kind == "no encoder" else tiny_encoder
        inverter = Inverter(tiny_generator, encoder, refiners=refiners, engine="torch")
        return Subject(inverter, tiny_generator, features)

    return open_kind


@pytest.fixture
def pixels(tiny_generator):
    return to_uint8(tiny_generator.synthesis(tiny_generator.broadcast(tiny_generator.sample_w(1, seed=5))))


@pytest.mark.parametrize("kind", KINDS)
def test_no_space_ever_falls_below_its_start(open_subject, kind):
    """Stopped at any step, run to the end, or run twice: of every inverter."""
    subject = open_subject(kind)
    w = subject.generator.sample_w(1, seed=5)
    pixels = to_uint8(subject.generator.synthesis(subject.generator.broadcast(w)))
    start = subject.inverter.invert(pixels)
    told = []
    whole = subject.inverter.optimise(pixels, start, STEPS, progress=lambda news: told.append(news) or True)
    spaces = ["f", "w", "w+"] if start.f is not None else ["w", "w+"]
    assert [space for space, _ in groupby(told, key=lambda news: news.space)] == spaces
    assert whole.steps == len(told)
    results = {"whole": whole, "twice": subject.inverter.optimise(pixels, whole, 3)}
    for last in (1, 3, STEPS + 1, STEPS + 5, *((2 * STEPS + 3,) if start.f is not None else ())):
        count = iter(range(last - 1))
        stopped = subject.inverter.optimise(
            pixels, start, STEPS, progress=lambda news, count=count: next(count, None) is not None
        )
        assert stopped.stopped
        assert stopped.steps == last
        results[f"stopped at {last}"] = stopped
    before = subject.psnr(start, pixels)
    for name, found in results.items():
        after = subject.psnr(found, pixels)
        assert all(after[space] >= before[space] for space in before), (name, before, after)
    after = subject.psnr(whole, pixels)
    assert all(after[space] > before[space] for space in before), (before, after)
    again = subject.psnr(results["twice"], pixels)
    assert all(again[space] >= after[space] for space in after), (after, again)
    assert whole.has_w
    assert not whole.stopped


def test_what_is_stopped_at_once_is_what_it_was(open_subject, pixels):
    subject = open_subject("refiners")
    start = subject.inverter.invert(pixels)
    found = subject.inverter.optimise(pixels, start, 5, progress=lambda news: False)
    assert found.f is start.f  # with the picture that came with it
    assert torch.equal(found.w, start.w)
    assert torch.equal(found.ws, start.ws)


def test_steps_are_told_and_counted_by_space(open_subject, pixels):
    subject, told = open_subject("refiners"), []
    start = subject.inverter.invert(pixels)
    found = subject.inverter.optimise(pixels, start, 8, progress=lambda news: told.append(news) or True)
    for _, group in groupby(told, key=lambda news: news.space):
        news = list(group)
        assert [each.step for each in news] == list(range(1, 9))
        assert {each.steps for each in news} == {8}
        assert all(a.psnr <= b.psnr + 1 for a, b in pairwise(news))
    assert found.steps == 24


def test_f_is_refined_on_the_styles_that_it_has(open_subject, pixels):
    subject = open_subject("refiners")
    start = subject.inverter.invert(pixels)
    found = subject.inverter.optimise(pixels, start, 20)
    assert torch.equal(found.f.ws, start.f.ws)
    assert torch.equal(found.f.a, start.f.a)
    assert found.drawn is None  # those of the code before
    before, after = (subject.psnr(each, pixels)["f"] for each in (start, found))
    assert after > before + 1


def test_an_invented_face_gets_its_f(open_subject, tiny_generator):
    subject = open_subject("refiners")
    ws = tiny_generator.broadcast(tiny_generator.sample_w(1, seed=5)).contiguous()
    pixels = to_uint8(tiny_generator.synthesis(ws))
    perfect = replace(subject.inverter.invert(pixels), w=ws[:, 0], ws=ws, f=None)
    found = subject.inverter.optimise(pixels, perfect, 2)
    assert torch.equal(found.ws, ws)
    assert torch.equal(found.f.ws, ws)


def test_w_that_was_not_found_is_not_offered(open_subject):
    subject = open_subject("e4e")
    pixels = to_uint8(subject.generator.synthesis(subject.generator.broadcast(subject.generator.w_avg[None])))
    start = subject.inverter.invert(pixels)
    assert not start.has_w
    assert not subject.inverter.optimise(pixels, start, 5, progress=lambda news: False).has_w


def test_pixels_of_another_size_are_refused(open_subject, pixels):
    subject = open_subject("refiners")
    start = subject.inverter.invert(pixels)
    with pytest.raises(ShapeError, match="target: expected"):
        optimise_inversion(subject.generator, torch.zeros(1, 3, 16, 16), start, 2)


def test_w_plus_starts_without_fitted_colours_and_ends_with_them(open_subject, pixels):
    subject = open_subject("refiners")
    start = subject.inverter.invert(pixels)
    assert torch.equal(start.plain_ws, start.f.ws)
    found = subject.inverter.optimise(pixels, start, 20)
    assert not torch.equal(found.plain_ws, start.plain_ws)
    moved = (found.ws - found.plain_ws).abs().amax((0, 2)).gt(1e-6).tolist()
    assert moved == 5 * [False] + [True, False, True]


def test_w_plus_goes_on_from_the_better_of_its_own_and_w(open_subject, tiny_generator, pixels):
    subject = open_subject("encoder")
    w = tiny_generator.sample_w(1, seed=5)
    start = replace(subject.inverter.invert(pixels), ws=tiny_generator.broadcast(w + 3), w=w)
    found = subject.inverter.optimise(pixels, start, 2)
    assert torch.equal(found.ws, tiny_generator.broadcast(w))


@pytest.mark.parametrize("steps", [0, -1, 2001])
def test_impossible_step_counts_are_refused(open_subject, pixels, steps):
    inverter = open_subject("encoder").inverter
    with pytest.raises(ConfigError, match=f"steps: {steps}; must be from 1 to 2000"):
        inverter.optimise(pixels, inverter.invert(pixels), steps)


def test_latents_of_other_shapes_are_refused(tiny_generator):
    search, img, w = LatentSearch(tiny_generator), torch.zeros(2, 3, 32, 32), torch.zeros(2, 32)
    with pytest.raises(ShapeError, match="target: expected"):
        search.w(img[:, :, :16], w, 1)
    with pytest.raises(ShapeError, match="w: expected"):
        search.w(img, w[:1], 1)
    with pytest.raises(ShapeError, match="ws: expected"):
        search.ws(img, w[:, None].expand(-1, 7, -1), w, 1)
    with pytest.raises(ShapeError, match="w: expected"):
        search.ws(img, w[:, None].expand(-1, 8, -1), w[:1], 1)


def test_a_search_stops_where_nothing_improves(tiny_generator):
    w = tiny_generator.sample_w(1, seed=5)
    target = tiny_generator.synthesis(tiny_generator.broadcast(w))
    config = OptimiseConfig(w=SearchConfig(lr=0.06, patience=2))
    found = LatentSearch(tiny_generator, config).w(target, w, 60)
    assert found.steps < 20
    assert torch.equal(found.best, w)


def test_small_steady_gains_keep_a_search_going():
    """0.19 % a step is less than what counts, yet four times as much within its patience."""
    start = torch.full((1, 3, 4, 4), 0.5)
    small = SearchConfig(lr=0.5 * 0.0019 / 2, patience=25, min_gain=0.002)
    found = search(start, lambda x: x, torch.zeros_like(start), space="w", steps=60, config=small)
    assert found.steps == 60
    idle = replace(small, lr=small.lr / 1000)
    assert search(start, lambda x: x, torch.zeros_like(start), space="w", steps=60, config=idle).steps == 26


def test_a_search_that_only_loses_returns_its_start(tiny_generator, pixels):
    w, target = tiny_generator.sample_w(1, seed=9), from_uint8(pixels)
    wild = OptimiseConfig(w=SearchConfig(lr=100.0), ws=SearchConfig(lr=100.0))
    search = LatentSearch(tiny_generator, wild)
    ws = tiny_generator.broadcast(w)
    assert torch.equal(search.w(target, w, 3).best, w)
    assert torch.equal(search.ws(target, ws, w, 3).best, ws)


def test_pictures_that_are_refined_together_end_as_each_would_alone(tiny_generator, pixels):
    generator = copy.deepcopy(tiny_generator).double()  # so that only a real difference shows
    found = generator.sample_w(1, seed=5)  # drawn already: stops at once, while the other goes on
    target = torch.cat([generator.synthesis(generator.broadcast(found)), from_uint8(pixels).double()])
    start = torch.cat([found, generator.sample_w(1, seed=9)])
    quick = SearchConfig(lr=0.06, patience=2)
    search = LatentSearch(generator, OptimiseConfig(w=quick, ws=quick))
    of_w = search.w(target, start, 12)
    of_ws = search.ws(target, generator.broadcast(start), start, 12)
    for i in range(2):
        one, w = target[i : i + 1], start[i : i + 1]
        alone = search.w(one, w, 12)
        torch.testing.assert_close(of_w.best[i], alone.best[0])
        assert alone.steps < 12 if i == 0 else alone.steps == of_w.steps == 12
        torch.testing.assert_close(of_ws.best[i], search.ws(one, generator.broadcast(w), w, 12).best[0])


def test_the_generator_learns_nothing_from_a_refinement(tiny_generator, pixels):
    before = {name: value.clone() for name, value in tiny_generator.state_dict().items()}
    LatentSearch(tiny_generator).w(from_uint8(pixels), tiny_generator.sample_w(1, seed=1), 3)
    assert all(torch.equal(value, before[name]) for name, value in tiny_generator.state_dict().items())
    assert all(parameter.grad is None for parameter in tiny_generator.parameters())
