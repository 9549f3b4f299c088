"""One turn of `benchmarks.peers`: a project's own code, or ours, in a fresh process; prints JSON.

python -m benchmarks.peers_turn ours|published|rosinality|nvidia|clcae WORK [FOLDER]
"""

import json
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import cpp_extension

# What `benchmarks.peers` leaves in the folder of the run.
GENERATOR, ROSINALITY, PUBLISHED = "generator.safetensors", "rosinality.pt", "clcae.pt"
STYLES, CROP, MEAN = "w.npy", "crop.npy", "w_avg.npy"
DRAWN = 6  # pictures a turn; the first is not counted
OFFSET = 0.1  # of the edit, along every number of w


def main(name: str, work: Path, folder: Path | None = None) -> None:
    """Draw, keep the first picture, and print the processor's time of the others, each in ms."""
    if folder is not None:
        sys.path.insert(0, str(folder))
    torch.set_grad_enabled(False)
    with stood_in():
        actions = TURNS[name](work)
    found = {}
    for what, draw in actions.items():
        first = draw(0)
        if not (work / f"{name}.npy").exists():
            np.save(work / f"{name}.npy", pixels(first))
        times = []
        for i in range(1, DRAWN):
            begin = time.process_time()
            draw(i)
            times.append((time.process_time() - begin) * 1e3)
        found[f"{what}, ms of processor"] = statistics.median(times)
    print(json.dumps(found))


def pixels(drawn: Tensor) -> np.ndarray:
    """A picture as img in [-1, 1], from that or from pixels uint8."""
    if drawn.dtype == torch.uint8:
        drawn = drawn.permute(0, 3, 1, 2).float() / 127.5 - 1
    return drawn.float().clamp(-1, 1).numpy()


Actions = dict[str, Callable[[int], Tensor]]


def styles(work: Path) -> Tensor:
    """W [DRAWN, w_dim]."""
    return torch.from_numpy(np.load(work / STYLES))


def ours(work: Path) -> Actions:
    """Our renderer."""
    from stylegan2.bundle.checkpoint import load_generator
    from stylegan2.engines.renderer import Renderer

    generator = load_generator(work / GENERATOR)
    renderer = Renderer(generator, engine="openvino")
    ws = generator.broadcast(styles(work)).contiguous()
    return {"a picture": lambda i: renderer.render(ws[i : i + 1])}


def rosinality(work: Path) -> Actions:
    """Rosinality's generator."""
    from model import Generator  # type: ignore[import-not-found]

    state = torch.load(work / ROSINALITY, weights_only=True)["g_ema"]
    generator = Generator(2 ** (len(state_sides(state)) + 1), 512, 8)
    generator.load_state_dict(state)
    w = styles(work)
    return {"a picture": lambda i: generator([w[i : i + 1]], input_is_latent=True, randomize_noise=False)[0]}


def state_sides(state: dict[str, Tensor]) -> list[str]:
    """Names of the layers' colours, one for each resolution from 4 px."""
    return [name for name in state if name.startswith("to_rgb") and name.endswith("conv.weight")]


def nvidia(work: Path) -> Actions:
    """NVIDIA's generator."""
    from training.networks import Generator  # type: ignore[import-not-found]

    from stylegan2.bundle.checkpoint import load_generator

    mine = load_generator(work / GENERATOR)
    generator = Generator(
        z_dim=512,
        c_dim=0,
        w_dim=512,
        img_resolution=mine.img_resolution,
        img_channels=3,
        mapping_kwargs={"num_layers": 8},
        synthesis_kwargs={"channel_base": 32768, "channel_max": 512, "num_fp16_res": 0},
    )
    lacking, unknown = generator.load_state_dict(theirs(mine.state_dict()), strict=False)
    if unknown or any(not name.endswith("resample_filter") for name in lacking):
        raise SystemExit(f"NVIDIA's generator lacks {lacking}, and does not know {unknown}")
    generator.eval()
    ws = mine.broadcast(styles(work)).contiguous()
    return {"a picture": lambda i: generator.synthesis(ws[i : i + 1], noise_mode="const")}


def theirs(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors by NVIDIA's names."""
    return {"mapping.w_avg" if name == "w_avg" else name: value for name, value in state.items()}


def crop(work: Path) -> np.ndarray:
    """A picture [1024, 1024, 3] uint8."""
    return np.load(work / CROP)


def published(work: Path) -> Actions:
    """Ours, of CLCAE's file, as the product opens it."""
    from editor.model.opening import open_model
    from stylegan2.bundle.opening import load_bundle

    opened = open_model(load_bundle(work / PUBLISHED), device="cpu", engine="openvino")
    inverter, decoder = opened.inverter, opened.decoder
    face = torch.from_numpy(crop(work))[None]
    kept = inverter.invert(face)
    np.save(work / MEAN, opened.generator.w_avg.numpy()[None])
    return {
        "inversion and picture": lambda _: decoder.draw(inverter.invert(face), "f"),
        "one more edit": lambda i: decoder.draw(kept, "f", lambda ws: ws + OFFSET * i),
    }


def clcae(work: Path) -> Actions:
    """CLCAE's own code, as its scripts for inversion and for edits call it."""
    from models.attention_feature_psp import AFPSP  # type: ignore[import-not-found]

    kept = torch.load(work / PUBLISHED, weights_only=True, mmap=True)["state_dict"]
    options = Namespace(
        encoder_type="GradualStyleEncoder",
        input_nc=3,
        n_styles=18,
        output_size=1024,
        not_for_feature=False,
        not_for_ww=False,
        idx_k=None,
        no_res=False,
        dataset_type="ffhq_encode_inversion",
        device="cpu",
        checkpoint_path_af=None,
        no_w_attention=False,
        no_feature_attention=False,
    )
    net = AFPSP(options).eval()
    net.load_state_dict(kept, strict=False)
    net.latent_avg = torch.from_numpy(np.load(work / MEAN))
    mean = net.latent_avg.repeat(1, 18, 1)
    drawn = net.decoder([mean], input_is_latent=True, randomize_noise=False, return_features=True)[0]
    average = net.face_pool(drawn)
    img = torch.from_numpy(crop(work)).permute(2, 0, 1)[None].float() / 127.5 - 1
    img = F.interpolate(img, size=(256, 256), mode="area")
    call = {"randomize_noise": False, "resize": False, "interation": 1.0, "return_features": True}

    def edited(i: int) -> Tensor:
        net(img, average, **call)
        offset = torch.full((1, 18, 512), OFFSET * i)
        return net(img, average, edit_offset=offset, **call)[0]  # type: ignore[no-any-return]

    return {
        "inversion and picture": lambda _: net(img, average, **call)[0],
        "one more edit": edited,
    }


TURNS: dict[str, Callable[[Path], Actions]] = {
    "ours": ours,
    "published": published,
    "rosinality": rosinality,
    "nvidia": nvidia,
    "clcae": clcae,
}


@contextmanager
def stood_in() -> Iterator[None]:
    """Let modules load that build operators for CUDA, or move to it, as they are imported."""

    def load(*_: object, **__: object) -> Any:
        return SimpleNamespace(fused_bias_act=fused_bias_act, upfirdn2d=upfirdn2d)

    for name in ("requests", "timm"):  # asked for at import; nothing is downloaded or trained here
        if find_spec(name) is None:
            sys.modules |= dict.fromkeys((name, f"{name}.models", f"{name}.models.layers"), MagicMock())
    kept = cpp_extension.load, nn.Module.cuda
    cpp_extension.load, nn.Module.cuda = load, lambda module, *_: module  # type: ignore[assignment]
    try:
        yield
    finally:
        cpp_extension.load, nn.Module.cuda = kept  # type: ignore[method-assign]


def fused_bias_act(
    x: Tensor, bias: Tensor, _: Tensor, __: int, ___: int, slope: float, scale: float
) -> Tensor:
    """What the operator of that name computes, by torch."""
    return F.leaky_relu(x + bias.view(1, -1, *[1] * (x.ndim - 2)), slope) * scale


def upfirdn2d(x: Tensor, kernel: Tensor, *numbers: int) -> Tensor:
    """What the operator of that name computes, by the slow one beside it."""
    slow = next(m for name, m in list(sys.modules.items()) if name.endswith("op.upfirdn2d"))
    slow.F = F  # CLCAE's copy does not import it
    return slow.upfirdn2d_native(x, kernel, *numbers)  # type: ignore[no-any-return]


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
