"""Where the maps come from that the trained layers read: the network's frozen part, or files computed elsewhere."""

__all__ = ["BackboneSource", "FeatureSource", "FolderSource", "frozen_part"]

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from lossrt.bundle import file_digest
from lossrt.device.finetune.cache import read_frame_arrays
from lossrt.device.images import annotated_image, find_image
from lossrt.device.network_ports import NetworkPorts, frame_feeds
from lossrt.device.preprocessing import network_heatmap, network_image
from lossrt.errors import InputError
from lossrt.passes.split import cut
from lossrt.passes.split_heads import NetworkHeads
from lossrt.recipe import Recipe
from lossrt.runtime.session import Session
from lossrt.targets.annotations import Frame, FramePair

Arrays = dict[str, NDArray[Any]]


class FeatureSource(Protocol):
    """Gives each frame's maps."""

    def maps(self, pair: FramePair) -> Arrays:
        """Return [channels, H, W] float32 by value of the network: the feature map, or every head's hidden map."""
        ...

    def key(self, pair: FramePair) -> str:
        """Return a SHA-256 of what the frame's maps are computed from."""
        ...


def frozen_part(model: onnx.ModelProto, heads: NetworkHeads, *, scope: str, from_features: bool) -> onnx.ModelProto:
    """Return the part of a network that training leaves alone.

    Args:
        model: The network.
        heads: Its heads.
        scope: `full`: up to the feature map; `last`: up to each head's hidden map.
        from_features: Begin at the feature map instead of the network's inputs.
    """
    ends: dict[str, int | None] = {heads.features: heads.channels}
    if scope == "last":
        ends = {layers.hidden: None for layers in heads.heads}
    return cut(model, ends, inputs={heads.features: heads.channels} if from_features else None)


@dataclass(frozen=True, slots=True)
class BackboneSource:
    """Runs the network's frozen part on images.

    Attributes:
        session: That part; one frame at a time, so that the result does not depend on which frames come together.
        ports: The network's inputs.
        frames: Folder of the images.
        recipe: Input size.
    """

    session: Session
    ports: NetworkPorts
    frames: Path
    recipe: Recipe

    def maps(self, pair: FramePair) -> Arrays:
        """Return the maps of a frame; a first frame, or one whose previous image is missing, is its own previous.

        Raises:
            InputError: The frame's image is missing, is none, or has another size than its annotations.
        """
        frame, previous = pair
        feeds = frame_feeds(
            self.ports,
            network_image(annotated_image(self._image(frame), frame), self.recipe),
            previous_image=self._previous_input(previous),
            previous_heatmap=network_heatmap(previous, self.recipe),
        )
        return {name: array[0] for name, array in self.session.run(feeds).items()}

    def key(self, pair: FramePair) -> str:
        """Return a digest of the images and of the annotations that the previous heatmap shows."""
        frame, previous = pair
        before = self._previous_image(previous)
        parts = [file_digest(self._image(frame)), file_digest(before) if before else ""]
        if previous is not None:
            parts += [hashlib.sha256(a.tobytes()).hexdigest() for a in (previous.boxes, previous.class_ids)]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def _previous_input(self, previous: Frame | None) -> NDArray[np.float32] | None:
        path = self._previous_image(previous)
        if path is None or previous is None:
            return None
        return network_image(annotated_image(path, previous), self.recipe)

    def _image(self, frame: Frame) -> Path:
        return find_image(self.frames, frame)

    def _previous_image(self, previous: Frame | None) -> Path | None:
        if previous is None or "previous_image" not in self.ports.names:
            return None
        return find_image(self.frames, previous)


@dataclass(frozen=True, slots=True)
class FolderSource:
    """Reads features that were computed elsewhere.

    One file a frame, `<sequence>/<frame number, six digits>.safetensors` or `.npz` with the key `features`
    [F, H, W] float32; without the sequence's folder where there is one sequence only.

    Attributes:
        folder: The folder.
        shape: (F, H, W) that the network and the recipe ask for.
        name: The feature map's name in the network.
        hidden: From the feature map to the hidden maps, for scope `last`; None for `full`.
    """

    folder: Path
    shape: tuple[int, int, int]
    name: str
    hidden: Session | None = None

    def maps(self, pair: FramePair) -> Arrays:
        """Return the maps of a frame.

        Raises:
            InputError: Its file is missing, or its array is not `features` of that shape.
        """
        path = self._file(pair[0])
        arrays = read_frame_arrays(path)
        features = arrays.get("features")
        if features is None or features.shape != self.shape or features.dtype != np.float32:
            got = {name: f"{array.dtype.name}{list(array.shape)}" for name, array in arrays.items()}
            raise InputError(
                f"features '{path}': expected 'features' float32{list(self.shape)}, got {got}; compute them with the backbone that `lossrt split` writes, at the recipe's input size"
            )
        if self.hidden is None:
            return {self.name: features}
        return {name: array[0] for name, array in self.hidden.run({self.name: features[None]}).items()}

    def key(self, pair: FramePair) -> str:
        """Return a digest of the frame's file."""
        return file_digest(self._file(pair[0]))

    def _file(self, frame: Frame) -> Path:
        stem = f"{frame.index:06d}"
        places = [self.folder / frame.sequence / stem, self.folder / stem]
        return _first([place.with_suffix(suffix) for place in places for suffix in (".safetensors", ".npz")], frame)


def _first(paths: Sequence[Path], frame: Frame) -> Path:
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise InputError(
            f"{frame.title}: expected its features in '{paths[0]}' (or .npz), got no file; compute them, or give --frames instead"
        )
    return found
