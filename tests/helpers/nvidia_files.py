"""Pickles as NVIDIA's code writes them, under their modules' names, without their code."""

import pickle
import sys
from types import ModuleType

import numpy as np
import torch

from tests.helpers import layout_writers as write


class EasyDict(dict):
    """Theirs is a dict whose items are attributes too."""


class Persistent(torch.nn.Module):
    """A module that keeps its class's source in the file and asks for it to be run on reading."""

    def __init__(self, class_name, init_kwargs):
        super().__init__()
        self.class_name = class_name
        self._init_args = ()
        self._init_kwargs = EasyDict(init_kwargs)

    def __reduce__(self):
        state = {name: value for name, value in self.__dict__.items() if name != "class_name"}
        meta = EasyDict(
            type="class",
            version=6,
            module_src="raise SystemExit('the source was run')",
            class_name=self.class_name,
            state=state,
        )
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)


class Network:
    """Their TensorFlow network: on reading it would run the source that it keeps."""

    def __init__(self, state):
        self.state = state

    def __getstate__(self):
        return self.state


def _reconstruct_persistent_obj(meta):
    raise AssertionError("a class of the file was rebuilt")


def install(monkeypatch):
    """Make the classes above go by NVIDIA's names while files are written."""
    homes = {
        "torch_utils.persistence": [_reconstruct_persistent_obj],
        "dnnlib.util": [EasyDict],
        "dnnlib.tflib.network": [Network],
    }
    for home, members in homes.items():
        module = ModuleType(home)
        for member in members:
            monkeypatch.setattr(member, "__module__", home)
            setattr(module, member.__name__, member)
        names = home.split(".")
        for i in range(1, len(names)):
            parent = ".".join(names[:i])
            monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
        monkeypatch.setitem(sys.modules, home, module)


def generator_module(generator, **settings):
    """A persistent `Generator` with nested persistent modules, and a plain torch one among them."""
    root = Persistent("Generator", {"z_dim": generator.z_dim, "c_dim": 0, **settings})
    for path, value in write.nvidia_state(generator).items():
        *parents, leaf = path.split(".")
        home = root
        for name in parents:
            if name not in home._modules:
                home.add_module(name, Persistent(name, {}))
            home = home._modules[name]
        if leaf in write.BUFFERS:
            home.register_buffer(leaf, value.clone())
        else:
            home.register_parameter(leaf, torch.nn.Parameter(value.clone()))
    root.add_module("extra", torch.nn.ModuleList([torch.nn.Identity()]))
    return root


def write_ada(generator, path):
    """`network-snapshot.pkl` of StyleGAN2-ADA."""
    parts = {
        "G": generator_module(generator),
        "D": torch.nn.Linear(2, 2),
        "G_ema": generator_module(generator),
        "augment_pipe": None,
        "training_set_kwargs": EasyDict(resolution=generator.img_resolution, max_size=np.int64(7)),
    }
    path.write_bytes(pickle.dumps(parts))


def tf_value(value):
    """What a TensorFlow session gives for a variable: an array, or a scalar of numpy where it has no axes."""
    return np.float32(value) if isinstance(value, float) else value.contiguous().numpy()


def tf_network(node):
    """A network to pickle, of the inert one that `layout_writers` makes."""
    parts = {name: tf_network(part) for name, part in node.state["components"].items()}
    variables = [(name, tf_value(value)) for name, value in node.state["variables"]]
    source = "raise SystemExit('the source was run')"
    state = {**node.state, "components": parts, "variables": variables, "build_module_src": source}
    return Network({**state, "build_func_name": "G_main", "static_kwargs": EasyDict(state["static_kwargs"])})


def write_tf(generator, path):
    """`stylegan2-ffhq-config-f.pkl`."""
    networks = tuple(tf_network(node) for node in write.nvidia_tf(generator))
    path.write_bytes(pickle.dumps(networks, protocol=2))
