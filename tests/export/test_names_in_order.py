"""Two exports of a run have the same bytes, however the converter numbers nodes and constants."""

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from export.onnx_model import name_in_order


def model(numbers: tuple[int, int], reverse: bool, twin: str, step: str):
    """(x + 1) * 2 * weights, with invented names of these numbers; `twin` is the constant 1."""
    two, unread = (f"const__{number}" for number in numbers)
    values = {"weights": 3.0, twin: 1.0, two: 2.0, unread: 9.0}
    constants = [numpy_helper.from_array(np.float32([v]), name) for name, v in values.items()]
    nodes = [
        helper.make_node("Add", ["x", twin], [f"{step}:0"], step),
        helper.make_node("Mul", [f"{step}:0", two], ["layer/b:0"], f"layer/b__{numbers[0]}"),
        helper.make_node("Mul", ["layer/b:0", "weights"], ["y"], "layer/c"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    order = constants[::-1] if reverse else constants
    return helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], order))


def test_invented_names_and_the_choice_among_equal_ones_do_not_matter():
    one = model((7, 9), False, "sub/x:0", "add_2")
    other = model((344, 8), True, "const_fold__3", "add__17")
    for each in (one, other):
        name_in_order(each)
        checker.check_model(each)
    assert one.SerializeToString() == other.SerializeToString()


def test_values_stay_and_what_nobody_reads_goes():
    named = model((7, 9), False, "sub/x:0", "add_2")
    name_in_order(named)
    found = {c.name: float(numpy_helper.to_array(c)[0]) for c in named.graph.initializer}
    assert found == {"Add__1/input_1": 1.0, "layer/b__2/input_1": 2.0, "layer/c/input_1": 3.0}
    assert [node.name for node in named.graph.node] == ["Add__1", "layer/b__2", "layer/c"]
    assert [list(node.input) for node in named.graph.node] == [
        ["x", "Add__1/input_1"],
        ["Add__1:0", "layer/b__2/input_1"],
        ["layer/b__2:0", "layer/c/input_1"],
    ]
