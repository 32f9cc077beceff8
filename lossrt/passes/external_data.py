"""The files beside a network that hold weights of it, and whether they are whole.

Requires: a model opened without its external data. Ensures: nothing is read but the files' sizes.
"""

__all__ = ["check_data_files", "data_files"]

from pathlib import Path

import onnx
from onnx import TensorProto, external_data_helper, helper

from lossrt.errors import InputError
from lossrt.passes.walk import tensors_in


def data_files(model: onnx.ModelProto) -> list[str]:
    """Return the files, relative to the model's own, that hold weights of it."""
    return sorted({external_data_helper.ExternalDataInfo(tensor).location for tensor in _outside(model)})


def check_data_files(model: onnx.ModelProto, folder: Path) -> None:
    """Check that every tensor in another file lies below the network's folder and ends before its file does.

    Args:
        model: The model.
        folder: Where its file lies.

    Raises:
        InputError: A file is missing, outside the folder or too short.
    """
    for tensor in _outside(model):
        info = external_data_helper.ExternalDataInfo(tensor)
        path = folder / info.location
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"network: expected its weights in '{path}', got no such file below its folder; copy it too"
            )
        length = _size(tensor) if info.length is None else info.length
        end, size = (info.offset or 0) + length, path.stat().st_size
        if end > size:
            raise InputError(
                f"network: weights '{path}': expected at least {end} bytes, where tensor '{tensor.name}' ends, got {size}: the file was cut off; copy it again"
            )


def _outside(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [tensor for tensor in tensors_in(model) if external_data_helper.uses_external_data(tensor)]


def _size(tensor: onnx.TensorProto) -> int:
    """Bytes of a tensor whose length is not given."""
    count = 1
    for dim in tensor.dims:
        count *= dim
    if TensorProto.DataType.Name(tensor.data_type).endswith(("INT4", "FLOAT4E2M1")):
        return (count + 1) // 2  # two to a byte
    return count * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
