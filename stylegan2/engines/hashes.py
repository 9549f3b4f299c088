"""Hashes of weights, by which files in the cache are named."""

import hashlib
from collections.abc import MutableMapping

from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary


def weights_hash(module: nn.Module, *examples: Tensor) -> str:
    """Hex digest of what a converted graph depends on: structure and tensors of `module`, inputs' shapes.

    A setting that changes what a module computes, but none of its tensors, belongs into its `extra_repr`.
    """
    shapes = " ".join(f"{tuple(x.shape)} {x.dtype}" for x in examples)
    digest = hashlib.sha256(f"{module!r} {shapes}".encode())
    for name, value in module.state_dict(keep_vars=True).items():
        digest.update(name.encode())
        digest.update(_tensor_hash(value))
    return digest.hexdigest()


# Digests by tensor, with its version when they were made: graphs of one model share most of their weights.
_HASHED: MutableMapping[Tensor, tuple[int, bytes]] = WeakIdKeyDictionary()


def _tensor_hash(tensor: Tensor) -> bytes:
    version = None if tensor.is_inference() else tensor._version
    known = _HASHED.get(tensor)
    if known is not None and known[0] == version:
        return known[1]
    found = hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).digest()
    if version is not None:
        _HASHED[tensor] = version, found
    return found
