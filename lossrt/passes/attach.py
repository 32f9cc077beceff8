"""Put the losses behind a network, so that one file yields the network's outputs and the losses.

Requires: the network's outputs fit the recipe (`head_outputs`), and the losses exist at the network's opset, or can be
converted to it. Ensures: the network's nodes, weights, inputs and outputs are the same, byte for byte, and come first; the
losses read the mapped outputs; targets are further inputs and losses further outputs, all under names that the network
does not use. Nothing is run, and operators that nothing here knows are left alone.
"""

__all__ = ["Attached", "attach_losses", "fitting_precision"]

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import onnx
from onnx import helper, shape_inference

from lossrt.errors import InputError
from lossrt.passes.attach_activation import check_activations
from lossrt.passes.attach_dims import reconcile_dims, with_dims
from lossrt.passes.attach_names import free_name, names_in, renamed
from lossrt.passes.head_outputs import head_outputs
from lossrt.passes.inline import inline_functions
from lossrt.passes.opset import STANDARD, convert_opset, opset_of
from lossrt.passes.precision import HALF_TYPES
from lossrt.passes.shape_range import expand_shape_ranges
from lossrt.recipe import Recipe, prediction_name

FUNCTIONS_SINCE = 8  # ONNX IR version
SHAPE_RANGES_SINCE = 15  # opset
INVENTED = "unk__"  # begins the names that shape inference makes up for dimensions


@dataclass(frozen=True, slots=True)
class Attached:
    """A network with its losses.

    Attributes:
        model: The whole; weights that lay in other files still do.
        heads: The network's output by head (`hm_stack1` for a further stack).
        inputs: What each input of the losses is called in the file, by its name on the wire.
        outputs: The outputs that were added.
        casts: Mapped outputs that are cast to the losses' type.
        warnings: What could not be told, for people.
    """

    model: onnx.ModelProto
    heads: dict[str, str]
    inputs: dict[str, str]
    outputs: tuple[str, ...]
    casts: tuple[str, ...]
    warnings: tuple[str, ...]


def attach_losses(
    network: onnx.ModelProto, losses: onnx.ModelProto, recipe: Recipe, *, mapping: Mapping[str, str] | None = None
) -> Attached:
    """Attach a loss graph to a network.

    Args:
        network: The network; weights may be left in other files. It is only read.
        losses: The bundle's `generic_loss` in the precision wanted. It is only read.
        recipe: The bundle's recipe.
        mapping: Output by head, where it is not called as its head.

    Returns:
        The whole. A target whose name the network uses already is called `target_<name>`.

    Raises:
        InputError: An output is missing or does not fit in shape, type, batch or activation; the losses do not exist at
            the network's opset; or the network has an output called as one of the losses'.
    """
    known = _inferred(network)
    heads = head_outputs(known, recipe, mapping)
    warnings = check_activations(network, heads, recipe)
    taken = names_in(network)
    _check_outputs(losses, taken)
    losses = _at_opset(losses, network)
    declared = {entry.name: entry for entry in known.graph.output}
    fed = {prediction_name(key): declared[name] for key, name in heads.items()}
    dims = reconcile_dims(losses, fed, known)
    whole = onnx.ModelProto()
    whole.CopyFrom(network)
    casts, values = _cast_outputs(whole, losses, fed, taken)
    inputs = {
        entry.name: entry.name if entry.name not in taken else free_name(f"target_{entry.name}", taken)
        for entry in losses.graph.input
        if entry.name not in fed
    }
    outputs = [entry.name for entry in losses.graph.output]
    kept = values | inputs | {name: name for name in outputs}
    _append(whole, renamed(losses, kept, prefix=_free_prefix(taken)), targets=list(inputs.values()), dims=dims)
    _describe(whole, recipe, inputs)
    return Attached(whole, heads, inputs, tuple(outputs), casts, warnings)


def fitting_precision(
    network: onnx.ModelProto, recipe: Recipe, available: Collection[str], *, mapping: Mapping[str, str] | None = None
) -> str:
    """Return the precision of the losses that takes the network's outputs as they are; `fp32` where none does.

    Args:
        network: The network.
        recipe: The bundle's recipe.
        available: Precisions that the bundle has.
        mapping: Output by head, where it is not called as its head.

    Raises:
        InputError: As `head_outputs`.
    """
    known = _inferred(network)
    mapped = set(head_outputs(known, recipe, mapping).values())
    kinds = {entry.type.tensor_type.elem_type for entry in known.graph.output if entry.name in mapped}
    return next((name for name, kind in HALF_TYPES.items() if kinds == {kind} and name in available), "fp32")


def _inferred(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with what can be known of its outputs; unknown operators hide what comes behind them."""
    try:
        known = shape_inference.infer_shapes(network)
    except Exception:  # a model that onnx does not follow may still be one that its runtime takes
        return network
    for output in known.graph.output:
        for dim in output.type.tensor_type.shape.dim:
            if dim.dim_param.startswith(INVENTED):
                dim.Clear()
    return known


def _check_outputs(losses: onnx.ModelProto, taken: Collection[str]) -> None:
    for entry in losses.graph.output:
        if entry.name in taken:
            raise InputError(
                f"network: value '{entry.name}': expected this name free for the losses, got it in the network; attach to "
                "the network as it was before losses were attached, or rename the value and export it again"
            )


def _at_opset(losses: onnx.ModelProto, network: onnx.ModelProto) -> onnx.ModelProto:
    """Bring the losses, never the network, to the network's opset; a local function may stay where nothing changes."""
    opset = opset_of(network) or opset_of(losses)
    ours = {(function.domain, function.name) for function in losses.functions}
    met = ours & {(function.domain, function.name) for function in network.functions}
    if opset != opset_of(losses) or network.ir_version < FUNCTIONS_SINCE or met:
        losses = inline_functions(losses)
    if opset < SHAPE_RANGES_SINCE:
        losses = expand_shape_ranges(losses)
    try:
        return convert_opset(losses, opset)
    except InputError as error:
        reasons = str(error).split("; ")
        more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        raise InputError(
            f"network: opset {opset}: expected one that the losses can be written in, got: {reasons[0]}{more}; export the "
            f"network at opset {opset_of(losses)}"
        ) from error


def _cast_outputs(
    whole: onnx.ModelProto, losses: onnx.ModelProto, fed: Mapping[str, onnx.ValueInfoProto], taken: set[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Cast where types differ or are unknown; return the outputs that are cast, and what each prediction reads."""
    wanted = {entry.name: entry.type.tensor_type.elem_type for entry in losses.graph.input}
    casts, values = [], {}
    for wire, entry in fed.items():
        values[wire] = entry.name
        if entry.type.tensor_type.elem_type != wanted[wire]:
            values[wire] = free_name(f"{wire}_cast", taken)
            whole.graph.node.append(
                helper.make_node("Cast", [entry.name], [values[wire]], name=values[wire], to=wanted[wire])
            )
            casts.append(entry.name)
    return tuple(casts), values


def _free_prefix(taken: Collection[str]) -> str:
    number, prefix = 0, "lossrt:"
    while any(name.startswith(prefix) for name in taken):
        number += 1
        prefix = f"lossrt{number}:"
    return prefix


def _append(
    whole: onnx.ModelProto, losses: onnx.ModelProto, *, targets: Collection[str], dims: Mapping[str, int | str]
) -> None:
    whole.graph.node.extend(losses.graph.node)
    whole.graph.initializer.extend(losses.graph.initializer)
    whole.graph.input.extend(with_dims(entry, dims) for entry in losses.graph.input if entry.name in targets)
    whole.graph.output.extend(with_dims(entry, dims) for entry in losses.graph.output)
    whole.functions.extend(losses.functions)
    whole.ir_version = max(whole.ir_version, losses.ir_version)
    imported = {"" if entry.domain in STANDARD else entry.domain for entry in whole.opset_import}
    for entry in losses.opset_import:
        if ("" if entry.domain in STANDARD else entry.domain) not in imported:
            whole.opset_import.append(entry)


def _describe(whole: onnx.ModelProto, recipe: Recipe, inputs: Mapping[str, str]) -> None:
    for key, text in (("lossrt.recipe", recipe.name), ("lossrt.inputs", json.dumps(dict(inputs)))):
        whole.metadata_props.add(key=key, value=text)
