"""LatentShards: the latents of many faces, as safetensors with the faces' names."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from editor.session import EditSession
from stylegan2.aside import write_whole

FACES = 64  # of a shard; a face in F takes about a megabyte


class LatentShards:
    """Gather latents, and write them shard by shard.

    Args:
        folder: Where to.
        part: Which of several processes this is, from 0.
        facts: Kept in each shard's metadata, as text.
        known: Shards that are done; others, of a run that was killed, are written over.
    """

    def __init__(self, folder: Path, part: int, facts: Mapping[str, str], known: Collection[str]) -> None:
        self._folder, self._part, self._facts = folder, part, dict(facts)
        self._count = sum(name.startswith(f"latents-{part}-") for name in known)
        self._faces: list[tuple[str, EditSession]] = []

    def __len__(self) -> int:
        """Faces that wait to be written."""
        return len(self._faces)

    def add(self, name: str, sessions: Sequence[EditSession]) -> None:
        """Take a photo's faces, unedited."""
        self._faces += [(f"{name}#{session.face}", session) for session in sessions]

    def write(self) -> str | None:
        """Write what was gathered, and gather anew; the shard's name, None where there was nothing.

        Tensors are `w` [N, w_dim], `ws` [N, num_ws, w_dim], and of a model with refiners `f_ws`
        [N, num_ws, w_dim] and `f` [N, code, R, R]; metadata has `names`, JSON: "PHOTO#FACE" of each.
        """
        if not self._faces:
            return None
        inversions = [session.inversion for _, session in self._faces]
        tensors: dict[str, Tensor] = {
            "w": torch.cat([each.w for each in inversions]),
            "ws": torch.cat([each.ws for each in inversions]),
        }
        features = [each.f for each in inversions if each.f is not None]
        if len(features) == len(inversions):
            tensors["f_ws"] = torch.cat([each.ws for each in features])
            tensors["f"] = torch.cat([each.code for each in features]).half()
        names = [name for name, _ in self._faces]
        kept: dict[str, Any] = {name: each.contiguous() for name, each in tensors.items()}
        file = self._folder / f"latents-{self._part}-{self._count:05d}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, save(kept, {**self._facts, "names": json.dumps(names)}))
        self._faces, self._count = [], self._count + 1
        return file.name
