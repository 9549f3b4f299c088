"""Found: what a weights file holds, in the generator's own names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from torch import Tensor

from stylegan2.network.config import GeneratorConfig
from stylegan2.reading.document import Tree

State: TypeAlias = dict[str, Tensor]
Layout = Literal[
    "ours",
    "rosinality",
    "basicsr",
    "mmgen",
    "genforce",
    "nvidia-torch",
    "nvidia-state",
    "nvidia-tf",
    "pti",
    "psp",
    "e4e",
    "restyle",
    "hyperstyle",
    "hfgi",
    "style-transformer",
    "sfe",
    "styleclip-mapper",
    "styleres",
    "clcae",
    "clcae-contrastive",
]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The parts of one file. Its tensors may be read-only views of the file: copy before writing to them."""

    path: Path
    container: str  # see `stylegan2.reading.document.Container`
    layout: Layout
    generator: State | None = None  # by our names, dtypes as stored; None: it has none
    config: GeneratorConfig | None = None  # None exactly where `generator` is
    generator_entries: int = 0  # the file's entries that make the generator, constant filters included
    class_number: int | None = None  # that a conditional generator was made to draw
    w_avg: Literal["file"] | None = None  # whether `generator` has its `mapping.w_avg` from the file
    opts: Mapping[str, Any] = field(default_factory=dict)  # the file's settings, plain values only
    encoder: State = field(default_factory=dict)  # by the file's names, less `encoder.`; contrastive: all
    encoder_kind: str | None = None  # in words
    missing: tuple[str, ...] = ()  # the generator's tensors that the file lacks, by the file's names
    misfits: tuple[str, ...] = ()  # "name: found [..], expected [..]", shapes as in our layout
    left_over: tuple[str, ...] = ()  # the file's entries that nothing here uses
    notes: tuple[str, ...] = ()  # what was assumed or changed, in words

    @property
    def generator_parameters(self) -> int:
        """Numbers in the generator's trained tensors (noise pictures and `w_avg` are not trained)."""
        state = self.generator or {}
        fixed = ("noise_const", "w_avg")
        return sum(value.numel() for name, value in state.items() if not name.endswith(fixed))

    @property
    def encoder_parameters(self) -> int:
        """Numbers in the encoder's tensors."""
        return sum(value.numel() for value in self.encoder.values())


_DEEPEST = 4
_NOT_PLAIN = object()


def plain_settings(value: Tree) -> dict[str, Any]:
    """None, bool, int, float, str, lists and dicts of `value`; empty where it is no mapping."""
    found = _plain(value, 0) if isinstance(value, Mapping) else {}
    return found if isinstance(found, dict) else {}


def _plain(value: Tree, depth: int) -> Tree:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth < _DEEPEST and isinstance(value, list | tuple):
        items = [_plain(item, depth + 1) for item in value]
        return [item for item in items if item is not _NOT_PLAIN]
    if depth < _DEEPEST and isinstance(value, Mapping):
        entries = {str(name): _plain(item, depth + 1) for name, item in value.items()}
        return {name: item for name, item in entries.items() if item is not _NOT_PLAIN}
    return _NOT_PLAIN
