"""Named arrays in a safetensors file, bfloat16 included."""

__all__ = ["read_arrays"]

from collections.abc import Collection
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors
from numpy.typing import NDArray

from lossrt.errors import InputError, StorageError

_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}


def read_arrays(path: Path, *, what: str, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read a safetensors file.

    safetensors' own numpy reader refuses bfloat16; here it comes back as `ml_dtypes.bfloat16`.

    Args:
        path: The file.
        what: What messages call it, for example `heads`.
        names: Read only these, where they are there; everything without it.

    Raises:
        InputError: There is no file, it is not safetensors, or an array has a type that no graph takes.
        StorageError: The file cannot be read.
    """
    if not path.is_file():
        raise InputError(f"{what} '{path}': expected a safetensors file, got no file; check the path")
    try:
        entries = safetensors.deserialize(path.read_bytes())  # type: ignore[no-untyped-call]  # its stub has no types
        return {
            name: np.frombuffer(entry["data"], dtype=_DTYPES[entry["dtype"]]).reshape(entry["shape"]).copy()
            for name, entry in entries
            if names is None or name in names
        }
    except OSError as error:
        raise StorageError(f"{what} '{path}': cannot be read: {error}; check its permissions") from error
    except KeyError as error:
        raise InputError(
            f"{what} '{path}': expected types {', '.join(_DTYPES)}, got {error}; write it again"
        ) from error
    except (safetensors.SafetensorError, ValueError) as error:
        raise InputError(f"{what} '{path}': expected a safetensors file, got: {error}; write it again") from error
