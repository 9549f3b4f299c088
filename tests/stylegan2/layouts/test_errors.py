import re

import pytest
import torch

from stylegan2.errors import CheckpointError
from stylegan2.layouts.loading import build_generator
from stylegan2.layouts.recognise import recognise
from stylegan2.reading.document import Node
from tests.helpers import layout_writers as write


@pytest.fixture(scope="module")
def source():
    return write.small_generator()


def refused(tree, container="torch-zip"):
    """What the refusal of this tree says."""
    with pytest.raises(CheckpointError) as error:
        build_generator(recognise(write.document(tree, container, "odd.pt")))
    text = str(error.value)
    assert text.startswith("odd.pt: ")
    return text


def module(source, extra=(), name="Generator", **settings):
    return {
        "G_ema": write.nvidia_module({**write.nvidia_state(source), **dict(extra)}, name=name, **settings)
    }


@pytest.mark.parametrize(
    "part",
    [
        write.nvidia_module(
            {"synthesis.L0_36_512.weight": torch.ones(1)}, name="training.networks_stylegan3.Generator"
        ),
        write.nvidia_module({"synthesis.input.freqs": torch.ones(1)}),
    ],
)
def test_stylegan3_is_named(part):
    name = re.escape(part.name)
    assert re.search(rf"a StyleGAN3 generator \(class {name}\): only StyleGAN2", refused({"G_ema": part}))


def test_the_classes_of_a_conditional_generator_are_told(source):
    state = write.conditional(source, 10)
    told = "a conditional generator of 10 classes; --class N with N from 0 to 9 makes a model of one class"
    assert told in refused({"G_ema": write.nvidia_module(state, c_dim=10)})
    assert told in refused({"state_dict": state})
    assert told in refused(write.nvidia_tf_conditional(source, state), "pickle")
    for number in (-1, 10):
        with pytest.raises(CheckpointError, match=f"class {number}: a conditional generator of 10 classes"):
            recognise(write.document({"state_dict": state}), number)
    with pytest.raises(CheckpointError, match=r"class 3: the file's generator has no classes"):
        recognise(write.document({"g_ema": write.rosinality(source)}), 3)


@pytest.mark.parametrize("gone", ["mapping.fc0.weight", "mapping.fc0.bias", "mapping.embed.bias"])
def test_what_a_conditional_generator_lacks_is_named(source, gone):
    state = write.conditional(source, 10)
    del state[gone]
    with pytest.raises(CheckpointError, match=f"missing: {gone}"):
        recognise(write.document({"state_dict": state}), 1)


@pytest.mark.parametrize("odd", [torch.ones(1), torch.ones(80, 10), torch.ones(31, 10)])
def test_an_embedding_that_fits_nothing_is_refused(source, odd):
    state = {**write.conditional(source, 10), "mapping.embed.weight": odd}
    with pytest.raises(CheckpointError, match="embed"):
        recognise(write.document({"state_dict": state}), 1)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("GE.initial_block", "a network of lucidrains' stylegan2-pytorch"),
        ("layers.0.blocks.0.attn.0.relative_position_bias_table", "a StyleSwin generator"),
        ("stylegan_decoder.style_mlp.1.weight", "a GFPGAN network"),
        ("style_conv1.bias", "GFPGAN's clean generator"),
        ("mapping.embed_proj.weight", "a StyleGAN-XL generator"),
    ],
)
@pytest.mark.parametrize("wrap", ["bare", "g_ema", "GAN", "params_ema", "state_dict", "module"])
def test_other_networks_are_refused_by_their_own_name(name, what, wrap):
    state = {name: torch.ones(1), "style_mlp.1.weight": torch.ones(1)}
    tree = {"bare": state, "module": {"G_ema": write.nvidia_module(state)}}.get(wrap, {wrap: state})
    assert what in refused(tree)


def test_stylegan_xl_is_known_by_its_class():
    part = write.nvidia_module({"synthesis.L0_36_512.weight": torch.ones(1)}, name="SuperresGenerator")
    assert "a StyleGAN-XL generator (class SuperresGenerator)" in refused({"G_ema": part})


def test_the_residual_architecture_is_named(source):
    wanted = "a generator of the 'resnet' architecture"
    assert wanted in refused(module(source, {"synthesis.b8.skip.weight": torch.ones(1)}))
    assert "architecture 'resnet'" in refused(module(source, synthesis_kwargs={"architecture": "resnet"}))
    networks = write.nvidia_tf(source)
    networks[2].state["components"]["synthesis"].state["variables"].append(("8x8/Skip/weight", torch.ones(1)))
    assert wanted in refused(networks, "pickle")


def test_settings_that_leave_no_trace_in_the_tensors_are_refused(source):
    assert "activation 'relu'" in refused(module(source, synthesis_kwargs={"activation": "relu"}))
    assert "resample_kernel [1, 1]" in refused(write.nvidia_tf(source, resample_kernel=[1, 1]), "pickle")
    assert "lr_multiplier: 0" in refused(module(source, mapping_kwargs={"lr_multiplier": 0}))


def test_stylegan1_is_named():
    variables = [("4x4/Const/StyleMod/weight", torch.ones(1))]
    tree = (write.network("Gs", components={"synthesis": write.network("G_synthesis", variables)}),)
    assert f"a StyleGAN1 generator ({write.NETWORK} 'Gs', version 4)" in refused(tree, "pickle")
    assert "a StyleGAN1 generator" in refused({"g_ema": {"style_mod.lin.weight": torch.ones(1)}})


def test_a_conditional_tensorflow_generator_is_named(source):
    networks = write.nvidia_tf(source)
    networks[2].state["components"]["mapping"].state["variables"].append(
        ("LabelConcat/weight", torch.ones(10, 32))
    )
    told = "a conditional generator of 10 classes"
    assert told in (words := refused(networks, "pickle"))
    assert "no class can be folded in" in words
    assert told in refused(write.nvidia_tf(source, label_size=10), "pickle")
    labels = {**write.genforce(source), "mapping.label_weight": torch.ones(10, 32)}
    assert told in refused({"generator_smooth": labels})


def test_a_tensorflow_network_without_styles_is_named():
    assert "no variable 'mod_weight' in it" in refused(
        (write.network("Gs", [("a", torch.ones(1))]),), "pickle"
    )


@pytest.mark.parametrize("name", ["convs.0.conv.weight", "style.2.bias", "noises.noise_3", "to_rgbs.1.bias"])
def test_missing_tensors_are_named_as_in_the_file(source, name):
    state = write.rosinality(source)
    del state[name]
    assert recognise(write.document({"g_ema": state})).missing == (name,)
    assert f"tensors missing (rosinality layout): {name}" in refused({"g_ema": state})


def test_many_missing_tensors_are_counted(source):
    state = {k: v for k, v in write.rosinality(source).items() if not k.endswith("modulation.bias")}
    assert "and 8 more" in refused({"g_ema": state})


def test_a_missing_tensorflow_variable_is_named(source):
    networks = write.nvidia_tf(source)
    variables = networks[2].state["components"]["synthesis"].state["variables"]
    variables[:] = [entry for entry in variables if entry[0] != "16x16/Conv1/mod_weight"]
    assert "synthesis/16x16/Conv1/mod_weight" in refused(networks, "pickle")


def test_what_tells_the_architecture_is_named_where_it_lacks(source):
    state = write.rosinality(source)
    without_style = {k: v for k, v in state.items() if k != "style.1.weight"}
    assert "missing 'style.1.weight', which says how wide W is" in refused({"g_ema": without_style})
    gone = ("convs.2.", "convs.3.", "to_rgbs.1.")
    without_block = {k: v for k, v in state.items() if not k.startswith(gone)}
    assert "missing 'to_rgbs.1.conv.weight', which says how wide" in refused({"g_ema": without_block})


def test_extra_tensors_are_reported_not_refused(source):
    state = {**write.rosinality(source), "convs.0.surprise": torch.zeros(1)}
    found = recognise(write.document({"g_ema": state, "latent_avg": source.w_avg, "g_optim": {}}))
    assert found.left_over == ("convs.0.surprise", "g_optim")
    assert build_generator(found).left_over == found.left_over


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("convs.0.conv.weight", torch.ones(1, 16, 24, 1, 1), "found [16, 24, 1, 1], expected [16, 24, 3, 3]"),
        ("conv1.noise.weight", torch.ones(2), "found [2], expected []"),
        ("style.2.weight", torch.ones(32), "found [32], expected [32, 32]"),
        ("noises.noise_0", torch.ones(1, 1, 8, 8), "found [8, 8], expected [4, 4]"),
        ("to_rgb1.conv.weight", torch.ones(1, 1, 24, 1, 1), "found [1, 24, 1, 1], expected [3, 24, 1, 1]"),
    ],
)
def test_other_shapes_are_named(source, name, value, expected):
    state = {**write.rosinality(source), name: value}
    assert f"tensors do not fit (rosinality layout): {name}: {expected}" in refused({"g_ema": state})


def test_a_mean_of_another_width_is_named(source):
    tree = {"g_ema": write.rosinality(source), "latent_avg": torch.ones(18, 7)}
    assert "w_avg: found [7], expected [32]" in refused(tree)


def test_another_resampling_filter_is_refused(source):
    state = {**write.rosinality(source), "convs.0.conv.blur.kernel": torch.ones(4, 4)}
    assert "convs.0.conv.blur.kernel: another resampling filter [4, 4]" in refused({"g_ema": state})
    assert "another resampling filter [6]" in refused(
        module(source, {"synthesis.b8.resample_filter": torch.ones(6)})
    )


def test_a_wrong_prefix_is_shown(source):
    state = {f"generator.{name}": value for name, value in write.rosinality(source).items()}
    text = refused({"g_ema": state})
    assert "no entry 'synthesis.b4.const' or 'input.input'" in text
    assert "'generator.style.1.weight'" in text
    tree = {"state_dict": {f"decoder.x.{name}": value for name, value in write.rosinality(source).items()}}
    assert "not a StyleGAN2 generator" in refused(tree)
    tree["state_dict"]["encoder.a"] = torch.ones(1)
    assert "no entry 'decoder.input.input'" in refused(tree)


def test_numbers_that_no_generator_has_are_refused(source):
    state = write.rosinality(source)
    for name in ("to_rgbs.99.bias", "style.70.weight"):
        assert "at most 64" in refused({"g_ema": {**state, name: torch.ones(1)}})
    assert "missing 'to_rgbs.3.conv.weight'" in refused(
        {"g_ema": {**state, "to_rgbs.40.bias": torch.ones(1)}}
    )
    odd = {**write.nvidia_state(source), "synthesis.b9999.conv0.bias": torch.ones(1)}
    assert "missing 'synthesis.b" in refused({"state_dict": odd})


def test_too_large_and_too_small_networks_are_refused(source):
    state = {k: v for k, v in write.rosinality(source).items() if not k.startswith("to_rgbs.2")}
    assert "img_resolution: 16; must be a power of two from 32 to 1024" in refused({"g_ema": state})


@pytest.mark.parametrize(
    "tree",
    [torch.ones(2), [1, 2], {}, {"a": torch.ones(1)}, None, 5, {"g_ema": {}}, {"state_dict": {"x": 1}}],
)
def test_other_data_is_no_generator(tree):
    assert "generator" in refused(tree)


def test_other_classes_are_no_generator():
    assert "class Discriminator: no entry 'synthesis.b4.const'" in refused(
        write.nvidia_module({"b4.conv.weight": torch.ones(1)}, name="Discriminator")
    )
    assert "class a.B" not in (text := refused(Node(name="a.B", state=[1])))
    assert "a.B: not a network" in text


def test_parts_without_end_are_refused():
    inner = {"_parameters": {}, "_modules": {}}
    node = Node(name="Loop", state=inner)
    inner["_modules"]["again"] = node
    assert "no end to its parts" in refused({"G_ema": node})
    state = {"components": {}, "variables": []}
    loop = Node(name=write.NETWORK, state=state)
    state["components"]["again"] = loop
    assert "no end to its components" in refused((loop,), "pickle")
