import numpy as np
import pytest
import torch

from stylegan2 import Generator, GeneratorConfig
from stylegan2.errors import ConfigError
from stylegan2.image import to_uint8
from train.core.config import PairsConfig
from train.core.seeds import positioned_generator
from train.data.pairs import FreshPairs, PairPool, PairRenderer, open_pairs, sample_w


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    channels = {4: 16, 8: 16, 16: 8, 32: 8}
    config = GeneratorConfig(img_resolution=32, z_dim=16, w_dim=16, mapping_layers=2, channels=channels)
    built = Generator(config).eval().requires_grad_(False)
    built.mapping.w_avg.copy_(torch.randn(16))
    return built


def quiet(done, total):
    pass


def opened(generator, seed=0, **settings):
    values = {"pool": 16, "block": 4, "refresh": 0.5, **settings}
    source = open_pairs(generator, PairsConfig(**values), seed=seed, fingerprint="a")
    source.prepare(quiet)
    return source


def draw(source, steps, start=0, count=4):
    return [source.sample(count, positioned_generator(9, step)) for step in range(start, start + steps)]


def same(a, b):
    return all(torch.equal(p.w, q.w) and torch.equal(p.img, q.img) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("pool", [0, 16])
def test_pairs_are_latents_with_their_pictures(generator, pool):
    pairs = opened(generator, pool=pool).sample(3, positioned_generator(0, 0))
    assert (pairs.w.shape, pairs.img.shape) == ((3, 16), (3, 3, 32, 32))
    rendered = generator.synthesis(generator.broadcast(pairs.w))
    assert (to_uint8(rendered).int() - to_uint8(pairs.img).int()).abs().max() <= 1


def test_a_block_is_a_pure_function_of_seed_and_number(generator):
    renderer = PairRenderer(generator, (0.7, 1.0), 5)
    (w, pixels), (again, _) = renderer.render(3, 4), renderer.render(3, 4)
    assert torch.equal(w, again)
    assert pixels.dtype == torch.uint8
    assert not torch.equal(w, renderer.render(4, 4)[0])
    assert not torch.equal(w, PairRenderer(generator, (0.7, 1.0), 6).render(3, 4)[0])


def test_truncation_scales_the_distance_from_the_mean(generator):
    offsets = [
        sample_w(generator, 500, psi, positioned_generator(0, 0)) - generator.w_avg
        for psi in ((1.0, 1.0), (0.5, 0.5), (0.7, 1.0))
    ]
    assert torch.allclose(offsets[1], offsets[0] * 0.5, atol=1e-5)
    shares = offsets[2].norm(dim=1) / offsets[0].norm(dim=1)
    assert shares.min() >= 0.7 - 1e-4
    assert shares.max() <= 1 + 1e-4
    assert shares.std() > 0.05


def test_without_a_pool_every_batch_is_new_and_resumes(generator):
    whole, resumed = opened(generator, pool=0), opened(generator, pool=0)
    expected = draw(whole, 5)
    assert isinstance(whole, FreshPairs)
    assert not torch.equal(expected[0].w, expected[1].w)
    resumed.load_state_dict({"count": 3})
    assert same(expected[3:], draw(resumed, 2))


def test_the_pool_is_reused_and_slowly_renewed(generator):
    still, moving = opened(generator, refresh=0.0), opened(generator, refresh=0.5)
    before = {tuple(row) for row in still._w.tolist()}
    draw(still, 8)
    draw(moving, 8)  # 32 pairs at a half: 16 new ones, the whole window
    assert {tuple(row) for row in still._w.tolist()} == before
    assert not {tuple(row) for row in moving._w.tolist()} & before


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("taken", [1, 6, 13])
def test_a_resumed_pool_goes_on_with_the_same_pairs(generator, tmp_path, on_disk, taken):
    expected = draw(opened(generator), taken + 6)
    cache = {"cache": tmp_path / "pool"} if on_disk else {}
    broken = opened(generator, **cache)
    draw(broken, taken)
    state = broken.state_dict()
    draw(broken, 5, taken)  # what a killed process still did after its last checkpoint
    resumed = open_pairs(
        generator, PairsConfig(pool=16, block=4, refresh=0.5, **cache), seed=0, fingerprint="a"
    )
    resumed.load_state_dict(state)
    resumed.prepare(quiet)
    assert same(expected[taken:], draw(resumed, 6, taken))


def test_a_filled_folder_is_not_rendered_again(generator, tmp_path):
    opened(generator, cache=tmp_path / "pool")
    calls = []
    again = open_pairs(
        generator, PairsConfig(pool=16, block=4, cache=tmp_path / "pool"), seed=0, fingerprint="a"
    )
    again.prepare(lambda done, total: calls.append((done, total)))
    assert calls == [(16, 16)]


def test_an_interrupted_filling_goes_on(generator, tmp_path):
    class Stop(Exception):
        pass

    def stop_half_way(done, total):
        if done >= 8:
            raise Stop

    config = PairsConfig(pool=16, block=4, cache=tmp_path / "pool")
    with pytest.raises(Stop):
        open_pairs(generator, config, seed=0, fingerprint="a").prepare(stop_half_way)
    seen = []
    source = open_pairs(generator, config, seed=0, fingerprint="a")
    source.prepare(lambda done, total: seen.append(done))
    assert seen == [8, 12, 16]
    assert same(draw(source, 2), draw(opened(generator, refresh=0.1), 2))


def test_a_folder_of_another_generator_or_settings_is_refused(generator, tmp_path):
    cache = tmp_path / "pool"
    opened(generator, cache=cache)
    renderer = PairRenderer(generator, (0.7, 1.0), 0)
    with pytest.raises(ConfigError, match="of another generator"):
        PairPool(renderer, PairsConfig(pool=16, block=4, cache=cache), "b")
    with pytest.raises(ConfigError, match="of another pool"):
        PairPool(renderer, PairsConfig(pool=20, block=4, cache=cache), "a")
    with pytest.raises(ConfigError, match="of another seed"):
        opened(generator, seed=1, cache=cache)


def test_damaged_pool_files_are_refused(generator, tmp_path):
    cache = tmp_path / "pool"
    opened(generator, cache=cache)
    (cache / "w.npy").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"w\.npy is damaged"):
        opened(generator, cache=cache)
    np.save(cache / "w.npy", np.zeros((2, 2), np.float32))
    with pytest.raises(ConfigError, match=r"w\.npy is float32 \(2, 2\), not \(16, 16\)"):
        opened(generator, cache=cache)
