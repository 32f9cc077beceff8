"""Put tuned weights back into a network.

Requires: initializers of those names, types and shapes. Ensures: no other byte of the graph's file changes, but for
tensors that lay in another file, which come into it; the same weights lie beside it as safetensors.
"""

__all__ = ["check_out_path", "check_tuned", "write_merged"]

import filecmp
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from lossrt.bundle import staged
from lossrt.errors import InputError, nearest
from lossrt.passes.external_data import check_data_files, data_files
from lossrt.passes.merge_bytes import replace_initializers
from lossrt.passes.merge_targets import check_targets

_DTYPES = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
SHOWN = 4


def check_tuned(model: onnx.ModelProto, tuned: Mapping[str, NDArray[Any]], *, what: str) -> None:
    """Check that weights fit a network's initializers.

    Args:
        model: The network.
        tuned: Weights by initializer.
        what: What messages call the weights.

    Raises:
        InputError: There are none, or one has no initializer, another type or shape, values that are not finite, or an
            initializer that is no head's, or not the head's alone.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    if not tuned:
        raise InputError(
            f"{what}: expected weights, got an empty file; write it with `lossrt split` or `lossrt finetune`"
        )
    if unknown := [name for name in tuned if name not in tensors]:
        raise InputError(_unknown(unknown, tuned, model, what))
    for name, array in tuned.items():
        expected = _DTYPES.get(tensors[name].data_type, "no float"), list(tensors[name].dims)
        got = array.dtype.name, list(array.shape)
        if got != expected:
            raise InputError(
                f"{what}: tensor '{name}': expected {expected[0]}{expected[1]}, got {got[0]}{got[1]}; the weights are of another network, or were converted: write them as the network has them"
            )
        if not np.isfinite(array.astype(np.float32)).all():
            raise InputError(
                f"{what}: tensor '{name}': expected finite values, got NaN or infinity; take an earlier checkpoint"
            )
    check_targets(model, tuned, what=what)


def check_out_path(network: Path, out: Path) -> None:
    """Check that a merged network and its heads can go to a place, before any work is done.

    Args:
        network: The network's file.
        out: The file to write; its heads go beside it, `<out>.safetensors` in the place of its suffix.

    Raises:
        InputError: `out` has the heads' own name, is a folder, or is the network itself.
    """
    if out.is_dir():
        raise InputError(f"output '{out}': expected a file or nothing there, got a folder; name a file with -o")
    heads = out.with_suffix(".safetensors")
    if out == heads:
        raise InputError(
            f"output '{out}': expected an ONNX file, got the name that its heads go to; choose another with -o, such as '{out.with_suffix('.onnx')}'"
        )
    if heads.is_dir():
        raise InputError(f"output '{heads}': the heads go there, got a folder; choose another name with -o")
    for path in (out, heads):
        if path.exists() and network.exists() and path.samefile(network):
            raise InputError(
                f"output '{path}': is the network itself, and the original would be gone; choose another file with -o"
            )


def write_merged(network: Path, tuned: Mapping[str, NDArray[Any]], out: Path, *, heads: bytes) -> None:
    """Write the network with tuned weights, and the weights beside it: `lossrt merge`.

    Args:
        network: The network's file.
        tuned: Weights by initializer, checked already.
        out: The file to write, checked already; files with further weights are copied beside it.
        heads: What goes into the safetensors file of the same name.

    Raises:
        InputError: A file with further weights is missing or too short, or one of other content is in its place.
        StorageError: The disk refused; what was there before is whole.
    """
    content = replace_initializers(network.read_bytes(), tuned)
    model = onnx.load_model_from_string(content)
    check_data_files(model, network.parent)
    locations = [location for location in data_files(model) if _is_to_copy(network.parent, location, out)]
    with staged(out.parent, out=out) as scratch:
        for location in locations:
            place = scratch / os.path.normpath(location)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(network.parent / location, place)
        (scratch / out.with_suffix(".safetensors").name).write_bytes(heads)
        (scratch / out.name).write_bytes(content)


def _is_to_copy(folder: Path, location: str, out: Path) -> bool:
    """Tell whether a file with weights has to be copied beside the output: not where the same one lies there."""
    source, place = folder / location, out.parent / location
    if os.path.normpath(place) in {os.path.normpath(path) for path in (out, out.with_suffix(".safetensors"))}:
        raise InputError(f"output '{place}': expected another name than the network's weights have; choose another -o")
    if not place.exists():
        return True
    if not filecmp.cmp(source, place, shallow=False):
        raise InputError(f"output '{place}': exists and holds other weights; write to another folder with -o")
    return False


def _unknown(names: list[str], tuned: Collection[str], model: onnx.ModelProto, what: str) -> str:
    """Return what is said of tensors that are no initializers: a slip of the pen, or the whole of a PyTorch network."""
    tensors = [tensor.name for tensor in model.graph.initializer]
    if len(names) == 1 and not names[0].endswith("num_batches_tracked"):
        return f"{what}: tensor '{names[0]}': the network has no such initializer; {nearest(names[0], _near(names[0], tensors))}"
    first = ", ".join(f"'{name}'" for name in names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    return f"{what}: {len(names)} of {len(tuned)} tensors are no initializers of the network: {first}; save only the heads' tensors, under the names that `lossrt split` shows"


def _near(name: str, tensors: list[str]) -> list[str]:
    """The initializers of the same layer, or all: a network has hundreds."""
    stem = name.partition(".")[0]
    return [other for other in tensors if other.startswith(stem)] or tensors[:20]
