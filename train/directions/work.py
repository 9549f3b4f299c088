"""WorkFolder: what a search for edits has done so far, on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from stylegan2.aside import written_aside
from stylegan2.errors import ConfigError
from train.core.logbook import claim_folder
from train.directions.fit import Array
from train.directions.learn import LearnedWay
from train.directions.surrogate import Surrogate

OWNER = "generator.txt"


class WorkFolder:
    """Keeps every finished step of a search, so that one that was broken off goes on from there.

    Steps are told apart by number and name alone: whoever changes settings takes another folder.

    Args:
        folder: Made where missing.
        generator_sha256: Of the generator that it is for.

    Raises:
        ConfigError: It cannot be written, or holds the work on another generator.
    """

    def __init__(self, folder: Path, generator_sha256: str) -> None:
        claim_folder("work", folder)
        self._folder, owner = folder, folder / OWNER
        if not owner.is_file():
            with written_aside(owner) as partial:
                partial.write_text(generator_sha256 + "\n", encoding="utf-8")
        elif owner.read_text(encoding="utf-8").strip() != generator_sha256:
            raise ConfigError(f"work: {folder} holds a search on another generator; name another folder")

    def pool(self, make: Callable[[], tuple[Array, np.ndarray, Array]]) -> tuple[Array, np.ndarray, Array]:
        """Latents, pictures and measures of the faces that all begins with."""
        found = self._arrays("pool", lambda: dict(zip(("w", "pixels", "table"), make(), strict=True)))
        return found["w"], found["pixels"], found["table"]

    def edited(
        self, number: int, make: Callable[[], tuple[np.ndarray, Array]] | None = None
    ) -> tuple[np.ndarray, Array]:
        """Pictures and measures of faces that were edited after a round; `make` where they are not there."""

        def made() -> dict[str, np.ndarray]:
            if make is None:
                raise ConfigError(f"work: {self._folder} lacks the edited faces of round {number}")
            return dict(zip(("pixels", "table"), make(), strict=True))

        found = self._arrays(f"edited-{number}", made)
        return found["pixels"], found["table"]

    def surrogate(self, number: int, empty: Surrogate, make: Callable[[], Surrogate]) -> Surrogate:
        """The surrogate of a round: `empty` with what is kept of it, or made."""
        file = self._folder / f"surrogate-{number}.safetensors"
        if not file.is_file():
            self._save(file, make().state_dict())
        empty.load_state_dict(load_file(file))
        return empty.eval().requires_grad_(False)

    def load_way(self, number: int, name: str, way: LearnedWay) -> bool:
        """Give a way what it had learned by the end of a round; whether that is kept."""
        file = self._way(number, name)
        if not file.is_file():
            return False
        kept = load_file(file)
        with torch.no_grad():
            way.slope.copy_(kept["slope"])
            way.bend.copy_(kept["bend"])
        return True

    def save_way(self, number: int, name: str, way: LearnedWay) -> None:
        """Keep what a way has learned by the end of a round."""
        self._save(self._way(number, name), {"slope": way.slope.detach(), "bend": way.bend.detach()})

    def _way(self, number: int, name: str) -> Path:
        return self._folder / f"round-{number}-{name}.safetensors"

    def _arrays(self, name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        file = self._folder / f"{name}.npz"
        if not file.is_file():
            with written_aside(file) as partial, partial.open("wb") as out:
                np.savez(out, **make())  # type: ignore[arg-type]
        with np.load(file) as kept:
            return {key: kept[key] for key in kept.files}

    def _save(self, file: Path, tensors: dict[str, torch.Tensor]) -> None:
        with written_aside(file) as partial:
            save_file({key: value.cpu().contiguous() for key, value in tensors.items()}, partial)
