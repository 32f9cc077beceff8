"""Heads of a network that runs beside the losses: images in, heads out."""

__all__ = ["NetworkHeads", "NetworkRequest", "open_network"]

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from lossrt.bundle import Bundle, file_digest
from lossrt.device.backend import Backend
from lossrt.device.evaluate.plan import PlannedFrame
from lossrt.device.evaluate.stamp import stamp
from lossrt.device.images import annotated_image, find_image
from lossrt.device.network_ports import NetworkPorts, frame_feeds, network_ports
from lossrt.device.preprocessing import network_heatmap, network_image
from lossrt.errors import InputError
from lossrt.passes.attach_activation import check_activations
from lossrt.passes.head_outputs import head_outputs
from lossrt.passes.network_file import read_network
from lossrt.recipe import Recipe
from lossrt.runtime.session import Session
from lossrt.targets.annotations import Frame


@dataclass(frozen=True, slots=True)
class NetworkRequest:
    """What a user says of a network.

    Attributes:
        model: Its ONNX file.
        frames: Folder of the images; None where the user gave none.
        outputs: Output by head, where it is not called as the head.
        ports: Input by role, where that is not clear from the network.
        backend: Where it runs.
    """

    model: Path
    frames: Path | None
    outputs: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, str] = field(default_factory=dict)
    backend: Backend = field(default_factory=Backend)


class NetworkHeads:
    """Heads that a network gives for the images of planned frames; `open_network` makes it.

    A network that takes them is fed the image before, and where the annotations of the frame before say that objects
    were; for a frame without one before it the image itself, and an empty map.

    Args:
        session: The network; batches of 1.
        ports: Its inputs.
        outputs: Its output by prediction.
        planned: The frames.
        frames: Folder of the images; each is looked for here already.
        recipe: Input size.
        digest: What tells the network from another.

    Raises:
        InputError: A frame's image is missing.
    """

    def __init__(
        self,
        session: Session,
        ports: NetworkPorts,
        outputs: Mapping[str, str],
        planned: Sequence[PlannedFrame],
        *,
        frames: Path,
        recipe: Recipe,
        digest: str,
    ) -> None:
        self._session, self._ports, self._outputs, self._planned = session, ports, outputs, planned
        self._recipe, self._digest, self._looks_back = recipe, digest, "previous_image" in ports.names
        self._images = [find_image(frames, frame.frame) for frame in planned]
        before = [frame.previous if self._looks_back else None for frame in planned]
        self._before = [None if frame is None else find_image(frames, frame) for frame in before]

    @property
    def identity(self) -> dict[str, str]:
        """Digests of the network, and of names, sizes and times of the images."""
        images = hashlib.sha256()
        for path in self._images:
            images.update(f"{stamp(path)}\n".encode())
        return {"heads": f"network, {self._digest[:16]}", "images": images.hexdigest()[:16]}

    def images(self, start: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the heads of each frame from number `start` on.

        Raises:
            InputError: An image cannot be read or has another size than its annotations, or the network gives something else than it declares.
            BackendError: The network fails.
        """
        last: tuple[Path, NDArray[Any]] | None = None
        for number in range(start, len(self._planned)):
            planned, path, before = self._planned[number], self._images[number], self._before[number]
            image = network_image(annotated_image(path, planned.frame), self._recipe)
            if before is not None and planned.previous is not None and (last is None or last[0] != before):
                last = before, network_image(annotated_image(before, planned.previous), self._recipe)
            results = self._session.run(self._feeds(planned.previous, image, None if before is None else last))
            last = (path, image) if self._looks_back else None
            yield {prediction: results[output] for prediction, output in self._outputs.items()}

    def _feeds(
        self, previous: Frame | None, image: NDArray[Any], before: tuple[Path, NDArray[Any]] | None
    ) -> dict[str, NDArray[Any]]:
        looks_at_map = "previous_heatmap" in self._ports.names
        return frame_feeds(
            self._ports,
            image,
            previous_image=None if before is None else before[1],
            previous_heatmap=network_heatmap(previous, self._recipe) if looks_at_map else None,
        )


def open_network(
    request: NetworkRequest, bundle: Bundle, recipe: Recipe, planned: Sequence[PlannedFrame], stack: ExitStack
) -> tuple[NetworkHeads, tuple[str, ...]]:
    """Check a network against a bundle's recipe and load it.

    Args:
        request: The network.
        bundle: Where engines of it lie.
        recipe: Heads, activations and input size.
        planned: The frames.
        stack: Closes the network.

    Returns:
        The heads, and warnings: outputs whose activation cannot be told.

    Raises:
        InputError: An output or input does not fit the recipe, which is said with the flag that mends it; or an image is
            missing.
        BackendError: The backend, or a GPU, is missing.
    """
    if request.frames is None:
        raise InputError("--model: expected the folder of the images as well; give it with --frames")
    model = read_network(request.model)
    found = head_outputs(model, recipe, request.outputs)
    ports = network_ports(model, recipe, names=request.ports)
    warnings = check_activations(model, found, recipe)
    session = stack.enter_context(request.backend.open(request.model, bundle, network=request.model))
    heads = NetworkHeads(
        session,
        ports,
        {f"pred_{key}": output for key, output in found.items()},
        planned,
        frames=request.frames,
        recipe=recipe,
        digest=_digest(request.model, model),
    )
    return heads, warnings


def _digest(path: Path, model: onnx.ModelProto) -> str:
    """Return a SHA-256 over a network's file, and over those that its weights lie in."""
    entries = (entry for tensor in model.graph.initializer for entry in tensor.external_data)
    files = [path, *(path.parent / name for name in sorted({e.value for e in entries if e.key == "location"}))]
    return hashlib.sha256(" ".join(file_digest(file) for file in files).encode()).hexdigest()
