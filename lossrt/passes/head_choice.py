"""Choose which outputs of a network are cut off as heads, where no recipe says it: `lossrt split`.

Ensures: what is chosen starts at one feature map; every output that is not chosen stays, unless it is computed from a
head that is.
"""

__all__ = ["SplitHeads", "choose_heads"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from lossrt.errors import InputError, nearest
from lossrt.passes.extract import extract
from lossrt.passes.head_walk import Graph, HeadFormError, heads_among
from lossrt.passes.split_heads import NetworkHeads, check_place, common_start, find_heads, named_outputs, starts
from lossrt.passes.walk import nodes_in


@dataclass(frozen=True, slots=True)
class SplitHeads:
    """What becomes of a network's outputs when it is split.

    Attributes:
        heads: The heads, which are cut off.
        kept: Outputs that stay in the backbone.
        dropped: Outputs that are computed from a head, and have no place in the backbone.
    """

    heads: NetworkHeads
    kept: tuple[str, ...]
    dropped: tuple[str, ...]


def choose_heads(
    model: onnx.ModelProto,
    *,
    mapping: Mapping[str, str] | None = None,
    names: Sequence[str] = (),
    at: str | None = None,
) -> SplitHeads:
    """Choose the heads to cut off.

    Args:
        model: The network.
        mapping: Output by head, as the flag `--map hm=OUT1` gives it.
        names: Heads or outputs to cut off, as `--heads` gives them; all of them have to be heads at one map.
        at: The map to cut at. Without `names`, the heads that start there are cut off.

    Raises:
        InputError: A name is unknown, one that has to be a head is none, the heads start at several values, or none
            starts at `at`.
    """
    outputs = named_outputs(model, mapping)
    if names:
        outputs = _named(names, outputs, [value.name for value in model.graph.output])
    graph = Graph(model)
    found = heads_among(graph, outputs)
    if at is not None:
        check_place(at, graph, found)
    start = graph.through_identity(at) if at is not None else common_start(found)
    there = [head for head, entry in found.items() if entry.start == start]
    if at is not None and not there:
        got = starts(found) or "no head of the form that split knows"
        raise InputError(f"--at '{at}': expected heads that start there, got {got}; cut at one of these")
    if at is not None and not names:
        outputs = {head: outputs[head] for head in there}
    advice = f"leave the others in the backbone with --heads {','.join(there)}"
    if not outputs.keys() - found.keys() and outputs.keys() - set(there):
        raise InputError(f"network: expected every head to start at '{start}', got {starts(found)}; {advice}")
    try:
        # No recipe says what the network activates itself, and its heads are the same either way.
        heads = find_heads(model, outputs, at=at, activated=outputs)
    except HeadFormError as error:
        mend = [error.mend, advice if there else "no other output can be cut off"]
        raise InputError(f"{error.found}; {', or '.join(part for part in mend if part)}") from error
    return SplitHeads(heads, *_others(model, heads, set(outputs.values())))


def _named(names: Sequence[str], heads: Mapping[str, str], outputs: Sequence[str]) -> dict[str, str]:
    """Return the output by head of the heads that were named, each by itself or by its output."""
    by_output = {output: head for head, output in heads.items()}
    known = {output: by_output.get(output, output) for output in outputs} | {head: head for head in heads}
    for name in names:
        if name not in known:
            raise InputError(f"--heads {name}: the network has no such head or output; {nearest(name, known)}")
    return {known[name]: heads.get(known[name], name) for name in names}


def _others(model: onnx.ModelProto, heads: NetworkHeads, cut: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the outputs that stay, and those that read a head."""
    parameters = set(heads.parameters().values())
    kept: list[str] = []
    dropped: list[str] = []
    for value in model.graph.output:
        if value.name in cut or value.name == heads.features:
            continue
        reads = {name for node in nodes_in(extract(model, [value.name]).graph.node) for name in node.input}
        (dropped if reads & parameters else kept).append(value.name)
    return tuple(kept), tuple(dropped)
