import math

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from inversion.networks.checkpoint import load_contrastive_pair, load_encoder, save_contrastive_pair
from inversion.networks.config import ContrastivePairConfig
from inversion.networks.contrastive import ContrastivePair, ProjectionHead
from stylegan2.errors import CheckpointError, ConfigError, ShapeError

TINY = ContrastivePairConfig(
    in_resolution=32,
    w_dim=16,
    channels=(8, 8, 8, 16, 16),
    depths=(1, 1, 1, 1),
    latent_hidden=24,
    latent_blocks=2,
    embedding_dim=12,
)


@pytest.fixture
def contrastive():
    built = ContrastivePair(TINY)
    built.w_avg.copy_(torch.randn(16))
    built.w_std.fill_(0.3)
    built.img_avg.copy_(torch.rand(3, 32, 32) - 0.5)
    with torch.no_grad():  # running statistics that matter
        for _ in range(3):
            built.train()(torch.randn(8, 3, 32, 32), built.w_avg + 0.3 * torch.randn(8, 16))
    return built.eval()


def examples(contrastive, n):
    return torch.rand(n, 3, 32, 32) * 2 - 1, contrastive.w_avg + 0.3 * torch.randn(n, 16)


@pytest.mark.parametrize("batch", [1, 3])
def test_pictures_and_latents_become_unit_vectors(contrastive, batch):
    found = contrastive(*examples(contrastive, batch))
    for embedding in (found.image_emb, found.latent_emb):
        assert (embedding.shape, embedding.dtype) == ((batch, 12), torch.float32)
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(batch))
    assert found.logit_scale.shape == ()


def test_embeddings_are_float32_whatever_the_layers_compute_in(contrastive):
    with torch.autocast("cpu", torch.bfloat16):
        found = contrastive(*examples(contrastive, 2))
    assert {found.image_emb.dtype, found.latent_emb.dtype, found.logit_scale.dtype} == {torch.float32}
    torch.testing.assert_close(found.image_emb.norm(dim=1), torch.ones(2))


def test_the_temperature_starts_at_clips_and_never_exceeds_its_bound(contrastive):
    img, w = examples(contrastive, 1)
    assert contrastive(img, w).logit_scale.item() == pytest.approx(1 / 0.07)
    for value in (math.log(100.0), 4.7, 50.0, 1000.0):
        contrastive.log_logit_scale.data.fill_(value)
        assert 99.99 < contrastive(img, w).logit_scale.item() <= 100


def test_the_temperature_learns(contrastive):
    contrastive(*examples(contrastive, 1)).logit_scale.backward()
    assert contrastive.log_logit_scale.grad.item() == pytest.approx(1 / 0.07)


def test_a_temperature_beyond_its_bound_comes_back_to_where_it_learns(contrastive):
    for value in (math.log(100.0), 4.7, 1000.0):
        contrastive.log_logit_scale.data.fill_(value)
        contrastive.bound_logit_scale()
        contrastive.zero_grad()
        contrastive.logit_scale.backward()
        assert contrastive.logit_scale.item() == pytest.approx(100.0, rel=1e-5)
        assert contrastive.log_logit_scale.grad.item() == pytest.approx(100.0, rel=1e-5)
    contrastive.log_logit_scale.data.fill_(2.0)
    contrastive.bound_logit_scale()
    assert contrastive.log_logit_scale.item() == 2.0


def test_the_score_is_the_cosine_of_each_pair(contrastive):
    img, w = examples(contrastive, 3)
    found, score = contrastive(img, w), contrastive.score(img, w)
    torch.testing.assert_close(score, torch.cosine_similarity(found.image_emb, found.latent_emb))
    assert score.shape == (3,)
    assert score.abs().max() <= 1
    torch.testing.assert_close(contrastive.score(img[:1], w[:1]), score[:1])


def test_a_score_never_leaves_its_range(contrastive, monkeypatch):
    long = torch.full((1, 12), 0.29)  # rounding, made visible
    monkeypatch.setattr(contrastive, "image_embedding", lambda img: long)
    monkeypatch.setattr(contrastive, "latent_embedding", lambda w: -long)
    assert contrastive.score(*examples(contrastive, 1)).item() == -1


def test_both_sides_are_measured_from_the_mean(contrastive):
    img, w = examples(contrastive, 2)
    before = contrastive(img, w)
    step, shift = torch.randn(16), torch.randn(3, 32, 32)
    contrastive.w_avg += step
    contrastive.img_avg += shift
    after = contrastive(img + shift, w + step)
    torch.testing.assert_close(after.image_emb, before.image_emb, atol=1e-5, rtol=0)
    torch.testing.assert_close(after.latent_emb, before.latent_emb, atol=1e-5, rtol=0)
    contrastive.w_std *= 2
    torch.testing.assert_close(
        contrastive.latent_embedding(contrastive.w_avg + 2 * (w + step - contrastive.w_avg)),
        before.latent_emb,
        atol=1e-5,
        rtol=0,
    )


def test_every_weight_learns(contrastive):
    found = contrastive.train()(*examples(contrastive, 6))
    (found.logit_scale * found.image_emb @ found.latent_emb.T).square().sum().backward()
    assert not [name for name, p in contrastive.named_parameters() if p.grad is None or not p.grad.any()]


def test_a_projection_is_two_layers_around_a_batch_norm():
    head = ProjectionHead(5, 7).train()
    x = torch.randn(4, 5)
    hidden = x @ head.hidden.weight.T
    hidden = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(head(x), hidden.relu() @ head.out.weight.T, atol=1e-5, rtol=1e-5)
    assert head.hidden.bias is None
    assert head.out.bias is None


def test_gradients_of_a_projection_are_right():
    head = ProjectionHead(3, 4).double().train()
    assert torch.autograd.gradcheck(head, torch.randn(5, 3, dtype=torch.float64, requires_grad=True))


def test_shapes_that_do_not_fit_are_refused(contrastive):
    img, w = examples(contrastive, 2)
    with pytest.raises(ShapeError, match=r"img: expected \[N, 3, 32, 32\], got \[2, 3, 16, 16\]"):
        contrastive.image_embedding(img[:, :, :16, :16])
    with pytest.raises(ShapeError, match=r"w: expected \[N, 16\], got \[2, 8\]"):
        contrastive.latent_embedding(w[:, :8])
    with pytest.raises(ShapeError, match=r"w: expected \[2, 16\], got \[1, 16\]"):
        contrastive.score(img, w[:1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_resolution": 40}, "in_resolution: 40; must be a positive multiple of 32"),
        ({"channels": (1, 8, 8, 8, 8)}, "channels: .* at least 8"),
        ({"depths": (1, 0, 1, 1)}, "depths: .* at least 1"),
        ({"latent_blocks": 0}, "latent_blocks: 0; must be at least 1"),
        ({"embedding_dim": 0}, "embedding_dim: 0; must be at least 1"),
    ],
)
def test_impossible_contrastive_pairs_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        ContrastivePairConfig(**change)


def test_the_default_is_small_enough_for_the_bundle(tmp_path):
    contrastive = ContrastivePair(ContrastivePairConfig())
    assert sum(p.numel() for p in contrastive.parameters()) <= 4_300_000
    save_contrastive_pair(contrastive, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_size <= 8_600_000


def test_contrastive_pair_weights_round_trip(contrastive, tmp_path):
    save_contrastive_pair(contrastive, tmp_path / "a.safetensors", {"note": "x"}, dtype=torch.float32)
    loaded = load_contrastive_pair(tmp_path / "a.safetensors")
    assert loaded.config == contrastive.config
    assert not loaded.training
    img, w = examples(contrastive, 2)
    assert torch.equal(loaded.score(img, w), contrastive.score(img, w))


def test_half_precision_keeps_the_frame_of_reference(contrastive, tmp_path):
    save_contrastive_pair(contrastive, tmp_path / "a.safetensors")
    loaded = load_contrastive_pair(tmp_path / "a.safetensors")
    assert torch.equal(loaded.w_avg, contrastive.w_avg)
    assert torch.equal(loaded.w_std, contrastive.w_std)
    img, w = examples(contrastive, 4)
    torch.testing.assert_close(loaded.score(img, w), contrastive.score(img, w), atol=0.02, rtol=0)


def test_files_that_are_no_contrastive_pair_are_refused(contrastive, tiny_encoder, tmp_path):
    file = tmp_path / "a.safetensors"
    with pytest.raises(CheckpointError, match="no such file"):
        load_contrastive_pair(file)
    file.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_contrastive_pair(file)
    save_file({"w_avg": torch.zeros(3)}, file)
    with pytest.raises(CheckpointError, match="not a contrastive pair: KeyError: 'contrastive_config'"):
        load_contrastive_pair(file)
    save_contrastive_pair(contrastive, file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_contrastive_pair(file)
    file.write_bytes(whole)
    with pytest.raises(CheckpointError, match="not a W encoder"):
        load_encoder(file)


def test_left_over_and_missing_weights_are_named(contrastive, tmp_path):
    contrastive.register_buffer("surprise", torch.zeros(1))
    del contrastive.img_avg
    save_contrastive_pair(contrastive, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"not this contrastive pair: missing \['img_avg'\], left over"):
        load_contrastive_pair(tmp_path / "a.safetensors")


def test_weights_with_the_older_key_are_read(contrastive, tmp_path):
    save_contrastive_pair(contrastive, tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", "pt") as file:
        told = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, tmp_path / "old.safetensors", {"aligner_config": told["contrastive_config"]})
    assert load_contrastive_pair(tmp_path / "old.safetensors").config == TINY
