import copy

import pytest
import torch

from stylegan2.errors import CheckpointError
from stylegan2.layouts.loading import build_generator
from stylegan2.layouts.recognise import recognise
from stylegan2.ops.modulated_conv import modulated_conv2d
from stylegan2.ops.upfirdn2d import upsample2d
from tests.helpers import layout_writers as write

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
    "basicsr": lambda g: (
        {"params": {}, "params_ema": {**write.basicsr(g), "latent_avg": g.w_avg}},
        "torch-zip",
    ),
    "mmgen": lambda g: (
        {
            "meta": {"mmgen_version": "0.7.3", "iter": 5},
            "state_dict": {
                **{f"generator.{k}": torch.zeros(1) for k in write.mmgen(g)},
                "discriminator.convs.0.bias": torch.ones(1),
                **{f"generator_ema.{k}": v for k, v in write.mmgen(g).items()},
                "latent_avg": g.w_avg,
            },
            "optimizer": {},
        },
        "torch-zip",
    ),
    "genforce": lambda g: (
        {"generator": {}, "discriminator": {}, "generator_smooth": write.genforce(g)},
        "torch-zip",
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


@pytest.mark.parametrize("wrap", ["generator", "model", "models", "g_ema.", "G_ema.", "generator_ema."])
def test_the_wraps_that_people_put_around_a_state_are_taken_off(source, wrap):
    state = {**write.rosinality(source), "latent_avg": source.w_avg}
    if wrap.endswith("."):
        tree = {**{f"{wrap}{name}": value for name, value in state.items()}, "d.bias": torch.ones(1)}
        assert recognise(write.document(tree)).left_over == ("d.bias",)
    else:
        tree = {wrap: {"generator_smooth": state, "generator": {}} if wrap == "models" else state, "epoch": 3}
        assert "epoch" in recognise(write.document(tree)).left_over
    assert_same_pictures(load(tree).generator, source)


def test_activations_are_clamped_as_the_file_says(source):
    ws = source.broadcast(source.sample_w(2, seed=1))
    wanted = clamped_picture(source, ws, 0.5)
    assert not torch.allclose(wanted, source.synthesis(ws), atol=0.05)
    state = write.nvidia_state(source)
    trees = [
        {"G_ema": write.nvidia_module(state, conv_clamp=0.5)},  # every layer of NVIDIA's keeps it
        {"G_ema": write.nvidia_module(state, synthesis_kwargs={"conv_clamp": 0.5})},
        {"G_ema": write.nvidia_module(state, channel_base=32768)},
        write.nvidia_tf(source, conv_clamp=0.5),
    ]
    # The StyleGAN3 repository hands the settings of the synthesis over among the others.
    trees[2]["G_ema"].kwargs["conv_clamp"] = 0.5
    for tree in trees:
        generator = load(tree, "pickle").generator
        assert generator.config.conv_clamp == 0.5
        torch.testing.assert_close(generator.synthesis(ws), wanted, atol=1e-5, rtol=1e-5)
    assert load({"G_ema": write.nvidia_module(state, conv_clamp=None)}).generator.config.conv_clamp is None


def test_layers_with_several_limits_are_refused(source):
    module = write.nvidia_module(write.nvidia_state(source), conv_clamp=256)
    module.state["_modules"]["synthesis"].state["_modules"]["b8"].state["_modules"]["conv0"].state[
        "conv_clamp"
    ] = 8
    with pytest.raises(CheckpointError, match="several conv_clamp"):
        load({"G_ema": module})


def clamped_picture(generator, ws, limit):
    """G(ws), written down once more, with every layer's answer within +-limit."""
    img, x, row = None, generator.synthesis.b4.const.expand(len(ws), -1, -1, -1), 0
    for block in generator.synthesis.blocks:
        layers = [block.conv1] if block.first else [block.conv0, block.conv1]
        for layer in layers:
            x = modulated_conv2d(x, layer.weight * layer.weight_gain, layer.affine(ws[:, row]), up=layer.up)
            x = x + layer.noise_const * layer.noise_strength + layer.bias[:, None, None]
            x = (torch.nn.functional.leaky_relu(x, 0.2) * 2**0.5).clamp(-limit, limit)
            row += 1
        rgb = block.torgb
        colours = modulated_conv2d(x, rgb.weight * rgb.weight_gain, rgb.affine(ws[:, row]), demodulate=False)
        colours = (colours + rgb.bias[:, None, None]).clamp(-limit, limit)
        img = colours if img is None else upsample2d(img) + colours
    return img


@pytest.mark.parametrize("form", ["torch", "state", "tensorflow"])
def test_a_class_of_a_conditional_generator_is_folded_in(source, form):
    state, number = write.conditional(source, 10), 7
    tree = {
        "torch": lambda: {"G_ema": write.nvidia_module(state, c_dim=10)},
        "state": lambda: {"state_dict": state},
        "tensorflow": lambda: write.nvidia_tf_conditional(source, state),
    }[form]()
    loaded = build_generator(recognise(write.document(tree, "pickle"), number))
    z = torch.randn(4, source.z_dim, generator=torch.manual_seed(2))
    torch.testing.assert_close(
        loaded.generator.mapping(z), w_of_class(source, state, z, number), atol=1e-5, rtol=1e-5
    )
    assert "class 7 of 10 (from 0), folded in; w_avg is the mean over all classes" in loaded.facts["notes"]
    assert loaded.generator.config == source.config
    assert loaded.left_over == (("lod",) if form == "tensorflow" else ())


def w_of_class(source, state, z, number):
    """StyleGAN2-ADA's mapping network, as its paper describes it."""

    def normalised(x):
        return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()

    label = torch.nn.functional.one_hot(torch.full((len(z),), number), 10).float()
    y = label @ (state["mapping.embed.weight"] / 10**0.5).T + state["mapping.embed.bias"]
    x = torch.cat([normalised(z), normalised(y)], 1)
    for i in range(source.config.mapping_layers):
        weight, bias = state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"]
        x = x @ (weight * 0.01 / weight.shape[1] ** 0.5).T + bias * 0.01
        x = torch.nn.functional.leaky_relu(x, 0.2) * 2**0.5
    return x


@pytest.mark.parametrize(("channels", "note"), [(1, "draws in grey"), (4, "draws with transparency")])
def test_grey_and_transparent_generators_draw_in_three_colours(source, channels, note):
    state = write.nvidia_state(source)
    colours = {}
    for name, value in state.items():
        if ".torgb." in name and name.endswith(("torgb.weight", "torgb.bias")):
            state[name] = torch.cat([value, value[:1]])[:channels]
            colours[name] = value[:1].repeat_interleave(3, 0) if channels == 1 else value
    loaded = load({"G_ema": write.nvidia_module(state, img_channels=channels)}, "pickle")
    wanted = copy.deepcopy(source)
    wanted.load_state_dict({**wanted.state_dict(), **colours})
    assert_same_pictures(loaded.generator, wanted)
    assert any(note in found for found in loaded.facts["notes"])


def test_old_files_without_noise_pictures_get_seeded_ones(source):
    state = {k: v for k, v in write.rosinality(source).items() if not k.startswith("noises.")}
    tree = {"g_ema": state, "latent_avg": source.w_avg}
    first, second = load(tree), load(tree)
    assert "no noise pictures" in first.facts["notes"][0]
    z = torch.randn(1, source.z_dim)
    assert torch.equal(first.generator(z), second.generator(z))
