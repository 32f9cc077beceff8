"""Put other values into a model's initializers, and leave every other byte of its file as it is.

The file is walked on the wire (protobuf encoding guide: tag and length before each field), since parsing and writing a
model anew may reorder what another program wrote. Fields: `onnx.proto`, ModelProto.graph and GraphProto.initializer.
"""

__all__ = ["replace_initializers"]

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

GRAPH = 7
INITIALIZER = 5
_TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def replace_initializers(content: bytes, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a model's file with other values in some initializers.

    Args:
        content: The file.
        arrays: New values by name, of the type and shape that the initializers have.
    """
    return b"".join(
        _field(GRAPH, _replaced(content[start:stop], arrays)) if number == GRAPH else content[begin:stop]
        for number, begin, start, stop in _fields(content)
    )


def _replaced(graph: bytes, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    pieces = []
    for number, begin, start, stop in _fields(graph):
        piece = graph[begin:stop]
        if number == INITIALIZER:
            tensor = TensorProto.FromString(graph[start:stop])
            if tensor.name in arrays:
                piece = _field(INITIALIZER, _with_values(tensor, arrays[tensor.name]).SerializeToString())
        pieces.append(piece)
    return b"".join(pieces)


def _with_values(tensor: onnx.TensorProto, array: NDArray[Any]) -> onnx.TensorProto:
    for name in (*_TYPED, "external_data"):
        tensor.ClearField(name)
    if tensor.data_location == TensorProto.EXTERNAL:
        tensor.ClearField("data_location")
    tensor.raw_data = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C").tobytes()
    return tensor


def _fields(message: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield each field's number, where it begins, and where its value starts and stops."""
    at = 0
    while at < len(message):
        begin = at
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 2:
            size, at = _varint(message, at)
            start, at = at, at + size
        elif kind == 0:
            start, at = at, _varint(message, at)[1]
        else:
            start, at = at, at + (8 if kind == 1 else 4)
        yield tag >> 3, begin, start, at


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def _field(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)
