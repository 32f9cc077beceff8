"""Rewrite a model so that a parser takes it as it is meant: the passes that its findings ask for, and no others."""

__all__ = ["fix_file", "fix_model"]

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from lossrt.bundle import replace_file
from lossrt.errors import InputError, StorageError
from lossrt.passes.inline import inline_functions
from lossrt.passes.narrow_indices import narrow_indices
from lossrt.passes.opset import convert_opset, opset_of
from lossrt.passes.scatter_dedupe import dedupe_scatters
from lossrt.passes.shape_range import expand_shape_ranges
from lossrt.validators.lint.engine import lint_model
from lossrt.validators.lint.ruleset import Target, find_targets, load_rules
from lossrt.validators.lint.source import PROTOBUF_LIMIT, read_model

_INLINED = frozenset({"function-inputs", "function-name", "local-function"})
_OPSET = frozenset({"newer-form", "opset"})
_SCATTERED = frozenset(
    {
        "scatter-reduction-ignored",
        "scatterelements-plugin",
        "scatterelements-reduction",
        "scatternd-reduction",
        "scatternd-reduction-attribute",
    }
)


@dataclass(frozen=True, slots=True)
class _Pass:
    """A pass, and the findings that ask for it."""

    name: str
    rules: frozenset[str]
    run: Callable[[onnx.ModelProto, Target], onnx.ModelProto]


def fix_model(model: Path | str | onnx.ModelProto, *, target: str) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Return the model rewritten for a target, and the names of the passes that changed it.

    Each pass keeps the results: bit for bit, but for the order in which the addends of a scatter are summed. What no pass
    can mend is left for another look with `lint_model`.

    Args:
        model: Path of an ONNX file, or a model in memory; it is left as it is.
        target: Lint target; one, since a rewrite is for one parser.

    Returns:
        The model, its weights inside, and the passes in the order they ran; the model unchanged and no passes where nothing
        that a pass could mend was found.

    Raises:
        InputError: The target is unknown or not one parser, or the file is not a usable ONNX model.
    """
    if target == "all":
        raise InputError("target 'all': a rewrite is for one parser; name the one that the model is for")
    (parser,) = find_targets([target], load_rules())
    whole = model if isinstance(model, onnx.ModelProto) else _read_whole(Path(model))
    applied: list[str] = []
    for entry in _PASSES:
        # Looked at again for each pass: what was inside a function, or written for a newer opset, shows only then.
        if entry.rules & {finding.rule for finding in lint_model(whole, targets=[target])}:
            rewritten = entry.run(whole, parser)
            if rewritten is not whole:
                whole = rewritten
                applied.append(entry.name)
    return whole, tuple(applied)


def fix_file(path: Path, out: Path, *, target: str) -> tuple[str, ...]:
    """Rewrite a file for a target into another file: `lossrt lint --fix -o OUT`.

    Args:
        path: The ONNX file; it is only read, unless `out` is the same.
        out: Where the rewritten model goes, its weights inside; written whole or not at all.
        target: Lint target; one.

    Returns:
        The passes that changed the model; none where it is written as it was.

    Raises:
        InputError: As for `fix_model`, or the model with its weights is larger than one ONNX file can be.
        StorageError: The file cannot be written.
    """
    model, applied = fix_model(path, target=target)
    if model.ByteSize() > PROTOBUF_LIMIT:
        raise InputError(
            f"ONNX model '{path}': {model.ByteSize()} bytes with its weights, and one ONNX file holds at most 2 GB; "
            "rewrite it with fix_model and save it with save_as_external_data=True"
        )
    try:
        replace_file(out, model.SerializeToString())
    except OSError as error:
        raise StorageError(f"'{out}': cannot be written: {error}; choose another place with -o") from error
    return applied


def _read_whole(path: Path) -> onnx.ModelProto:
    read_model(path)
    try:
        return onnx.load(path)
    except Exception as error:  # the checks above passed: the data in another file are at fault
        raise InputError(f"ONNX model '{path}': its weights cannot be read: {error}; export the model again") from error


def _inline(model: onnx.ModelProto, target: Target) -> onnx.ModelProto:
    del target
    return inline_functions(model) if model.functions else model


def _dedupe(model: onnx.ModelProto, target: Target) -> onnx.ModelProto:
    # The shapes inside a local function are known only where it is called.
    flat = _inline(model, target)
    rewritten = dedupe_scatters(flat)
    return model if rewritten is flat else rewritten


def _convert(model: onnx.ModelProto, target: Target) -> onnx.ModelProto:
    opset = target.opset if opset_of(model) > target.opset else min(target.opset, _UP_TO)
    try:
        return convert_opset(_inline(model, target), opset)
    except InputError:
        # The lint names the nodes that have no older form.
        return model


def _expand(model: onnx.ModelProto, target: Target) -> onnx.ModelProto:
    del target
    return expand_shape_ranges(model)


def _narrow(model: onnx.ModelProto, target: Target) -> onnx.ModelProto:
    del target
    return narrow_indices(model)


_UP_TO = 17
"""Opset that a model older than the parser's range is lifted to: all of them take it."""

_PASSES = (
    _Pass("inline", _INLINED, _inline),
    _Pass("scatter_dedupe", _SCATTERED, _dedupe),
    _Pass("opset", _OPSET, _convert),
    _Pass("shape_range", frozenset({"shape-range-ignored"}), _expand),
    _Pass("narrow_indices", frozenset({"int64-input"}), _narrow),
)
"""In the order in which they run."""
