"""Find which of a network's outputs is which head's prediction.

Requires: nothing of the network but its outputs' declarations. Ensures: every prediction that the losses take has an
output of its own, of a float type and a shape that can be the recipe's as far as the network declares them.
"""

__all__ = ["head_keys", "head_outputs"]

from collections.abc import Mapping

import onnx
from onnx import TensorProto

from lossrt.errors import InputError, nearest
from lossrt.recipe import Recipe, prediction_name

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def head_keys(recipe: Recipe) -> dict[str, str]:
    """Return every prediction of a recipe: its head by its key, `hm`, and `hm_stack1` for the second stacked output."""
    return {
        prediction_name(head, stack).removeprefix("pred_"): head
        for stack in range(recipe.num_stacks)
        for head in recipe.active_heads
    }


def head_outputs(model: onnx.ModelProto, recipe: Recipe, mapping: Mapping[str, str] | None = None) -> dict[str, str]:
    """Match heads with outputs: as `mapping` says, else the output called as the head, else `pred_<head>`.

    Args:
        model: The network; it is never run, and may hold any operators.
        recipe: Heads, channels and map size; heads of weight 0 are not looked for.
        mapping: Output by head, as the flag `--map hm=OUT1` gives it; further stacked outputs are `hm_stack1`, ….

    Returns:
        Output name by key: the head, with `_stack1` and so on for further stacks; `pred_<key>` is its name on the wire.

    Raises:
        InputError: A head or output is unknown, one output stands for two heads, or outputs are missing or do not fit:
            every one is named, with what was expected, what came, and the flag that mends it.
    """
    mapping = mapping or {}
    keys, outputs = head_keys(recipe), {entry.name: entry for entry in model.graph.output}
    _check_mapping(mapping, keys, outputs)
    found: dict[str, str] = {}
    for key in keys:
        names = (mapping[key],) if key in mapping else (key, prediction_name(key))
        if chosen := next((name for name in names if name in outputs), None):
            found[key] = chosen
    listed = "; ".join(f"'{name}' {_shown(entry)}" for name, entry in outputs.items())
    if missing := [key for key in keys if key not in found]:
        wanted = ", ".join(f"'{key}' [B, {recipe.heads[keys[key]]}, H, W]" for key in missing)
        flags = " ".join(f"--map {key}=OUTPUT" for key in missing)
        raise InputError(f"network: expected an output for {wanted}; got outputs {listed}; say which with {flags}")
    _check_once(found)
    problems = [problem for key, name in found.items() if (problem := _misfit(key, keys[key], outputs[name], recipe))]
    if problems:
        raise InputError("; ".join(problems))
    return found


def _check_mapping(
    mapping: Mapping[str, str], keys: Mapping[str, str], outputs: Mapping[str, onnx.ValueInfoProto]
) -> None:
    for key, name in mapping.items():
        if key not in keys:
            raise InputError(f"--map {key}={name}: the recipe has no such head; {nearest(key, keys)}")
        if name not in outputs:
            raise InputError(f"--map {key}={name}: the network has no such output; {nearest(name, outputs)}")


def _check_once(found: Mapping[str, str]) -> None:
    heads: dict[str, str] = {}
    for key, name in found.items():
        if name in heads:
            raise InputError(
                f"network: output '{name}': expected for one head, got for '{heads[name]}' and '{key}'; say which is "
                f"which with --map {heads[name]}=OUTPUT --map {key}=OUTPUT"
            )
        heads[name] = key


def _misfit(key: str, head: str, entry: onnx.ValueInfoProto, recipe: Recipe) -> str:
    """Return what is wrong with an output, or nothing; what the network does not declare cannot be wrong."""
    kind = entry.type.tensor_type
    expected = (0, recipe.heads[head], *recipe.map_size)
    sizes = [dim.dim_value for dim in kind.shape.dim] if kind.HasField("shape") else list(expected)
    fits = len(sizes) == 4 and all(got in (0, want) for got, want in zip(sizes[1:], expected[1:], strict=True))
    if fits and kind.elem_type in (TensorProto.UNDEFINED, *FLOATS):
        return ""
    return (
        f"network: output '{entry.name}': expected for head '{key}' a float of [B, {expected[1]}, {expected[2]}, "
        f"{expected[3]}], got {_shown(entry)}; name another output with --map {key}=OUTPUT, or export the bundle from a "
        f"recipe with the network's own heads and input size"
    )


def _shown(entry: onnx.ValueInfoProto) -> str:
    kind = entry.type.tensor_type
    name = TensorProto.DataType.Name(kind.elem_type).lower() if kind.elem_type else "unknown"
    sizes = ", ".join(str(dim.dim_value or dim.dim_param or "?") for dim in kind.shape.dim)
    return f"{name}[{sizes if kind.HasField('shape') else '...'}]"
