"""Names and shapes of published checkpoints, from their description and not from our networks."""

import torch

from stylegan2.network.config import GeneratorConfig
from stylegan2.network.generator import Generator
from tests.helpers import layout_writers as write

PUBLISHED = (64, 64, 128, 256, 512)
TOY = (16, 16, 32, 48, 64)
UNITS = (3, 4, 14, 3)


def norm(name, width, *, batch=True):
    shapes = {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    if batch:
        running = {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}
        shapes |= {**running, f"{name}.num_batches_tracked": ()}
    return shapes


def linear(name, out, inputs):
    return {f"{name}.weight": (out, inputs), f"{name}.bias": (out,)}


def conv(name, out, inputs, side=3):
    return {f"{name}.weight": (out, inputs, side, side), f"{name}.bias": (out,)}


def residual(channels, inputs=3):
    shapes = {"input_layer.0.weight": (channels[0], inputs, 3, 3), **norm("input_layer.1", channels[0])}
    shapes["input_layer.2.weight"] = (channels[0],)
    number, below = 0, channels[0]
    for width, count in zip(channels[1:], UNITS, strict=True):
        for _ in range(count):
            body = f"body.{number}"
            if below != width:
                shapes[f"{body}.shortcut_layer.0.weight"] = (width, below, 1, 1)
                shapes |= norm(f"{body}.shortcut_layer.1", width)
            shapes |= norm(f"{body}.res_layer.0", below)
            shapes[f"{body}.res_layer.1.weight"] = (width, below, 3, 3)
            shapes[f"{body}.res_layer.2.weight"] = (width,)
            shapes[f"{body}.res_layer.3.weight"] = (width, width, 3, 3)
            shapes |= norm(f"{body}.res_layer.4", width)
            shapes[f"{body}.res_layer.5.fc1.weight"] = (width // 16, width, 1, 1)
            shapes[f"{body}.res_layer.5.fc2.weight"] = (width, width // 16, 1, 1)
            number, below = number + 1, width
    return shapes


def trunk(channels, inputs=3):
    shapes = residual(channels, inputs) | conv("latlayer1", channels[4], channels[3], 1)
    return shapes | conv("latlayer2", channels[4], channels[2], 1)


def style(name, width, steps):
    shapes = linear(f"{name}.linear", width, width)
    for i in range(steps):
        shapes |= conv(f"{name}.convs.{2 * i}", width, width)
    return shapes


def attention(name, width, hidden):
    shapes = {f"{name}.multihead_attn.in_proj_weight": (3 * width, width)}
    shapes[f"{name}.multihead_attn.in_proj_bias"] = (3 * width,)
    shapes |= linear(f"{name}.multihead_attn.out_proj", width, width)
    shapes |= linear(f"{name}.linear1", hidden, width) | linear(f"{name}.linear2", width, hidden)
    for i in (1, 2, 3):
        shapes |= norm(f"{name}.norm{i}", width, batch=False)
    return shapes


def clcae(num_ws, channels=PUBLISHED, hidden=1024):
    width = channels[4]
    shapes = trunk(channels) | style("styles.0", width, 4)
    for j in range(num_ws - 1):
        shapes |= style(f"styles_others.{j}", width, 4 if j < 2 else 5 if j < 6 else 6)
    for k in range(num_ws):
        shapes |= attention(f"cross_attention.{k}", width, hidden)
    shapes |= attention("feature_cross_attention", width, hidden)
    return shapes | conv("content_layer.convs.0", width, width) | conv("content_layer.convs.2", width, width)


def single_w(channels=PUBLISHED):
    """Of the encoders into one style: IR-SE50 and a matrix behind the mean over its last map."""
    return residual(channels) | linear("linear", channels[4], channels[4])


def psp(num_ws, channels=PUBLISHED):
    shapes = trunk(channels)
    for k in range(num_ws):
        shapes |= style(f"styles.{k}", channels[4], 4 if k < 3 else 5 if k < 7 else 6)
    return shapes


def projection(name, width):
    weights = {f"{name}.lin1.weight": (width, width), f"{name}.lin2.weight": (width, width)}
    return weights | norm(f"{name}.bn", width)


def contrastive_image(channels=PUBLISHED):
    inner = trunk(channels) | style("styles.0", channels[4], 4)
    shapes = {"logit_scale": (), **{f"encoder.{name}": shape for name, shape in inner.items()}}
    return shapes | projection("image_projection", channels[4])


def contrastive_latent(width=512, hidden=1024):
    shapes = {"pos_embedding": (1, 1, width)}
    for name in ("coarse", "medium", "fine"):
        shapes[f"{name}.self_attn.in_proj_weight"] = (3 * width, width)
        shapes[f"{name}.self_attn.in_proj_bias"] = (3 * width,)
        shapes |= linear(f"{name}.self_attn.out_proj", width, width)
        shapes |= linear(f"{name}.linear1", hidden, width) | linear(f"{name}.linear2", width, hidden)
        shapes |= norm(f"{name}.norm1", width, batch=False) | norm(f"{name}.norm2", width, batch=False)
    return shapes | projection("latent_projection", width)


def unfilled(shapes):
    """Tensors of these shapes that take no memory."""
    return {name: torch.zeros((), dtype=dtype_of(name)).expand(shape) for name, shape in shapes.items()}


def filled(shapes, seed=0):
    """Random tensors under which activations keep their size, and every one of which matters."""
    chance = torch.Generator().manual_seed(seed)
    out = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            out[name] = torch.tensor(7)
            continue
        value = torch.randn(shape, generator=chance)
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            value = 1 + 0.1 * value.abs()
        elif len(shape) == 1:
            value = 0.1 * value
        elif len(shape) in (2, 4) and not name.endswith(".linear.weight"):
            value *= value[0].numel() ** -0.5
        out[name] = value
    return out


def dtype_of(name):
    return torch.int64 if name.endswith("num_batches_tracked") else torch.float32


def toy_generator(resolution=32, width=64):
    """With styles and a 16 px activation as wide as the toy encoders'."""
    torch.manual_seed(0)
    sizes = [r for r in (4, 8, 16, 32, 64) if r <= resolution]
    config = GeneratorConfig(
        img_resolution=resolution,
        z_dim=width,
        w_dim=width,
        mapping_layers=2,
        channels={r: width if r <= 16 else 12 for r in sizes},
    )
    generator = Generator(config)
    for name, value in generator.named_parameters():
        if name.endswith(("bias", "noise_strength")):
            value.data += 0.2 * torch.randn_like(value)
    generator.w_avg.copy_(torch.randn(width))
    return generator.eval().requires_grad_(False)


OPTS = {
    "clcae": {"dataset_type": "ffhq_encode_inversion", "device": torch.device("cpu"), "learn_in_w": True},
    "psp": {"output_size": 32, "start_from_latent_avg": True, "device": "cuda"},
    "e4e": {"stylegan_size": 32, "encoder_type": "Encoder4Editing", "start_from_latent_avg": True},
}


def toy_shapes(kind, num_ws=8):
    return clcae(num_ws, TOY, hidden=48) if kind == "clcae" else psp(num_ws, TOY)


def tree(kind, encoder, generator):
    """What `torch.save` wrote: CLCAE's files have no `latent_avg`, pSp's a row for each layer."""
    mean = None if kind == "clcae" else generator.w_avg.repeat(generator.num_ws, 1)
    whole = write.psp(generator, encoder, opts=OPTS[kind], latent_avg=mean)
    return {**whole, "iter": 5.0} if kind == "clcae" else whole
