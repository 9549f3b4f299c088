"""Write a generator in the layouts of other projects, from what is known of their files; as inert trees."""

import re
from collections import OrderedDict
from pathlib import Path

import torch

from stylegan2.network.config import GeneratorConfig
from stylegan2.network.generator import Generator
from stylegan2.reading.document import Document, Node

NETWORK = "dnnlib.tflib.network.Network"
FIR = torch.tensor([[1.0, 3, 3, 1], [3, 9, 9, 3], [3, 9, 9, 3], [1, 3, 3, 1]]) / 64


def small_generator(resolution=32, *, depth=2, w_dim=32, seed=0):
    """Random weights in which every tensor matters: noise, biases and the mean of W are not zero."""
    torch.manual_seed(seed)
    sizes = [r for r in (4, 8, 16, 32, 64) if r <= resolution]
    widths = {r: (24, 16, 16, 12, 8)[i] for i, r in enumerate(sizes)}
    config = GeneratorConfig(
        img_resolution=resolution, z_dim=w_dim, w_dim=w_dim, mapping_layers=depth, channels=widths
    )
    generator = Generator(config)
    for name, value in generator.named_parameters():
        if name.endswith(("bias", "noise_strength")):
            value.data += 0.3 * torch.randn_like(value)
    generator.w_avg.copy_(torch.randn(w_dim))
    return generator.eval().requires_grad_(False)


def document(tree, container="torch-zip", name="file.pt"):
    return Document(path=Path(name), container=container, tree=tree)


def sizes_of(generator):
    return [r for r in (4, 8, 16, 32, 64) if r <= generator.img_resolution]


def rosinality(generator):
    """The `g_ema` of rosinality's trainer."""
    ours = generator.state_dict()
    out, noise = {}, 0
    for i in range(generator.config.mapping_layers):
        out[f"style.{i + 1}.weight"] = ours[f"mapping.fc{i}.weight"]
        out[f"style.{i + 1}.bias"] = ours[f"mapping.fc{i}.bias"]
    out["input.input"] = ours["synthesis.b4.const"].unsqueeze(0)

    def layer(theirs, b):
        nonlocal noise
        out[f"{theirs}.conv.weight"] = ours[f"{b}.weight"].unsqueeze(0)
        out[f"{theirs}.conv.modulation.weight"] = ours[f"{b}.affine.weight"]
        out[f"{theirs}.conv.modulation.bias"] = ours[f"{b}.affine.bias"]
        if "torgb" in b:
            out[f"{theirs}.bias"] = ours[f"{b}.bias"].reshape(1, 3, 1, 1)
            return
        out[f"{theirs}.noise.weight"] = ours[f"{b}.noise_strength"].reshape(1)
        out[f"{theirs}.activate.bias"] = ours[f"{b}.bias"]
        side = ours[f"{b}.noise_const"].shape[0]
        out[f"noises.noise_{noise}"] = ours[f"{b}.noise_const"].reshape(1, 1, side, side)
        noise += 1

    layer("conv1", "synthesis.b4.conv1")
    layer("to_rgb1", "synthesis.b4.torgb")
    for k, r in enumerate(sizes_of(generator)[1:]):
        layer(f"convs.{2 * k}", f"synthesis.b{r}.conv0")
        out[f"convs.{2 * k}.conv.blur.kernel"] = FIR * 4
        layer(f"convs.{2 * k + 1}", f"synthesis.b{r}.conv1")
        layer(f"to_rgbs.{k}", f"synthesis.b{r}.torgb")
        out[f"to_rgbs.{k}.upsample.kernel"] = FIR * 4
    return out


# How projects with rosinality's code spell its entries: pattern -> what stands there.
BASICSR = {
    r"^input.input": "constant_input.weight",
    r"^conv1": "style_conv1",
    r"^convs": "style_convs",
    r"^style\.": "style_mlp.",
    r"^noises.noise_": "noises.noise",
    r"\.noise\.weight": ".weight",
    r"\.conv\.": ".modulated_conv.",
}
MMGEN = {
    r"^input.input": "constant_input.input",
    r"^noises.noise_": "injected_noise_",
    r"^style\.(\d+)\.weight": r"style_mapping.\1.linear.weight_orig",
    r"^style\.": "style_mapping.",
    r"\.noise\.weight": ".noise_injector.weight",
    r"modulation.weight": "style_modulation.linear.weight_orig",
    r"modulation.bias": "style_modulation.bias",
    r"conv.weight": "conv.weight_orig",
}


def respelled(state, words):
    out = {}
    for name, value in state.items():
        theirs = name
        for pattern, word in words.items():
            theirs = re.sub(pattern, word, theirs)
        out[theirs] = value
    return out


def basicsr(generator):
    """The `params_ema` of BasicSR, whose filters are no tensors of the state."""
    state = {name: value for name, value in rosinality(generator).items() if "kernel" not in name}
    return respelled(state, BASICSR)


def mmgen(generator):
    """The generator of MMGeneration, which draws blue first, without the prefix that it has in a file."""
    state = rosinality(generator)
    for name in [name for name in state if re.fullmatch(r"to_rgb(1|s\.\d+)\.(conv\.weight|bias)", name)]:
        state[name] = state[name].flip(1)
    return respelled(state, MMGEN)


def genforce(generator):
    """The `generator_smooth` of genforce: kernels turned as in TensorFlow, styles' biases less one."""
    ours = generator.state_dict()
    out = {"truncation.w_avg": ours["mapping.w_avg"], "synthesis.upsample.kernel": FIR[None, None] * 4}
    for i in range(generator.config.mapping_layers):
        for leaf in ("weight", "bias"):
            out[f"mapping.dense{i}.{leaf}"] = ours[f"mapping.fc{i}.{leaf}"]
    out["synthesis.early_layer.const"] = ours["synthesis.b4.const"][None]

    def layer(theirs, b):
        weight = ours[f"{b}.weight"]
        if b.endswith("conv0"):
            weight = torch.flip(weight, (2, 3))
            out[f"{theirs}.filter.kernel"] = FIR[None, None] * 4
        out[f"{theirs}.weight"] = weight
        out[f"{theirs}.bias"] = ours[f"{b}.bias"]
        out[f"{theirs}.style.weight"] = ours[f"{b}.affine.weight"]
        out[f"{theirs}.style.bias"] = ours[f"{b}.affine.bias"] - 1
        if "torgb" not in b:
            out[f"{theirs}.noise_strength"] = ours[f"{b}.noise_strength"]
            out[f"{theirs}.noise"] = ours[f"{b}.noise_const"][None, None]

    for block, r in enumerate(sizes_of(generator)):
        if r > 4:
            layer(f"synthesis.layer{2 * block - 1}", f"synthesis.b{r}.conv0")
        layer(f"synthesis.layer{2 * block}", f"synthesis.b{r}.conv1")
        layer(f"synthesis.output{block}", f"synthesis.b{r}.torgb")
    return out


def conditional(generator, classes, *, seed=3):
    """The state of StyleGAN2-ADA with classes, whose first mapping layer also reads an embedding."""
    out, chance = nvidia_state(generator), torch.Generator().manual_seed(seed)
    width = generator.z_dim
    fresh = torch.randn(generator.w_dim, width, generator=chance) / 0.01
    out["mapping.fc0.weight"] = torch.cat([out["mapping.fc0.weight"], fresh], 1)
    out["mapping.embed.weight"] = torch.randn(width, classes, generator=chance)
    out["mapping.embed.bias"] = torch.randn(width, generator=chance)
    return out


def nvidia_state(generator):
    """The state dict of NVIDIA's PyTorch code, which has a filter in every layer."""
    out = dict(generator.state_dict())
    for r in sizes_of(generator):
        out[f"synthesis.b{r}.resample_filter"] = FIR
        out[f"synthesis.b{r}.conv1.resample_filter"] = FIR
        if r > 4:
            out[f"synthesis.b{r}.conv0.resample_filter"] = FIR
    return out


UNSET = object()
BUFFERS = ("noise_const", "resample_filter", "w_avg")


def nvidia_module(state, *, name="Generator", conv_clamp=UNSET, **kwargs):
    """Nested nodes, as the safe reader gives NVIDIA's pickled modules; layers keep their limit."""

    def build(entries, title, **settings):
        children, own = {}, {}
        for path, value in entries.items():
            head, dot, rest = path.partition(".")
            if dot:
                children.setdefault(head, {})[rest] = value
            else:
                own[head] = value
        inner = {
            "training": False,
            **(
                {}
                if conv_clamp is UNSET or "weight" not in own or "affine" not in children
                else {"conv_clamp": conv_clamp}
            ),
            "_parameters": {k: v for k, v in own.items() if k not in BUFFERS},
            "_buffers": {k: v for k, v in own.items() if k in BUFFERS},
            "_modules": {k: build(v, k) for k, v in children.items()},
        }
        return Node(name=title, kwargs=settings, state=inner)

    return build(state, name, **{"c_dim": 0, "img_channels": 3, **kwargs})


def tf_variables(generator):
    """Variables of the components of NVIDIA's TensorFlow generator, by their names inside the component."""
    ours = generator.state_dict()
    mapping, synthesis = [], []
    for i in range(generator.config.mapping_layers):
        mapping.append((f"Dense{i}/weight", ours[f"mapping.fc{i}.weight"].t()))
        mapping.append((f"Dense{i}/bias", ours[f"mapping.fc{i}.bias"]))
    synthesis.append(("4x4/Const/const", ours["synthesis.b4.const"][None]))
    noise = 0
    for r in sizes_of(generator):
        convs = {"Conv": "conv1"} if r == 4 else {"Conv0_up": "conv0", "Conv1": "conv1"}
        for theirs, mine in {**convs, "ToRGB": "torgb"}.items():
            b = f"synthesis.b{r}.{mine}"
            weight = ours[f"{b}.weight"].permute(2, 3, 1, 0)  # (out, in, h, w) -> (h, w, in, out)
            if theirs == "Conv0_up":
                weight = torch.flip(weight, (0, 1))
            scope = f"{r}x{r}/{theirs}"
            synthesis.append((f"{scope}/weight", weight))
            synthesis.append((f"{scope}/bias", ours[f"{b}.bias"]))
            synthesis.append((f"{scope}/mod_weight", ours[f"{b}.affine.weight"].t()))
            synthesis.append((f"{scope}/mod_bias", ours[f"{b}.affine.bias"] - 1))
            if theirs != "ToRGB":
                # TensorFlow hands out what has no axes as a number.
                synthesis.append((f"{scope}/noise_strength", ours[f"{b}.noise_strength"].item()))
                synthesis.append((f"noise{noise}", ours[f"{b}.noise_const"][None, None]))
                noise += 1
    return mapping, synthesis


def network(name, variables=(), components=None, **settings):
    state = {
        "version": 4,
        "name": name,
        "static_kwargs": settings,
        "components": components or {},
        "variables": list(variables),
    }
    return Node(name=NETWORK, state=state)


def nvidia_tf(generator, **settings):
    """(G, D, Gs), of which only Gs is whole."""
    mapping, synthesis = tf_variables(generator)
    parts = {
        "mapping": network("G_mapping", mapping),
        "synthesis": network("G_synthesis", synthesis),
    }
    variables = [("dlatent_avg", generator.w_avg), ("lod", 0.0)]
    average = network("Gs", variables, parts, resolution=generator.img_resolution, **settings)
    return (network("G"), network("D"), average)


def nvidia_tf_conditional(generator, state):
    """`nvidia_tf` with the mapping network of `conditional`."""
    networks = nvidia_tf(generator, label_size=state["mapping.embed.weight"].shape[1])
    variables = networks[2].state["components"]["mapping"].state["variables"]
    variables[0] = ("Dense0/weight", state["mapping.fc0.weight"].t())
    variables.append(("LabelEmbed/weight", state["mapping.embed.weight"].t()))
    variables.append(("LabelEmbed/bias", state["mapping.embed.bias"]))
    return networks


def psp(generator, encoder, *, opts, latent_avg, prefix=""):
    """A checkpoint of the pSp family."""
    state = {f"encoder.{prefix}{name}": value for name, value in encoder.items()}
    state |= {f"decoder.{prefix}{name}": value for name, value in rosinality(generator).items()}
    state = OrderedDict(state)
    state._metadata = OrderedDict(
        {"": {"version": 1}, "decoder": {"version": 1}}
    )  # as Module.state_dict has it
    tree = {"state_dict": state, "opts": opts}
    return tree if latent_avg is None else {**tree, "latent_avg": latent_avg}
