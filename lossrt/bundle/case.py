"""One golden case of a graph, and the file it lies in."""

__all__ = ["Case"]

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from lossrt.arrays import read_arrays
from lossrt.bundle.files import replace_file
from lossrt.errors import InputError

_SECTIONS: tuple[Literal["input", "reference", "oracle", "scale", "terms", "own_error"], ...] = (
    "input",
    "reference",
    "oracle",
    "scale",
    "terms",
    "own_error",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One golden case: inputs as deployed, and what they must give.

    Attributes:
        name: Case name, for example `nominal`.
        input: Arrays by wire name.
        reference: PyTorch's fp32 results by output; empty where there is no PyTorch result.
        oracle: Results in float64 by output.
        scale: Σ|terms| of each output, float64, in the output's unit.
        terms: Number of terms summed into each output.
        own_error: rms of PyTorch's own error in fp32, [], float64, of outputs too large to keep: their oracle is computed
            where it is needed.
    """

    name: str
    input: dict[str, NDArray[Any]]
    reference: dict[str, NDArray[Any]] = field(default_factory=dict)
    oracle: dict[str, NDArray[Any]] = field(default_factory=dict)
    scale: dict[str, NDArray[Any]] = field(default_factory=dict)
    terms: dict[str, NDArray[Any]] = field(default_factory=dict)
    own_error: dict[str, NDArray[Any]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the case as safetensors, keys `<section>/<name>`."""
        tensors = {
            f"{section}/{name}": np.asarray(array, order="C")  # safetensors writes the buffer as it lies
            for section in _SECTIONS
            for name, array in getattr(self, section).items()
        }
        replace_file(path, save(tensors))

    @classmethod
    def load(cls, path: Path) -> "Case":
        """Read a case.

        Raises:
            InputError: The file is not safetensors, or has a key outside the six sections.
        """
        tensors = read_arrays(path, what="case")
        sections: dict[str, dict[str, NDArray[Any]]] = {section: {} for section in _SECTIONS}
        for key, array in tensors.items():
            section, _, name = key.partition("/")
            if section not in sections or not name:
                raise InputError(f"case '{path}': key '{key}': expected {'|'.join(_SECTIONS)}/<name>; export again")
            sections[section][name] = array
        return cls(name=path.name.removesuffix(".safetensors"), **sections)
