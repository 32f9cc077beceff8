"""A module whose forward pass takes gradients → one that computes them in its forward pass, for the exporter.

No exporter takes `autograd.grad` in a forward pass. Tracing it first leaves plain operators, gradients included.
"""

__all__ = ["traced_gradients"]

import warnings
from itertools import count

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.fx.traceback import preserve_node_meta
from torch.utils._pytree import tree_flatten

from lossrt.spec import GraphSpec, TensorSpec, resolved_shape


class _Traced(nn.Module):
    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.traced = graph

    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        # Node by node, so that each keeps the source line that the tracer saw.
        with preserve_node_meta():
            outputs: dict[str, Tensor] = fx.Interpreter(self.traced).run(tensors)
        return outputs


def traced_gradients(module: nn.Module, spec: GraphSpec, *, open_dims: frozenset[str]) -> nn.Module:
    """Trace a module with its backward pass.

    Args:
        module: Takes and returns named tensors; its forward pass may call `torch.autograd.grad`.
        spec: Its signature.
        open_dims: Names of the dimensions that stay open.

    Returns:
        A module that computes the same without autograd, for any size of the open dimensions.
    """
    inputs = _fake_inputs(spec, open_dims & set(spec.sizes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace = make_fx(
            module.eval(), decomposition_table=_DECOMPOSED, tracing_mode="symbolic", record_stack_traces=True
        )
        graph = trace(inputs)
    _simplify(graph.graph)
    graph.recompile()
    return _Traced(graph)


def _sign(values: Tensor) -> Tensor:
    """Return the sign as PyTorch has it, 0 for NaN; ONNX's is left to the runtime there."""
    return torch.where(values > 0, 1.0, torch.where(values < 0, -1.0, 0.0)).to(values.dtype)


_DECOMPOSED = {torch.ops.aten.sgn.default: _sign}


def _simplify(graph: fx.Graph) -> None:
    """Take out what only autograd needed, and compute once what every gather's backward pass computes anew.

    Without it the exporter, which runs every node several times, takes twice as long.
    """
    seen: dict[object, fx.Node] = {}
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if node.target is torch.ops.aten.detach.default:
            same = node.args[0]
        else:
            leaves, structure = tree_flatten((node.args, node.kwargs))
            key = (node.target, structure, tuple((type(leaf), leaf) for leaf in leaves))
            same = seen.setdefault(key, node)
        if same is not node:
            node.replace_all_uses_with(same)
            graph.erase_node(node)
    graph.eliminate_dead_code()


def _fake_inputs(spec: GraphSpec, open_dims: frozenset[str]) -> dict[str, Tensor]:
    """Return tensors without values, one a name, whose open dimensions are symbols and whose others are numbers."""
    sizes = spec.sizes | _sizes_apart(spec, open_dims)
    mode = FakeTensorMode(shape_env=ShapeEnv())
    return {tensor.name: _fake(tensor, sizes, open_dims, mode) for tensor in spec.inputs}


def _fake(tensor: TensorSpec, sizes: dict[str, int], open_dims: frozenset[str], mode: FakeTensorMode) -> Tensor:
    kinds = [DimDynamic.DUCK if dim in open_dims else DimDynamic.STATIC for dim in tensor.dims]
    real = torch.empty(resolved_shape(tensor.dims, sizes), dtype=getattr(torch, tensor.dtype))
    return mode.from_tensor(real, symbolic_context=StatelessSymbolicContext(dynamic_sizes=kinds))


def _sizes_apart(spec: GraphSpec, open_dims: frozenset[str]) -> dict[str, int]:
    """Return a size for each open dimension that no other dimension has: the tracer takes equal sizes for one symbol."""
    taken = {size for tensor in spec.inputs for size in resolved_shape(tensor.dims, spec.sizes)}
    free = (size for size in count(2) if size not in taken)
    return {dim: next(free) for dim in sorted(open_dims)}
