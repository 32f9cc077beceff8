"""Open a network's ONNX file without its weights where those lie in other files, and without running it.

Ensures: the model is whole but for external data, whose places it still names; a file that is not ONNX is refused.
"""

__all__ = ["read_network"]

from pathlib import Path

import onnx

from lossrt.errors import InputError


def read_network(path: Path) -> onnx.ModelProto:
    """Return a network as its file says it.

    Raises:
        InputError: The file is missing, or no ONNX model.
    """
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise InputError(f"network '{path}': expected a readable ONNX file, got: {error}; check the path") from error
    except Exception as error:  # protobuf's errors share no base that both of its implementations have
        raise InputError(f"network '{path}': expected an ONNX model, got: {error}; export it again") from error
    if not model.graph.node and not model.graph.output:
        raise InputError(f"network '{path}': expected an ONNX model with outputs, got an empty graph; export it again")
    return model
