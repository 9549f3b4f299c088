"""Write networks as ONNX files, and check them with onnxruntime."""

import importlib
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2.errors import CheckpointError, EngineError

OPSET = 17
TOLERANCE = (
    1e-3  # largest difference from torch, as a share of an output's largest value where that is above 1
)
EXAMPLES = 3  # samples of every example
README = "README.md"
_TRACED, _CHECKED = 2, (1, 3)  # batch sizes: a size that the trace fixed shows when another one is run


@dataclass(frozen=True, kw_only=True)
class Graph:
    """One file to write."""

    name: str  # of the file, less its ending
    about: str  # what it does, for people
    module: nn.Module  # in evaluation mode
    inputs: Mapping[
        str, Tensor
    ]  # examples by name: `EXAMPLES` samples, or a number [] that all samples share
    outputs: tuple[str, ...]


def import_onnxruntime() -> ModuleType:
    """Import onnxruntime, with its telemetry off; the only import of it in the project.

    Raises:
        EngineError: It, or the package that torch's exporter writes with, is missing.
    """
    for name in ("onnx", "onnxruntime"):
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise EngineError(
                f"package {name!r}: not there ({error}); pip install -r requirements-export.txt brings it"
            ) from error
    module.disable_telemetry_events()  # Windows builds report otherwise
    return module


def write_graphs(
    folder: Path, graphs: Sequence[Graph], guide: str, *, force: bool = False
) -> dict[str, float]:
    """Write `graphs` with a dynamic batch and their description; all of them, or none where one fails.

    Args:
        folder: Made where missing.
        graphs: Their weights are written in float32.
        guide: Markdown for the README, below the list of files.
        force: Write into a folder that is not empty.

    Returns:
        Largest difference between torch and onnxruntime by graph, see `TOLERANCE`.

    Raises:
        CheckpointError: `folder` is not empty, or cannot be written.
        EngineError: A package is missing, or a graph differs from its network.
    """
    runtime = import_onnxruntime()
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder}: is a file; ONNX files go into a folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise CheckpointError(f"{folder}: not empty; --force writes into it all the same")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            differences, tables = {}, []
            for graph in graphs:
                file = Path(aside) / f"{graph.name}.onnx"
                _export(graph, file)
                session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
                found = max(_difference(graph, session, count) for count in _CHECKED)
                if not found <= TOLERANCE:
                    raise EngineError(
                        f"{file.name}: differs from torch by {found:.2g}; at most {TOLERANCE:g} is allowed"
                    )
                differences[graph.name] = found
                tables.append(_table(graph, session))
            (Path(aside) / README).write_text("\n".join([_HEAD, *tables, guide]), encoding="utf-8")
            for file in sorted(Path(aside).iterdir()):
                file.chmod(0o644)
                os.replace(file, folder / file.name)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error})") from error
    return differences


def _export(graph: Graph, file: Path) -> None:
    batched = [name for name, value in graph.inputs.items() if value.ndim]
    with warnings.catch_warnings():
        # The tracer warns of every shape check; `_difference` finds out whether one of them fixed the batch.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module,
            _samples(graph, _TRACED),
            file,
            # The newer exporter needs a third package, onnxscript.
            dynamo=False,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes={name: {0: "N"} for name in (*batched, *graph.outputs)},
        )


def _samples(graph: Graph, count: int) -> tuple[Tensor, ...]:
    return tuple(value[:count] if value.ndim else value for value in graph.inputs.values())


@torch.no_grad()
def _difference(graph: Graph, session: Any, count: int) -> float:  # noqa: ANN401 (imported late)
    samples = _samples(graph, count)
    expected = graph.module(*samples)
    expected = expected if isinstance(expected, tuple) else (expected,)
    # The exporter leaves out inputs that nothing depends on.
    wanted = {end.name for end in session.get_inputs()}
    named = zip(graph.inputs, samples, strict=True)
    feed = {name: value.numpy() for name, value in named if name in wanted}
    found = session.run(list(graph.outputs), feed)
    worst = 0.0
    for one, other in zip(expected, found, strict=True):
        scale = max(1.0, one.abs().max().item())
        worst = max(worst, (one - torch.from_numpy(other)).abs().max().item() / scale)
    return worst


_HEAD = f"""# Networks as ONNX files

Opset {OPSET}, float32 throughout. N is the number of pictures, any. Pictures `img` are RGB in [-1, 1]:
`img = pixels / 127.5 - 1`, and back `pixels = clip(round((img + 1) * 127.5), 0, 255)`.
"""


def _table(graph: Graph, session: Any) -> str:  # noqa: ANN401
    lines = [f"## {graph.name}.onnx", "", graph.about, "", "| | name | shape |", "| --- | --- | --- |"]
    ends = (("in", session.get_inputs()), ("out", session.get_outputs()))
    lines += [f"| {way} | `{end.name}` | {_shape(end.shape)} |" for way, values in ends for end in values]
    return "\n".join([*lines, ""])


def _shape(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(str(size) for size in shape)}]"
