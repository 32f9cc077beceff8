"""Cut a network at the feature map that its heads read: the backbone as a graph, the heads' parameters as arrays.

Requires: heads as `lossrt.passes.split_heads` finds them; anything before the feature map. Ensures: the backbone has the
feature map as its first output, under its own name, beside it the outputs that are to stay, and every node that these
need as it was; parameters keep their names and their bits. Nothing is executed.
"""

__all__ = [
    "HEADS_KEY",
    "backbone",
    "cut",
    "data_files",
    "load_values",
    "parameter_arrays",
    "save_heads",
    "write_part",
    "write_split",
]

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from safetensors.numpy import save

from lossrt.bundle import staged
from lossrt.errors import InputError
from lossrt.passes.external_data import data_files
from lossrt.passes.extract import extract
from lossrt.passes.split_heads import HeadLayers, NetworkHeads
from lossrt.passes.walk import nodes_in

HEADS_KEY = "lossrt.heads"
"""Metadata key of a heads file: JSON with the feature map's name, and each parameter's name by head and layer."""


def cut(
    model: onnx.ModelProto, outputs: Mapping[str, int | None], *, inputs: Mapping[str, int] | None = None
) -> onnx.ModelProto:
    """Return the part of a network between some of its values, of float32 maps [B, channels, H, W].

    Args:
        model: The network.
        outputs: Channels of each value that becomes an output; None where they are not known.
        inputs: Channels of each value that becomes an input in the place of the network's own; None keeps its own.
    """
    part = extract(_without(model, inputs or {}), outputs)
    del part.graph.output[:]
    part.graph.output.extend(_map_info(name, channels) for name, channels in outputs.items())
    if inputs:
        del part.graph.input[:]
        part.graph.input.extend(_map_info(name, channels) for name, channels in inputs.items())
    read = {name for node in nodes_in(part.graph.node) for name in node.input} | set(outputs)
    kept = [tensor for tensor in part.graph.initializer if tensor.name in read]
    dropped = {tensor.name for tensor in part.graph.initializer} - {tensor.name for tensor in kept}
    del part.graph.initializer[:]
    part.graph.initializer.extend(kept)
    # Old files list their initializers among the inputs.
    own = [value for value in part.graph.input if value.name not in dropped]
    del part.graph.input[:]
    part.graph.input.extend(own)
    return part


def backbone(model: onnx.ModelProto, heads: NetworkHeads, *, kept: Sequence[str] = ()) -> onnx.ModelProto:
    """Return the part of a network that computes the feature map.

    Args:
        model: The network.
        heads: Its heads.
        kept: Further outputs of the network that the part gives as well, declared as they are.
    """
    part = cut(model, {heads.features: heads.channels} | dict.fromkeys(kept))
    declared = {value.name: value for value in model.graph.output}
    for value in part.graph.output[1:]:
        value.CopyFrom(declared[value.name])
    return part


def load_values(model: onnx.ModelProto, folder: Path) -> None:
    """Read the weights that a model keeps in other files into it.

    Args:
        model: The model; changed.
        folder: Where its file lies.

    Raises:
        InputError: A file is missing, too short or outside the folder.
    """
    try:
        external_data_helper.load_external_data_for_model(model, str(folder))
    except Exception as error:  # the checker's and protobuf's errors share no base
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"network in '{folder}': expected its weights' files beside it, got: {reason}; copy them too"
        ) from error


def parameter_arrays(model: onnx.ModelProto, names: Sequence[str], folder: Path) -> dict[str, NDArray[Any]]:
    """Return initializers by name, read from other files where they lie there.

    Raises:
        InputError: Such a file is missing or too short, or a value is not finite.
    """
    by_name = {tensor.name: tensor for tensor in model.graph.initializer}
    arrays = {}
    for name in names:
        holder = onnx.ModelProto()
        holder.graph.initializer.append(by_name[name])
        load_values(holder, folder)
        try:
            arrays[name] = np.array(numpy_helper.to_array(holder.graph.initializer[0]))
        except ValueError as error:
            raise InputError(
                f"initializer '{name}': its data does not fill its shape: {error}; copy the network again"
            ) from error
        if not np.isfinite(arrays[name]).all():
            raise InputError(f"initializer '{name}': expected finite values, got NaN or infinity; take sound weights")
    return arrays


def save_heads(arrays: Mapping[str, NDArray[Any]], heads: NetworkHeads) -> bytes:
    """Return parameters as a safetensors file under the network's own names, with the map from head and layer to name."""
    table = {"features": heads.features, "heads": {entry.head: _dotted(entry) for entry in heads.heads}}
    # One key: safetensors writes several in any order.
    return save(dict(sorted(arrays.items())), metadata={HEADS_KEY: json.dumps(table, sort_keys=True)})


def write_split(
    model: onnx.ModelProto, heads: NetworkHeads, out: Path, *, folder: Path, kept: Sequence[str] = ()
) -> None:
    """Write `backbone.onnx` and `heads.safetensors`: `lossrt split`.

    Args:
        model: The network; weights may be left in other files, and the backbone's then go to `backbone.onnx.data`.
        heads: Its heads.
        out: Folder to write to.
        folder: Where the network's file lies.
        kept: Outputs that stay in the backbone beside the feature map.

    Raises:
        InputError: A file with weights is missing or too short.
        StorageError: The disk refused; what was there before is whole.
    """
    content = save_heads(parameter_arrays(model, list(heads.parameters().values()), folder), heads)
    part = backbone(model, heads, kept=kept)
    outside = bool(data_files(part))
    load_values(part, folder)
    with staged(out) as scratch:
        _save(part, scratch / "backbone.onnx", outside=outside)
        (scratch / "heads.safetensors").write_bytes(content)


def write_part(part: onnx.ModelProto, path: Path, *, folder: Path, option: str = "-o") -> None:
    """Write a part of a network; weights that lay in other files go to one beside it, `<name>.data`.

    Args:
        part: The part; its weights are read into it.
        path: Its file.
        folder: Where the network's file lies.
        option: What chooses its place, for messages.

    Raises:
        InputError: A file with weights is missing or too short.
        StorageError: The disk refused; what was there before is whole.
    """
    outside = bool(data_files(part))
    load_values(part, folder)
    with staged(path.parent, out=path, option=option) as scratch:
        _save(part, scratch / path.name, outside=outside)


def _save(part: onnx.ModelProto, path: Path, *, outside: bool) -> None:
    if outside:
        external_data_helper.convert_model_to_external_data(part, location=f"{path.name}.data")
    onnx.save(part, path)


def _without(model: onnx.ModelProto, values: Mapping[str, Any]) -> onnx.ModelProto:
    """Return a model without the nodes that compute the values, so that a walk back ends there."""
    if not values:
        return model
    part = onnx.ModelProto()
    part.CopyFrom(model)
    kept = [node for node in model.graph.node if not set(values) & set(node.output)]
    del part.graph.node[:]
    part.graph.node.extend(kept)
    return part


def _map_info(name: str, channels: int | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", channels, "H", "W"])


def _dotted(layers: HeadLayers) -> dict[str, str]:
    return {part.replace("_", "."): name for part, name in layers.initializers.items()}
