"""Fits network, bundle and frames together, before anything is trained."""

__all__ = ["FinetuneInputs", "Network", "Runtime", "feature_source", "read_inputs", "wires"]

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from lossrt.bundle import Bundle, file_digest
from lossrt.device.backend import Backend
from lossrt.device.finetune.options import FinetuneOptions
from lossrt.device.finetune.sources import BackboneSource, FeatureSource, FolderSource, frozen_part
from lossrt.device.finetune.step_graph import StepGraph
from lossrt.device.network_ports import network_ports
from lossrt.errors import InputError
from lossrt.passes.head_outputs import head_outputs
from lossrt.passes.network_file import read_network
from lossrt.passes.split import data_files, write_part
from lossrt.passes.split_heads import NetworkHeads, find_heads
from lossrt.recipe import Recipe
from lossrt.runtime.session import Session
from lossrt.targets.annotations import FrameSequence


@dataclass(frozen=True, slots=True)
class FinetuneInputs:
    """What a run reads.

    Attributes:
        network: The network's file.
        sequences: What was annotated.
        frames: Folder of the images; None where `features` is given.
        features: Folder of features computed elsewhere; None where `frames` is given.
        outputs: The network's output by head, where it is not called so.
        ports: The network's input by role, where its name does not say it.
        at: The feature map; None takes what all heads read.

    Raises:
        InputError: Both folders are given, or neither.
    """

    network: Path
    sequences: tuple[FrameSequence, ...]
    frames: Path | None = None
    features: Path | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, str] = field(default_factory=dict)
    at: str | None = None

    def __post_init__(self) -> None:
        if (self.frames is None) == (self.features is None):
            got = "both" if self.frames else "neither"
            raise InputError(f"expected one of --frames (images) and --features (computed elsewhere), got {got}")
        for flag, folder in (("--frames", self.frames), ("--features", self.features)):
            if folder is not None and not folder.is_dir():
                raise InputError(f"{flag} '{folder}': expected a folder, got none; check the path")


@dataclass(frozen=True, slots=True)
class Network:
    """A network that was read, and not run.

    Attributes:
        path: Its file.
        model: Its graph; weights may be left in other files.
        heads: Its heads.
        digest: SHA-256 of all its files.
    """

    path: Path
    model: onnx.ModelProto
    heads: NetworkHeads
    digest: str

    def initializers(self, step: StepGraph) -> dict[str, str]:
        """Return the name in the network of each parameter that the step trains.

        Raises:
            InputError: The step trains a head that the network lacks.
        """
        own = self.heads.parameters()
        if lacking := [name for name in step.parameter_names if name not in own]:
            raise InputError(
                f"network '{self.path}': expected the heads of the bundle's step, with parameter '{lacking[0]}', got heads {', '.join(layers.head for layers in self.heads.heads)}; take the bundle of the network's recipe"
            )
        return {name: own[name] for name in step.parameter_names}


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where parts of a network run.

    Attributes:
        bundle: Where engines lie.
        backend: What runs them.
        scratch: Folder for their files.
        network: The file that they are parts of.
    """

    bundle: Bundle
    backend: Backend
    scratch: Path
    network: Path

    def open(self, part: onnx.ModelProto, *, folder: Path) -> Session:
        """Load a part of a network whose file lies in `folder`."""
        path = self.scratch / "part.onnx"
        write_part(part, path, folder=folder, option="--checkpoint")
        return self.backend.open(path, self.bundle, network=self.network)


def read_inputs(inputs: FinetuneInputs, recipe: Recipe) -> Network:
    """Read a network and find its heads.

    Raises:
        InputError: It is no network, or its heads are not the recipe's, or not of the form that training knows.
    """
    model = read_network(inputs.network)
    activated = [head for head in recipe.heads if recipe.is_applied(head)]
    heads = find_heads(model, head_outputs(model, recipe, inputs.outputs), at=inputs.at, activated=activated)
    files = [inputs.network, *(inputs.network.parent / name for name in data_files(model))]
    if missing := [path for path in files if not path.is_file()]:
        raise InputError(
            f"network '{inputs.network}': expected its weights in '{missing[0]}', got no file; copy it too"
        )
    digest = hashlib.sha256(" ".join(file_digest(path) for path in files).encode()).hexdigest()
    return Network(inputs.network, model, heads, digest)


def feature_source(
    inputs: FinetuneInputs, network: Network, recipe: Recipe, *, options: FinetuneOptions, runtime: Runtime
) -> FeatureSource:
    """Return where the maps come from that training reads.

    Raises:
        InputError: The network's inputs are not image, previous image and previous heatmap, or cannot run here.
        BackendError: The backend is missing or fails.
    """
    folder, heads = network.path.parent, network.heads
    if inputs.features is not None:
        shape = (heads.channels, *recipe.map_size)
        if options.scope == "full":
            return FolderSource(inputs.features, shape, heads.features)
        part = frozen_part(network.model, heads, scope="last", from_features=True)
        return FolderSource(inputs.features, shape, heads.features, runtime.open(part, folder=folder))
    assert inputs.frames is not None
    ports = network_ports(network.model, recipe, names=inputs.ports)
    part = frozen_part(network.model, heads, scope=options.scope, from_features=False)
    return BackboneSource(runtime.open(part, folder=folder), ports, inputs.frames, recipe)


def wires(heads: NetworkHeads, options: FinetuneOptions) -> dict[str, str]:
    """Return the input of the step's graph that takes each value of the network."""
    if options.scope == "full":
        return {heads.features: "features"}
    return {layers.hidden: f"hidden_{layers.head}" for layers in heads.heads}
