"""A small ONNX graph as a differentiable torch module."""

from pathlib import Path
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from google.protobuf.message import DecodeError
from onnx import NodeProto, numpy_helper
from torch import Tensor, nn

from stylegan2.errors import CheckpointError

SUPPORTED = ("Add", "Conv", "PRelu", "Reshape")


class OnnxModule(nn.Module):
    """One input, one output, and nothing but Conv, PRelu, Add and Reshape between: what MobileFaceNet needs.

    The initialisers become buffers: they move with `.to()` and get no gradient, the input does.

    Raises:
        CheckpointError: The graph has another operator, several inputs or outputs, or uneven padding.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        super().__init__()
        names = {tensor.name for tensor in graph.initializer}
        inputs = [value.name for value in graph.input if value.name not in names]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise CheckpointError(
                f"ONNX graph: {len(inputs)} inputs and {len(graph.output)} outputs; one of each is supported"
            )
        self.input_name, self.output_name = inputs[0], graph.output[0].name
        self.buffer_names = {}
        for index, tensor in enumerate(graph.initializer):
            self.buffer_names[tensor.name] = f"constant_{index}"
            self.register_buffer(f"constant_{index}", torch.from_numpy(numpy_helper.to_array(tensor).copy()))
        self.steps = [_step(node) for node in graph.node]

    def forward(self, x: Tensor) -> Tensor:
        """Run the graph on `x`, of the shape that the graph's input has, any batch size."""
        values = {name: self.get_buffer(buffer) for name, buffer in self.buffer_names.items()}
        values[self.input_name] = x
        for operator, sources, target, settings in self.steps:
            values[target] = _apply(operator, [values[name] for name in sources], settings, len(x))
        return values[self.output_name]


def load_onnx(path: Path) -> OnnxModule:
    """Read an ONNX file.

    Raises:
        CheckpointError: The file is missing, damaged, or uses more than `OnnxModule` supports.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable ONNX model ({error})") from error
    try:
        return OnnxModule(model.graph).eval()
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _step(node: NodeProto) -> tuple[str, list[str], str, dict[str, Any]]:
    if node.op_type not in SUPPORTED:
        raise CheckpointError(f"ONNX operator {node.op_type}; supported: {', '.join(SUPPORTED)}")
    settings = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    pads = settings.get("pads", [0, 0, 0, 0])
    if node.op_type == "Conv" and (pads[:2] != pads[2:] or settings.get("auto_pad", b"NOTSET") != b"NOTSET"):
        raise CheckpointError(f"ONNX Conv with pads {pads}; only equal pads on opposite sides are supported")
    return node.op_type, list(node.input), node.output[0], settings


def _apply(operator: str, sources: list[Tensor], settings: dict[str, Any], batch: int) -> Tensor:
    if operator == "Conv":
        return F.conv2d(
            sources[0],
            sources[1],
            sources[2] if len(sources) > 2 else None,
            stride=settings.get("strides", [1, 1]),
            padding=settings.get("pads", [0, 0])[:2],
            dilation=settings.get("dilations", [1, 1]),
            groups=settings.get("group", 1),
        )
    if operator == "PRelu":
        return F.prelu(sources[0], sources[1].flatten())
    if operator == "Add":
        return sources[0] + sources[1]
    # The file fixes the batch to 1; every other axis is the file's.
    return sources[0].reshape(batch, *sources[1].tolist()[1:])
