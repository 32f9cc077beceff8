"""Which input of a network takes the image, which the one before it, and which the heatmap of what was there."""

__all__ = ["ROLES", "NetworkPorts", "frame_feeds", "network_ports"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from lossrt.errors import InputError, nearest
from lossrt.recipe import Recipe

ROLES = ("image", "previous_image", "previous_heatmap")
_NAMES: dict[str, tuple[str, ...]] = {
    "image": ("image", "img", "images", "input", "x"),
    "previous_image": ("pre_img", "pre_image", "previous_image", "pre_images", "prev_img"),
    "previous_heatmap": ("pre_hm", "previous_heatmap", "pre_hms", "prev_hm"),
}
_CHANNELS = {"image": 3, "previous_image": 3, "previous_heatmap": 1}
_DTYPES: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
}


@dataclass(frozen=True, slots=True)
class NetworkPorts:
    """The inputs of a network.

    Attributes:
        names: Input name by role: always `image`; `previous_image` and `previous_heatmap` where the network takes them.
        dtypes: Element type of each input, by role.
        batch: Images that the network takes at once; None where that is open.
    """

    names: dict[str, str]
    dtypes: dict[str, np.dtype[Any]]
    batch: int | None


def network_ports(model: onnx.ModelProto, recipe: Recipe, *, names: Mapping[str, str] | None = None) -> NetworkPorts:
    """Find the network's inputs: as `names` say, then by the usual names, then by shape.

    Args:
        model: The network; weights may be left in other files.
        recipe: Input size.
        names: Input name by role (`ROLES`), as the flag `--input image=NAME` gives it.

    Raises:
        InputError: A role or an input is unknown, no input takes the image, one is left over, or one does not fit.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {entry.name: entry for entry in model.graph.input if entry.name not in constants}
    found = _as_told(names or {}, inputs)
    for fits in (_is_called, _may_be):
        for role in ROLES:
            free = (entry for name, entry in inputs.items() if name not in found.values())
            if role not in found and (chosen := next((entry for entry in free if fits(role, entry)), None)):
                found[role] = chosen.name
    listed = "; ".join(f"'{name}' {_shown(entry)}" for name, entry in inputs.items()) or "none"
    if "image" not in found:
        raise InputError(f"network: expected an input for the image, got {listed}; name it with --input image=NAME")
    if left := sorted(set(inputs) - set(found.values())):
        raise InputError(
            f"network: input '{left[0]}': expected image, previous image or previous heatmap, got inputs {listed}; say "
            f"which it is with --input ROLE={left[0]} ({', '.join(ROLES)}), or export the network without it"
        )
    for role, name in found.items():
        _check(role, name, inputs[name], recipe)
    batch = inputs[found["image"]].type.tensor_type.shape.dim[0].dim_value or None
    dtypes = {role: _DTYPES[inputs[name].type.tensor_type.elem_type] for role, name in found.items()}
    return NetworkPorts(names=found, dtypes=dtypes, batch=batch)


def frame_feeds(
    ports: NetworkPorts,
    image: NDArray[np.float32],
    *,
    previous_image: NDArray[np.float32] | None = None,
    previous_heatmap: NDArray[np.float32] | None = None,
) -> dict[str, NDArray[Any]]:
    """Return what to feed the network for one frame, with B = 1 in front and in the types that it takes.

    Args:
        ports: The network's inputs.
        image: [3, H_in, W_in], from `lossrt.device.preprocessing.network_image`.
        previous_image: The frame before, likewise; None feeds the image twice, as upstream does for a first frame.
        previous_heatmap: [1, H_in, W_in], from `network_heatmap`; None feeds zeros.

    Raises:
        InputError: The network takes a fixed batch other than 1.
    """
    if ports.batch not in (None, 1):
        raise InputError(
            f"network: input '{ports.names['image']}': expected a batch of 1 or an open one, got {ports.batch}; export the "
            "network with batch 1 or an open batch"
        )
    arrays = {
        "image": image,
        "previous_image": image if previous_image is None else previous_image,
        "previous_heatmap": np.zeros((1, *image.shape[1:]), np.float32)
        if previous_heatmap is None
        else previous_heatmap,
    }
    return {name: arrays[role][None].astype(ports.dtypes[role]) for role, name in ports.names.items()}


def _as_told(names: Mapping[str, str], inputs: Mapping[str, onnx.ValueInfoProto]) -> dict[str, str]:
    for role, name in names.items():
        if role not in ROLES:
            raise InputError(f"--input {role}={name}: unknown role; {nearest(role, ROLES)}")
        if name not in inputs:
            raise InputError(f"--input {role}={name}: the network has no such input; {nearest(name, inputs)}")
    if len(set(names.values())) < len(names):
        raise InputError(f"--input: expected another input for each role, got {dict(names)}")
    return dict(names)


def _sizes(entry: onnx.ValueInfoProto) -> list[int]:
    """Sizes of each dimension, 0 where open."""
    return [dim.dim_value for dim in entry.type.tensor_type.shape.dim]


def _is_called(role: str, entry: onnx.ValueInfoProto) -> bool:
    return entry.name.lower() in _NAMES[role]


def _may_be(role: str, entry: onnx.ValueInfoProto) -> bool:
    sizes = _sizes(entry)
    return len(sizes) == 4 and sizes[1] == _CHANNELS[role]


def _check(role: str, name: str, entry: onnx.ValueInfoProto, recipe: Recipe) -> None:
    sizes, expected = _sizes(entry), [0, _CHANNELS[role], *recipe.input]
    fits = len(sizes) == 4 and all(got in (0, want) for got, want in zip(sizes[1:], expected[1:], strict=True))
    if not fits or entry.type.tensor_type.elem_type not in _DTYPES:
        raise InputError(
            f"network: input '{name}' ({role}): expected a float of [B, {', '.join(map(str, expected[1:]))}], got "
            f"{_shown(entry)}; name another with --input {role}=NAME, or take the recipe whose input is the network's"
        )


def _shown(entry: onnx.ValueInfoProto) -> str:
    kind = TensorProto.DataType.Name(entry.type.tensor_type.elem_type).lower()
    return (
        f"{kind}[{', '.join(str(dim.dim_value or dim.dim_param or '?') for dim in entry.type.tensor_type.shape.dim)}]"
    )
