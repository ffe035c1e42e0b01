"""Small edits of an ONNX graph: who makes a tensor, who reads it, replace a node by others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Graph:
    """An ONNX model, opened for editing.

    Args:
        model: is changed in place; heights and widths must be fixed, the batch may be free.
    """

    def __init__(self, model: onnx.ModelProto):
        self.model, self.proto = model, model.graph
        # A list of our own: protobuf copies what is put into its lists, so that a node at hand
        # would no longer be the one in the graph.
        self._nodes = list(model.graph.node)
        self._names = 0
        self._taken = {name for node in self._nodes for name in (*node.output, node.name)}
        self._taken |= {constant.name for constant in self.proto.initializer}
        self._constants = {constant.name: constant for constant in self.proto.initializer}
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        values = [*inferred.input, *inferred.value_info, *inferred.output]
        self._shapes = {value.name: _shape(value) for value in values}

    def nodes(self, *op_types: str) -> list[onnx.NodeProto]:
        """A snapshot of the nodes of these types, in order of execution; all without types."""
        return [node for node in self._nodes if not op_types or node.op_type in op_types]

    def shape(self, tensor: str) -> tuple[int | None, ...] | None:
        """The inferred shape, None for a free size; None if nothing is known."""
        return self._shapes.get(tensor)

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """The node that computes a tensor; None for inputs and constants."""
        return next((node for node in self._nodes if tensor in node.output), None)

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor."""
        return [node for node in self._nodes if tensor in node.input]

    def only_reader(self, tensor: str) -> onnx.NodeProto | None:
        """The node that alone reads a tensor; None if several do or it is a result."""
        readers = self.readers(tensor)
        is_result = any(output.name == tensor for output in self.proto.output)
        return readers[0] if len(readers) == 1 and not is_result else None

    def constant(self, name: str) -> np.ndarray | None:
        """The value of a constant; None if the tensor is computed."""
        found = self._constants.get(name)
        return None if found is None else numpy_helper.to_array(found)

    def add_constant(self, value: np.ndarray, hint: str) -> str:
        """Adds a constant and returns its name."""
        constant = numpy_helper.from_array(np.ascontiguousarray(value), self.fresh(hint))
        self.proto.initializer.append(constant)
        self._constants[constant.name] = constant
        return constant.name

    def fresh(self, hint: str) -> str:
        """A name that nothing has yet."""
        while True:
            self._names += 1
            name = f"{hint}_{self._names}"
            if name not in self._taken:
                self._taken.add(name)
                return name

    def node(
        self, op_type: str, inputs: Sequence[str], output: str | None = None, **attributes: Any
    ) -> onnx.NodeProto:
        """Makes a node of one output; `replace` puts it into the graph."""
        name = self.fresh(op_type)
        return helper.make_node(op_type, list(inputs), [output or name + ":0"], name, **attributes)

    def replace(
        self, old: Sequence[onnx.NodeProto], new: Sequence[onnx.NodeProto], at: onnx.NodeProto
    ) -> None:
        """Takes `old` out and puts `new` where `at`, one of the old, was."""
        position = self._nodes.index(at)
        self._nodes[position + 1 : position + 1] = new
        gone = {id(node) for node in old}
        self._nodes = [node for node in self._nodes if id(node) not in gone]

    def append(self, node: onnx.NodeProto) -> None:
        """Adds a node behind all others."""
        self._nodes.append(node)

    def finish(self) -> onnx.ModelProto:
        """Drops constants that nothing reads any more and checks the model."""
        del self.proto.node[:]
        self.proto.node.extend(self._nodes)
        read = {name for node in self._nodes for name in node.input}
        kept = [constant for constant in self.proto.initializer if constant.name in read]
        del self.proto.initializer[:]
        self.proto.initializer.extend(kept)
        # Shapes recorded by the converter may name tensors that are gone.
        del self.proto.value_info[:]
        onnx.checker.check_model(self.model, full_check=True)
        return self.model


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute."""
    for found in node.attribute:
        if found.name == name:
            return helper.get_attribute_value(found)
    return default


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    sizes = value.type.tensor_type.shape.dim
    return tuple(size.dim_value if size.HasField("dim_value") else None for size in sizes)
