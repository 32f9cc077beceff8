"""From what a user asks for to what an evaluation needs, with every check that can be made before the first frame."""

__all__ = ["Ready", "Request", "prepared"]

import importlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lossrt.bundle import Bundle
from lossrt.device.backend import Backend
from lossrt.device.evaluate.network import NetworkRequest, open_network
from lossrt.device.evaluate.plan import PlannedFrame, annotations_digest, parse_range, planned_frames
from lossrt.device.evaluate.recording import open_recording, parameters_from
from lossrt.device.evaluate.sources import GeneratedHeads, HeadSource, WithParameters
from lossrt.device.loss_session import LossSession
from lossrt.errors import InputError
from lossrt.recipe import Recipe
from lossrt.runtime.compiler import backend_version
from lossrt.spec import GraphSpec
from lossrt.targets.annotations import beyond_classes
from lossrt.targets.formats import read_annotations
from lossrt.targets.scenes import generated_scene

GRAPH = "generic_loss"


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks for; the options of `lossrt evaluate`.

    Attributes:
        heads: Recorded heads.
        annotations: Annotations; None generates a scene.
        generate: Frames to make up heads for.
        only: Frame numbers, such as `1-300`.
        parameters: Learned parameters of the losses.
        network: A network that gives the heads.
        precision: One of the bundle's precisions.
        backend: Where the losses run.
        seed: Seed of everything random.
    """

    heads: Path | None = None
    annotations: Path | None = None
    generate: int | None = None
    only: str | None = None
    parameters: Path | None = None
    network: NetworkRequest | None = None
    precision: str = "fp32"
    backend: Backend = field(default_factory=lambda: Backend(threads=1))
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Ready:
    """What an evaluation needs.

    Attributes:
        planned: The frames.
        source: Their heads.
        session: The graph.
        recipe: How annotations are encoded.
        header: What tells this evaluation from another.
        title: What a picture of it is called.
        warnings: What could not be checked.
    """

    planned: Sequence[PlannedFrame]
    source: HeadSource
    session: LossSession
    recipe: Recipe
    header: dict[str, Any]
    title: str
    warnings: tuple[str, ...]


def prepared(bundle: Bundle, request: Request, stack: ExitStack) -> Ready:
    """Read the annotations, find the heads, load the graph.

    Args:
        bundle: The bundle.
        request: What is asked for.
        stack: Closes what is opened.

    Raises:
        InputError: Something asked for is missing, contradicts another thing, or does not fit the bundle.
        BackendError: The backend, or a GPU, is missing.
    """
    recipe, spec = _taken(bundle)
    planned, left_out = _planned(recipe, request)
    warnings: tuple[str, ...] = ()
    source: HeadSource
    if request.network is not None:
        source, warnings = open_network(request.network, bundle, recipe, planned, stack)
        source = _with_parameters(source, spec, request.parameters)
    else:
        source = _source(planned, spec, recipe, request)
    backend = request.backend
    session = LossSession.from_bundle(
        bundle,
        graph=GRAPH,
        precision=request.precision,
        backend=backend.name,
        threads=backend.threads,
        trust=backend.trust,
        plugins=backend.plugins,
    )
    stack.enter_context(session)
    sequences = list(dict.fromkeys(frame.key[0] for frame in planned))
    header = {
        "bundle_id": bundle.bundle_id,
        "graph": GRAPH,
        "precision": request.precision,
        "backend": backend.name,
        "runtime": _runtime(backend.name),
        "threads": backend.threads,
        "frames": len(planned),
        "annotations": annotations_digest(planned)[:16],
        **source.identity,
    }
    return Ready(
        planned, source, session, recipe, header, f"{recipe.name}: {', '.join(sequences[:3])}", (*left_out, *warnings)
    )


def _taken(bundle: Bundle) -> tuple[Recipe, GraphSpec]:
    recipe, spec = bundle.manifest.recipe, bundle.entry(GRAPH).spec
    if recipe is None:
        raise InputError(f"bundle '{bundle.root}': a graph of your own; expected one that was exported from a recipe")
    if "B" not in bundle.manifest.dynamic and spec.sizes.get("B", 1) != 1:
        raise InputError(
            f"bundle '{bundle.root}': its graphs take {spec.sizes['B']} images at once, and losses of each frame need 1; "
            "export it with an open batch, or with --batch 1"
        )
    return recipe, spec


def _planned(recipe: Recipe, request: Request) -> tuple[list[PlannedFrame], list[str]]:
    """Return the frames, and what is said of annotations that no target is made of."""
    if [request.heads, request.generate, request.network].count(None) != 2:
        raise InputError(
            "evaluate: expected one of --heads, --generate and --model; give recorded heads, or --generate 200 to try it"
        )
    only = None if request.only is None else parse_range(request.only)
    if request.annotations is not None:
        sequences = read_annotations(request.annotations)
        left_out = beyond_classes(sequences, recipe)
        return planned_frames(sequences, only=only)[: request.generate], [left_out] if left_out else []
    if request.generate is None:
        raise InputError("evaluate: expected --annotations; losses compare the heads with them")
    return planned_frames([generated_scene(recipe, frames=request.generate, seed=request.seed)], only=only), []


def _source(planned: list[PlannedFrame], spec: GraphSpec, recipe: Recipe, request: Request) -> HeadSource:
    if request.heads is None:
        return GeneratedHeads(planned, recipe, seed=request.seed)
    source: HeadSource = open_recording(request.heads, planned, spec, recipe, partial=request.only is not None)
    return _with_parameters(source, spec, request.parameters)


def _with_parameters(source: HeadSource, spec: GraphSpec, path: Path | None) -> HeadSource:
    learned = [tensor.name for tensor in spec.inputs if tensor.role == "parameter"]
    if not learned:
        return source
    if path is None:
        raise InputError(
            f"evaluate: this bundle's losses have learned parameters ({', '.join(learned)}); give them with --parameters"
        )
    return WithParameters(source, parameters_from(path, spec))


def _runtime(backend: str) -> str:
    """Return what computes, and its version: another one may round otherwise."""
    if backend.startswith("ort"):
        return f"onnxruntime {importlib.import_module('onnxruntime').__version__}"
    return f"{backend} {backend_version('rtx' if backend == 'rtx' else 'tensorrt')}"
