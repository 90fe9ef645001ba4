"""Writes an ONNX graph node by node, its weights in a file beside it. Knows no architecture."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from encoder.backends.int8 import Int8

GRAPH_FILE, WEIGHTS_FILE = "graph.onnx", "weights.bin"
OPSET, IR_VERSION = 20, 9
MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's own operators, version 1."""
INPUT_IDS, ATTENTION_MASK, EMBEDDINGS = "input_ids", "attention_mask", "embeddings"
ALIGNMENT = 4096
"""Bytes; ONNX Runtime maps external weights into memory page by page."""


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear layer of a graph: its name, the tensor that goes into it, its weight `(out, in)`, and what no input is less than."""

    name: str
    x: str
    weight: NDArray[np.float32]
    least: float | None


@dataclass(frozen=True)
class Style:
    """How a graph is written: `fused` with ONNX Runtime's own operators or with standard ones only, and what of it is in `int8`.

    `watched` makes the inputs of the linear layers outputs of the graph too.
    """

    fused: bool = True
    int8: Int8 | None = None
    watched: bool = False


FP32 = Style()


class GraphWriter:
    """A graph from int64 `input_ids` and `attention_mask` `(batch, length)` to float32 `embeddings` `(batch, dim)`.

    Weights go to a file of their own as they come, because a protobuf message holds 2 GB at most and memory perhaps less.
    """

    def __init__(self, folder: Path, style: Style = FP32) -> None:
        self.style = style
        self.quantised: dict[str, list[tuple[str, ...]]] = {}
        """By name of a tensor: what holds it in int8. Layers side by side share it."""
        self.even: set[str] = set()
        """Tensors that come divided as the int8 layers which take them want."""
        self.linear_layers: list[Linear] = []
        """Those written so far."""
        self._folder = folder
        self._nodes: list[Any] = []
        self._initialisers: list[Any] = []
        self._weights = (folder / WEIGHTS_FILE).open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._weights.close()

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node and returns the name of its one output; an input `""` is left out."""
        return self.outputs(operator, *inputs, wanted=(0,), **attributes)[0]

    def outputs(self, operator: str, *inputs: str, wanted: tuple[int, ...], **attributes: Any) -> list[str]:
        """Adds a node of several outputs and returns the names of the `wanted` ones, which ascend."""
        name = f"{operator.lower()}_{len(self._nodes)}"
        outputs = [f"{name}_{place}" if place in wanted else "" for place in range(wanted[-1] + 1)]
        self._nodes.append(helper.make_node(operator, list(inputs), outputs, name=name, **attributes))
        return [output for output in outputs if output]

    def floats(self, values: ArrayLike) -> str:
        """A small float32 constant, kept in the graph itself."""
        return self._constant(np.asarray(values, np.float32))

    def integers(self, *values: int) -> str:
        """A one-dimensional int64 constant, such as a shape or a list of axes."""
        return self._constant(np.asarray(values, np.int64))

    def bytes(self, value: int) -> str:
        """A uint8 number, such as a zero point."""
        return self._constant(np.asarray(value, np.uint8))

    def weight(self, values: NDArray[Any]) -> str:
        """A float32 or int8 tensor, written to the weights file; returns its name."""
        values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        self._weights.write(b"\0" * (-self._weights.tell() % ALIGNMENT))
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor = TensorProto(name=f"weight_{len(self._initialisers)}", data_type=kind, dims=values.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS_FILE), ("offset", self._weights.tell()), ("length", values.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        self._weights.write(values.data)
        self._initialisers.append(tensor)
        return str(tensor.name)

    def again(self, weight: str) -> str:
        """A second name for a weight, over the same bytes: ONNX Runtime can not rewrite one that two nodes take."""
        tensor = TensorProto()
        tensor.CopyFrom(next(tensor for tensor in self._initialisers if tensor.name == weight))
        tensor.name = f"weight_{len(self._initialisers)}"
        self._initialisers.append(tensor)
        return str(tensor.name)

    def finish(self, embeddings: str, dimension: int) -> None:
        """Names the tensor `embeddings` as the output and writes the graph file."""
        self._nodes.append(helper.make_node("Identity", [embeddings], [EMBEDDINGS]))
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in (INPUT_IDS, ATTENTION_MASK)]
        outputs = [helper.make_tensor_value_info(EMBEDDINGS, TensorProto.FLOAT, ["batch", dimension])]
        if self.style.watched:
            inner = {layer.x: layer.weight.shape[1] for layer in self.linear_layers}
            outputs += [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", "length", width]) for x, width in inner.items()]
        graph = helper.make_graph(self._nodes, "encoder", inputs, outputs, self._initialisers)
        imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
        onnx.save_model(model, self._folder / GRAPH_FILE)

    def _constant(self, values: NDArray[Any]) -> str:
        tensor = numpy_helper.from_array(values, f"constant_{len(self._initialisers)}")
        self._initialisers.append(tensor)
        return str(tensor.name)
