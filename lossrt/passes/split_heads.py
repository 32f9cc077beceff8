"""Find the heads of a network in its graph, and the one feature map that they all start at. Nothing is executed."""

__all__ = [
    "HeadLayers",
    "NetworkHeads",
    "check_place",
    "common_start",
    "find_heads",
    "named_outputs",
    "parameter_name",
    "starts",
]

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import onnx

from lossrt.errors import InputError, nearest
from lossrt.passes.head_walk import PARAMETERS, FoundHead, Graph, HeadLayers, walk_head
from lossrt.recipe import HEADS, prediction_name


@dataclass(frozen=True, slots=True)
class NetworkHeads:
    """The heads of a network and the feature map that they share.

    Attributes:
        features: Name of the feature map, [B, F, H, W].
        channels: F.
        heads: The heads, in the order asked for.
    """

    features: str
    channels: int
    heads: tuple[HeadLayers, ...]

    def parameters(self, scope: Literal["full", "last"] = "full") -> dict[str, str]:
        """Return the network's name of each parameter by its wire name, such as `hm_0_weight`; `last` has the 1x1 ones."""
        wanted = PARAMETERS if scope == "full" else PARAMETERS[2:]
        return {
            parameter_name(layers.head, part): layers.initializers[part] for layers in self.heads for part in wanted
        }


def parameter_name(head: str, part: str) -> str:
    """Return a parameter's name on the wire without its prefix: `hm_0_weight`."""
    return f"{head}_{part}"


def named_outputs(model: onnx.ModelProto, mapping: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the outputs that are heads by their names, where no recipe says which there are.

    Args:
        model: The network.
        mapping: Output by head, as the flag `--map hm=OUT1` gives it; other outputs count when they are called as a
            head that CenterTrack or a relative has, with or without `pred_`.

    Raises:
        InputError: A named output is none of the network's.
    """
    mapping = mapping or {}
    outputs = [value.name for value in model.graph.output]
    for head, name in mapping.items():
        if name not in outputs:
            raise InputError(f"--map {head}={name}: the network has no such output; {nearest(name, outputs)}")
    usual = {name: head for head in HEADS for name in (head, prediction_name(head))}
    found = {usual[name]: name for name in outputs if name in usual and name not in mapping.values()}
    return found | dict(mapping)


def find_heads(
    model: onnx.ModelProto, outputs: Mapping[str, str], *, at: str | None = None, activated: Collection[str] = ()
) -> NetworkHeads:
    """Walk back from the outputs to the feature map.

    Args:
        model: The network; the values of its initializers are not looked at.
        outputs: Value that each head gives, by head; an inner value will do.
        at: The feature map; None takes what all heads read.
        activated: Heads that the network activates itself: what follows their last convolution is passed over.

    Raises:
        InputError: A head is not of the form that training knows, or the heads do not all start at one value, or not at
            `at`.
    """
    if not outputs:
        raise InputError(
            f"network: expected heads among its outputs, got {', '.join(v.name for v in model.graph.output) or 'none'}; name them with --map HEAD=OUTPUT"
        )
    graph = Graph(model)
    found = {head: walk_head(graph, head, value, activated=head in activated) for head, value in outputs.items()}
    features = at or common_start(found)
    check_place(features, graph, found)
    start = graph.through_identity(features)
    if elsewhere := [head for head, entry in found.items() if entry.start != start]:
        if len({entry.start for entry in found.values()}) == 1:
            mend = f"they all start at '{found[elsewhere[0]].start}': leave --at away"
        else:
            mend = f"fine-tuning needs one feature map: leave {', '.join(elsewhere)} out of the recipe, or train where PyTorch is"
        raise InputError(f"network: expected every head to start at '{features}', got {starts(found)}; {mend}")
    return NetworkHeads(features, next(iter(found.values())).channels, tuple(entry.layers for entry in found.values()))


def common_start(found: Mapping[str, FoundHead]) -> str:
    """Return the value that most heads start at; nothing where there is no head."""
    return max(Counter(entry.start for entry in found.values()).items(), key=lambda item: item[1], default=("", 0))[0]


def starts(found: Mapping[str, FoundHead]) -> str:
    """Return in words where each head starts."""
    return ", ".join(f"'{head}' at '{entry.start}'" for head, entry in found.items())


def check_place(features: str, graph: Graph, found: Mapping[str, FoundHead]) -> None:
    """Check that the network has the value to cut at.

    Raises:
        InputError: It has none of that name.
    """
    if features not in graph.producers and features not in graph.inputs:
        near = nearest(features, {entry.start for entry in found.values()})
        raise InputError(f"--at '{features}': no such value in the network; {near}")
