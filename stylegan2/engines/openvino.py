"""OpenVINO on the CPU: several times faster than torch there, without a compiler."""

import mmap
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.engines.cache import cache_folder
from stylegan2.engines.hashes import weights_hash
from stylegan2.engines.int8 import Int8, in_int8, int8_for, int8_of
from stylegan2.errors import EngineError
from stylegan2.network.folded import FoldedSynthesis

# Part of the cache key: raise it when the conversion changes.
GRAPH_VERSION = 5
LARGE = 512  # px of a model from which it is exported
# Tracing keeps state of its own: two conversions at once disturb each other. Each also keeps its weights
# several times over until it is done.
_CONVERSION = threading.Lock()
_LOADING = threading.Lock()  # one after the other is sooner ready with the first
_HASHES = ".sha256"  # ending of the file beside a compiled graph that says what it must be


def import_openvino() -> ModuleType:
    """Import OpenVINO with its telemetry package blocked; the only import of it in the project.

    `openvino` reports its use through the package `openvino_telemetry` as soon as it is imported. An entry
    of None in `sys.modules` makes that import fail, and OpenVINO then falls back to its own stub, which sends
    nothing.

    Raises:
        EngineError: OpenVINO is not installed or does not load.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise EngineError(f"OpenVINO does not load on this machine ({error})") from error
    module: ModuleType = openvino
    return module


def inference_precision(capabilities: Sequence[str], processor: Mapping[str, Any] | None = None) -> str:
    """OpenVINO's name of the fastest number format.

    f16 has 11 bits, bf16 the 8 that pictures have themselves. Latents that are found in bf16 are those of
    f32 to a hundredth of an edit's unit (`docs/architecture.md`).

    x86 processors whose vectors know f16, but not their matrix units (AVX512-FP16 without AMX-FP16, as all
    Xeons of the 4th and 5th generation), draw more slowly in f16 than in f32: it is passed over there.

    Args:
        capabilities: What the CPU computes in natively, in OpenVINO's words.
        processor: Its instruction sets, in torch's words; None for this machine's.
    """
    processor = torch.cpu.get_capabilities() if processor is None else processor
    vectors_only = processor.get("avx512_fp16") and not processor.get("amx_fp16")
    if "FP16" in capabilities and not vectors_only:
        return "f16"
    return "bf16" if "BF16" in capabilities else "f32"


@dataclass(frozen=True)
class _Library:
    """OpenVINO as this machine runs it; there is one for all graphs."""

    openvino: ModuleType
    core: Any
    precision: str
    int8: Int8

    @property
    def suffix(self) -> str:
        """What a compiled graph depends on beside its module: part of its file's name."""
        return f"{self.openvino.__version__.split('-')[0]}-{GRAPH_VERSION}-{self.precision}"

    @property
    def settings(self) -> dict[str, str]:
        """Of every compilation."""
        return {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": self.precision}


@cache
def _library(openvino: ModuleType) -> _Library:
    core = openvino.Core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    int8 = int8_of(torch.cpu.get_capabilities())
    return _Library(openvino, core, inference_precision(capabilities), int8)


class OpenVINOEngine:
    """Run the module with OpenVINO, one sample at a time, in the format that `inference_precision` names.

    Args:
        module: In evaluation mode; batch size 1 must do for its trace.
        examples: One input [1, ...] each.
        folder: Where to keep converted graphs; None for `cache_folder()`.
        kept: Told, as soon as it is known, whether the graph is there already, which saves the conversion.

    Raises:
        EngineError: OpenVINO is missing, or refuses the module.
    """

    def __init__(
        self,
        module: nn.Module,
        examples: tuple[Tensor, ...],
        *,
        folder: Path | None = None,
        kept: Callable[[bool], object] = lambda kept: None,
    ) -> None:
        openvino = import_openvino()
        try:
            library, folder = _library(openvino), folder or cache_folder()
            int8 = int8_for(module, library.int8, folder)
            name = f"{weights_hash(module, *examples)[:32]}-{library.suffix}-{int8}.blob"
            self._compiled = _Compiled(library, folder / name, int8)
            kept(self._compiled.kept)
            self._request = self._compiled.model(module, examples).create_infer_request()
        except EngineError:
            raise
        except Exception as error:  # OpenVINO raises bare RuntimeError and its own kinds alike
            reason = (str(error).splitlines() or ["no reason given"])[0]  # the rest fills pages
            raise EngineError(f"OpenVINO refuses this model ({type(error).__name__}: {reason})") from error
        beside = "" if int8 == "none" else " and int8"
        self._name, self._examples = f"OpenVINO cpu {library.precision}{beside}", examples
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """For example "OpenVINO cpu f16"."""
        return self._name

    def settle(self) -> None:
        """Run for the first time, which allocates, and let go of what only the compilation has read.

        Until then a graph takes the memory of its weights twice.
        """
        self(*self._examples)
        self._compiled.forget_file()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the module on each sample of `inputs`."""
        with self._lock:
            samples = [self._infer([x[i : i + 1] for x in inputs]) for i in range(len(inputs[0]))]
        if len(samples) == 1:  # torch.cat would wake torch's threads, which then spin beside OpenVINO's
            return tuple(samples[0])
        return tuple(torch.cat(parts) for parts in zip(*samples, strict=True))

    def _infer(self, inputs: list[Tensor]) -> list[Tensor]:
        found = self._request.infer({i: x.contiguous().numpy() for i, x in enumerate(inputs)})
        return [torch.from_numpy(found[i].copy()) for i in range(len(found))]


class _Compiled:
    """A graph that is ready to run, by a file of the cache where there is one.

    Args:
        library: Compiles.
        file: Where the compiled graph is kept.
        int8: What is computed in 8 bits.
    """

    def __init__(self, library: _Library, file: Path, int8: Int8) -> None:
        self._library, self._file, self._int8 = library, file, int8
        self._mapped: mmap.mmap | None = None  # the file; the graph reads constants there as long as it lives

    @property
    def kept(self) -> bool:
        """Whether there is a file of it; a damaged one counts too."""
        return self._file.exists()

    def model(self, module: nn.Module, examples: tuple[Tensor, ...]) -> Any:  # noqa: ANN401
        """The compiled graph of `module`."""
        if _is_whole(self._file):
            try:
                with _LOADING:
                    return self._mapped_model()
            except RuntimeError:
                pass  # of another build of OpenVINO, or another machine: convert again
        with _CONVERSION:
            graph = self._converted(module, examples)
            try:
                self._save(graph)
                # From the file, whose weights are halved: the first start draws what every later one does.
                return self._mapped_model()
            except (OSError, RuntimeError):  # OpenVINO says the second where a disk is full
                # It costs the next start some seconds, nothing else.
                return self._library.core.compile_model(graph, "CPU", self._library.settings)

    def forget_file(self) -> None:
        """Let the system take back what was read of the file; what is needed again is read again."""
        if self._mapped is not None and hasattr(mmap, "MADV_DONTNEED"):  # not there on Windows
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def _converted(self, module: nn.Module, examples: tuple[Tensor, ...]) -> Any:  # noqa: ANN401
        convert, shapes = self._library.openvino.convert_model, [list(x.shape) for x in examples]
        module = in_int8(module, self._int8)  # a copy: tracing what another thread runs is not safe
        with warnings.catch_warnings(), torch.no_grad():
            # The tracer warns of every shape check, which a fixed shape makes constant.
            warnings.simplefilter("ignore")
            if _draws_large(module):
                return convert(torch.export.export(module, examples, strict=False), input=shapes)
            return convert(module, example_input=examples, input=shapes)

    def _mapped_model(self) -> Any:  # noqa: ANN401
        with self._file.open("rb") as file:
            # Mapped, so that the weights are no copy; as one that may be written, which OpenVINO asks for.
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        data = self._library.openvino.Tensor(np.frombuffer(self._mapped, np.uint8), shared_memory=True)
        return self._library.core.import_model(data, "CPU", self._library.settings)

    def _save(self, graph: Any) -> None:  # noqa: ANN401
        """Write the compiled graph aside, then move it to its place, its hash last: no reader takes half."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._file.parent) as folder:
            halved, fresh = Path(folder) / "graph.xml", Path(folder) / self._file.name
            self._library.openvino.save_model(graph, halved, compress_to_fp16=True)
            compiled = self._library.core.compile_model(halved, "CPU", self._library.settings)
            fresh.write_bytes(compiled.export_model().getbuffer())
            _hash_of(fresh).write_text(file_sha256(fresh), encoding="utf-8")
            os.replace(fresh, self._file)
            os.replace(_hash_of(fresh), _hash_of(self._file))


def _draws_large(module: nn.Module) -> bool:
    """Whether it is sooner exported than traced: a trace runs it, and takes the memory of what it draws."""
    drawing = (part for part in module.modules() if isinstance(part, FoldedSynthesis))
    return any(part.resolutions[-1] >= LARGE for part in drawing)


def _is_whole(file: Path) -> bool:
    """Whether a compiled graph is there as it was written: OpenVINO does not notice other weights."""
    try:
        return _hash_of(file).read_text(encoding="utf-8") == file_sha256(file)
    except (OSError, UnicodeDecodeError):
        return False


def _hash_of(file: Path) -> Path:
    return file.with_suffix(_HASHES)
