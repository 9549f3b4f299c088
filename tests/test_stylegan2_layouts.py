import pytest
import torch

from stylegan2.errors import CheckpointError
from stylegan2.layouts.loading import build_generator
from stylegan2.layouts.recognise import recognise
from tests import layout_writers as write

ENCODER = {"input_layer.0.weight": torch.ones(4, 3, 3, 3), "styles.0.linear.weight": torch.ones(4, 4)}
CLCAE = {
    **ENCODER,
    "styles_others.0.linear.weight": torch.ones(4, 4),
    "cross_attention.0.norm1.weight": torch.ones(4),
    "content_layer.convs.0.bias": torch.ones(4),
}


@pytest.fixture(scope="module")
def source():
    return write.small_generator(depth=3)


def load(tree, container="torch-zip"):
    return build_generator(recognise(write.document(tree, container)))


def assert_same_pictures(loaded, source, psis=(1.0, 0.7)):
    assert loaded.config == source.config
    z = torch.randn(2, source.z_dim, generator=torch.manual_seed(5))
    for psi in psis:
        torch.testing.assert_close(
            loaded(z, truncation_psi=psi), source(z, truncation_psi=psi), atol=1e-5, rtol=1e-5
        )


def w_avg_rows(source):
    return source.w_avg.expand(source.num_ws, -1)


# Layout -> (the file's tree, its container), made from a generator.
TREES = {
    "ours": lambda g: (g.state_dict(), "safetensors"),
    "nvidia-state": lambda g: (write.nvidia_state(g), "torch-zip"),
    "nvidia-torch": lambda g: (
        {
            "G": write.nvidia_module({}),
            "D": write.nvidia_module({}, name="Discriminator"),
            "G_ema": write.nvidia_module(write.nvidia_state(g), img_resolution=g.img_resolution),
            "training_set_kwargs": {},
        },
        "pickle",
    ),
    "pti": lambda g: (write.nvidia_module(write.nvidia_state(g)), "torch-zip"),
    "nvidia-tf": lambda g: (write.nvidia_tf(g), "pickle"),
    "psp": lambda g: (
        write.psp(g, ENCODER, opts={"output_size": 32}, latent_avg=w_avg_rows(g)),
        "torch-zip",
    ),
    "e4e": lambda g: (
        write.psp(g, ENCODER, opts={"stylegan_size": 32}, latent_avg=g.w_avg[None]),
        "torch-zip",
    ),
    "restyle": lambda g: (
        write.psp(
            g,
            {"input_layer.0.weight": torch.ones(4, 6, 3, 3)},
            opts={"output_size": 32, "input_nc": 6},
            latent_avg=g.w_avg,
        ),
        "torch-zip",
    ),
    "style-transformer": lambda g: (
        write.psp(g, ENCODER, opts={}, latent_avg=g.w_avg, prefix="module."),
        "torch-zip",
    ),
    "styleres": lambda g: (
        {"e4e": {}, "latent_avg": g.w_avg, "generator_smooth": write.nvidia_state(g)},
        "torch-zip",
    ),
}


@pytest.mark.parametrize("layout", TREES)
def test_every_layout_draws_what_its_source_draws(layout, source):
    tree, container = TREES[layout](source)
    found = recognise(write.document(tree, container))
    assert (found.layout, found.w_avg, found.missing, found.misfits) == (layout, "file", (), ())
    loaded = build_generator(found)
    assert (loaded.layout, loaded.w_avg_source) == (layout, "file")
    assert_same_pictures(loaded.generator, source)


@pytest.mark.parametrize(("resolution", "depth"), [(32, 2), (64, 4)])
@pytest.mark.parametrize("wrap", ["g_ema", "trainer", "parallel", "bare", "safetensors"])
def test_every_form_of_rosinality_draws_what_its_source_draws(resolution, depth, wrap):
    source = write.small_generator(resolution, depth=depth, w_dim=48)
    state = write.rosinality(source)
    tree = {
        "g_ema": {"g_ema": state, "latent_avg": source.w_avg},
        "trainer": {
            "g": {"input.input": torch.zeros(1)},
            "d": {},
            "g_optim": {"state": {}},
            "args": {"size": resolution, "device": torch.zeros(1)},
            "g_ema": state,
            "latent_avg": source.w_avg,
        },
        "parallel": {"g_ema": {f"module.{k}": v for k, v in state.items()}, "latent_avg": source.w_avg},
        "bare": {**state, "latent_avg": source.w_avg},
        "safetensors": {**state, "latent_avg": source.w_avg},
    }[wrap]
    found = recognise(write.document(tree, "safetensors" if wrap == "safetensors" else "torch-zip"))
    assert found.layout == "rosinality"
    assert_same_pictures(build_generator(found).generator, source)
    if wrap == "trainer":
        assert found.left_over == ("g", "d", "g_optim")
        assert found.opts == {"size": resolution}


def test_half_precision_is_widened(source):
    tree = {"g_ema": {k: v.half() for k, v in write.rosinality(source).items()}, "latent_avg": source.w_avg}
    generator = load(tree).generator
    assert {value.dtype for value in generator.state_dict().values()} == {torch.float32}
    assert not generator.training
    assert not any(p.requires_grad for p in generator.parameters())


def test_a_missing_mean_is_computed_from_seeded_latents(source):
    found = recognise(write.document({"g_ema": write.rosinality(source)}))
    assert found.w_avg is None
    loaded = build_generator(found)
    z = torch.randn(10_000, source.z_dim, generator=torch.manual_seed(0))
    torch.testing.assert_close(loaded.generator.w_avg, source.mapping(z).mean(0))
    assert loaded.w_avg_source == "computed: mean of mapping(z) over 10,000 z of seed 0"
    assert_same_pictures(loaded.generator, source, psis=(1.0,))


def test_rows_of_the_mean_that_differ_are_averaged_and_noted(source):
    rows = torch.stack([source.w_avg - 1, source.w_avg + 1])
    loaded = load({"g_ema": write.rosinality(source), "latent_avg": rows})
    torch.testing.assert_close(loaded.generator.w_avg, source.w_avg)
    assert loaded.facts["notes"] == ["latent_avg has 2 rows that differ: their mean was taken"]


def test_clcae_is_recognised_with_its_encoder_and_without_a_mean(source):
    opts = {"stylegan_weights": "g.pt", "learn_in_w": True, "device": object()}
    tree = {**write.psp(source, CLCAE, opts=opts, latent_avg=None), "iter": 5.0}
    found = recognise(write.document(tree))
    assert (found.layout, found.w_avg, found.left_over) == ("clcae", None, ())
    assert found.encoder.keys() == CLCAE.keys()
    assert found.encoder_kind == "CLCAE inversion encoder"
    assert found.opts == {"stylegan_weights": "g.pt", "learn_in_w": True}
    assert_same_pictures(build_generator(found).generator, source, psis=(1.0,))


@pytest.mark.parametrize("half", ["image", "latent"])
def test_a_contrastive_encoder_has_no_generator(half):
    state = {"encoder.input_layer.0.weight": torch.ones(1), f"{half}_projection.lin1.weight": torch.ones(1)}
    found = recognise(write.document({"state_dict": state, "opts": {}}))
    assert (found.layout, found.generator) == ("clcae-contrastive", None)
    assert found.encoder.keys() == state.keys()
    with pytest.raises(CheckpointError, match=f"no generator in it; it holds CLCAE contrastive {half} enc"):
        build_generator(found)


@pytest.mark.parametrize(
    ("part", "layout"),
    [("hypernet.a", "hyperstyle"), ("residue.a", "hfgi"), ("grid_align.a", "hfgi"), ("inverter.a", "sfe")],
)
def test_relatives_are_named_and_their_decoder_is_used(source, part, layout):
    tree = write.psp(source, ENCODER, opts={}, latent_avg=source.w_avg)
    tree["state_dict"][part] = torch.ones(1)
    found = recognise(write.document(tree))
    assert (found.layout, part in found.left_over) == (layout, True)
    assert found.encoder_kind.endswith("(not run here)")
    assert_same_pictures(build_generator(found).generator, source)


def test_another_multiplier_of_the_mapping_is_carried_over(source):
    state = write.nvidia_state(source)
    state |= {name: value * 0.5 for name, value in state.items() if name.startswith("mapping.fc")}
    module = write.nvidia_module(state, mapping_kwargs={"num_layers": 3, "lr_multiplier": 0.02})
    loaded = load({"G_ema": module}, "pickle")
    assert_same_pictures(loaded.generator, source)
    assert loaded.facts["notes"] == ["mapping weights rescaled from multiplier 0.02"]


def test_settings_of_tensorflow_that_change_nothing_are_accepted(source):
    loaded = load(write.nvidia_tf(source, label_size=0, mapping_fmaps=None, use_noise=None), "pickle")
    assert_same_pictures(loaded.generator, source)
    assert loaded.facts["notes"] == []


def test_a_clamp_of_activations_is_noted(source):
    note = ["made for activations clamped to +-256; here they are not"]
    module = write.nvidia_module(write.nvidia_state(source), synthesis_kwargs={"conv_clamp": 256})
    assert load({"G_ema": module}, "pickle").facts["notes"] == note
    assert load(write.nvidia_tf(source, conv_clamp=256), "pickle").facts["notes"] == note


def test_old_files_without_noise_pictures_get_seeded_ones(source):
    state = {k: v for k, v in write.rosinality(source).items() if not k.startswith("noises.")}
    tree = {"g_ema": state, "latent_avg": source.w_avg}
    first, second = load(tree), load(tree)
    assert "no noise pictures" in first.facts["notes"][0]
    z = torch.randn(1, source.z_dim)
    assert torch.equal(first.generator(z), second.generator(z))
