"""Which initializers of a network tuned weights may replace: those of its heads, that nothing else reads.

Requires: nothing of the network. Where each output is a head of the form that training knows, the heads' parameters are
all that may change. Where one is not, what belongs to a head is not known, and weights and biases of convolutions pass.
"""

__all__ = ["check_targets"]

from collections.abc import Iterable

import onnx

from lossrt.errors import InputError, nearest
from lossrt.passes.head_walk import SEPARATE, Graph, heads_among, serves_many, title
from lossrt.passes.walk import nodes_in

PLACES = {1: "weights", 2: "bias"}


def check_targets(model: onnx.ModelProto, names: Iterable[str], *, what: str) -> None:
    """Check that tensors are a network's to change.

    Args:
        model: The network.
        names: Its initializers that are to change.
        what: What messages call the tuned weights.

    Raises:
        InputError: An initializer serves several places, belongs to no head, or is no convolution's.
    """
    graph = Graph(model)
    outputs = [value.name for value in model.graph.output]
    heads = heads_among(graph, {name: name for name in outputs})
    own = {name for entry in heads.values() for name in entry.layers.initializers.values()}
    readers = {
        name: (node, position) for node in nodes_in(model.graph.node) for position, name in enumerate(node.input)
    }
    for name in names:
        tensor = f"{what}: tensor '{name}'"
        node, position = readers.get(name, (None, 0))
        place = f"{title(node)} reads" if node is not None else "nothing reads"
        kind = PLACES.get(position) if node is not None and node.op_type == "Conv" else None
        if graph.uses[name] > 1:
            label = f"{title(node)}: its {kind or 'input'}" if node is not None else "initializer"
            raise InputError(f"{what}: {label} {serves_many(name, graph)}; {SEPARATE}")
        if name not in own and len(heads) == len(outputs):
            raise InputError(
                f"{tensor}: expected a parameter of a head, got one that {place}: merging it would change what the heads were tuned on; save the heads' tensors alone; {nearest(name, own)}"
            )
        if kind is None:
            raise InputError(
                f"{tensor}: expected weights or bias of one convolution, got an initializer that {place}; save the heads' tensors alone"
            )
