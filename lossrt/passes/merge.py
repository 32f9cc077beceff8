"""Put tuned weights back into a network.

Requires: initializers of those names, types and shapes. Ensures: no other byte of the graph's file changes, but for
tensors that lay in another file, which come into it; the same weights lie beside it as safetensors.
"""

__all__ = ["check_tuned", "write_merged"]

import filecmp
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from lossrt.bundle import replace_file
from lossrt.errors import InputError, nearest
from lossrt.passes.merge_bytes import replace_initializers
from lossrt.passes.split import data_files

_DTYPES = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}


def check_tuned(model: onnx.ModelProto, tuned: Mapping[str, NDArray[Any]], *, what: str) -> None:
    """Check that weights fit a network's initializers.

    Args:
        model: The network.
        tuned: Weights by initializer.
        what: What messages call the weights.

    Raises:
        InputError: There are none, or one has no initializer, another type or shape, or values that are not finite.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    if not tuned:
        raise InputError(
            f"{what}: expected weights, got an empty file; write it with `lossrt split` or `lossrt finetune`"
        )
    for name, array in tuned.items():
        if name not in tensors:
            raise InputError(
                f"{what}: tensor '{name}': the network has no such initializer; {nearest(name, _near(name, tensors))}"
            )
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


def write_merged(network: Path, tuned: Mapping[str, NDArray[Any]], out: Path, *, heads: bytes) -> None:
    """Write the network with tuned weights, and the weights beside it: `lossrt merge`.

    Args:
        network: The network's file.
        tuned: Weights by initializer, checked already.
        out: The file to write; files with further weights are copied beside it.
        heads: What goes into the safetensors file of the same name.
    """
    content = replace_initializers(network.read_bytes(), tuned)
    for location in data_files(onnx.load_model_from_string(content)):
        _copy_beside(network.parent, location, out.parent)
    replace_file(out.with_suffix(".safetensors"), heads)
    replace_file(out, content)


def _copy_beside(folder: Path, location: str, target: Path) -> None:
    source, place = folder / location, target / location
    if not source.is_file() or not source.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"network: expected its weights in '{source}', got no such file below its folder; copy it too")
    if place.exists() and not filecmp.cmp(source, place, shallow=False):
        raise InputError(f"output '{place}': exists and holds other weights; write to another folder with -o")
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f".{place.name}.partial")
        shutil.copyfile(source, partial)
        partial.replace(place)


def _near(name: str, tensors: Mapping[str, onnx.TensorProto]) -> list[str]:
    """The initializers of the same layer, or all: a network has hundreds."""
    stem = name.partition(".")[0]
    return [other for other in tensors if other.startswith(stem)] or list(tensors)[:20]
