"""Where a run stands, in one file that is replaced whole: killed at any moment, the run goes on from the last one."""

__all__ = ["Position", "State", "load_state", "save_state"]

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from numpy.typing import NDArray
from safetensors.numpy import save

from lossrt.arrays import read_arrays
from lossrt.bundle import replace_file
from lossrt.device.finetune.history import History
from lossrt.errors import InputError, StorageError

Arrays = dict[str, NDArray[Any]]
FILE = "checkpoint.safetensors"
KEY = "lossrt.finetune"
SCHEMA = 1
_DIGEST = re.compile(r"^[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run has come. The order of an epoch's frames follows from the seed and its number.

    Attributes:
        epoch: Epochs done.
        step: Steps done of the epoch after them.
        best_epoch: Epochs done when the best weights were the current ones.
        best_loss: Their validation loss; infinity before the first validation.
        done: The run is over.
    """

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    done: bool = False


@dataclass(slots=True)
class State:
    """A run.

    Attributes:
        position: How far it has come.
        carried: Weights and optimizer state, by input of the step's graph.
        best: Weights with the lowest validation loss.
        history: Losses so far.
    """

    position: Position
    carried: Arrays
    best: Arrays
    history: History


def save_state(folder: Path, state: State, *, identity: Mapping[str, Any]) -> None:
    """Replace the checkpoint.

    Args:
        folder: Where it lies.
        state: The run.
        identity: What the run is of, the most telling first: a checkpoint of anything else is refused.

    Raises:
        StorageError: The disk refused; the checkpoint before is whole.
    """
    tensors: Arrays = {f"carried/{name}": array for name, array in state.carried.items()}
    tensors |= {f"best/{name}": array for name, array in state.best.items()}
    tensors |= {f"history/{name}": array for name, array in state.history.arrays().items()}
    header = {
        "schema": SCHEMA,
        "identity": dict(identity),
        "position": dataclasses.asdict(state.position),
        "loss_names": state.history.loss_names,
    }
    try:
        replace_file(folder / FILE, save(tensors, metadata={KEY: json.dumps(header, sort_keys=True)}))
    except OSError as error:
        raise StorageError(
            f"checkpoint '{folder / FILE}': cannot be written: {error.strerror or error}; the one before is whole: free space, or choose another place with --checkpoint, and run it again"
        ) from error


def load_state(folder: Path, *, identity: Mapping[str, Any]) -> State | None:
    """Return the run that a checkpoint is of; None where there is no checkpoint.

    Raises:
        InputError: It is of another network, bundle, data or options, or no checkpoint, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--checkpoint '{folder}': expected a folder, got a file; choose another one")
    path = folder / FILE
    for left in folder.glob(f".{FILE}.*"):  # of a run that was killed while it wrote
        left.unlink(missing_ok=True)
    if not path.exists():
        return None
    header = _header(path)
    was, now = header["identity"], json.loads(json.dumps(dict(identity)))
    for name in dict.fromkeys([*now, *was]):
        if was.get(name) != now.get(name):
            before, here = _shown(was.get(name)), _shown(now.get(name))
            raise InputError(
                f"checkpoint '{path}': is of a run with {name} {before}, and this one has {here}; go on with the same command, or choose another folder with --checkpoint"
            )
    parts: dict[str, Arrays] = {"carried": {}, "best": {}, "history": {}}
    for key, array in read_arrays(path, what="checkpoint").items():
        part, _, name = key.partition("/")
        parts[part][name] = array
    history = History.from_arrays(tuple(header["loss_names"]), parts["history"])
    return State(Position(**header["position"]), parts["carried"], parts["best"], history)


def _shown(value: object) -> str:
    """Return a value for a message; of a digest, its beginning."""
    text = str(value)
    return text[:12] if _DIGEST.match(text) else text


def _header(path: Path) -> dict[str, Any]:
    try:
        with safetensors.safe_open(path, "numpy") as opened:
            header = json.loads((opened.metadata() or {})[KEY])
    except (safetensors.SafetensorError, KeyError, ValueError, OSError) as error:
        raise InputError(
            f"checkpoint '{path}': expected one that `lossrt finetune` wrote, got: {error}; remove it, or choose another folder with --checkpoint"
        ) from error
    if header.get("schema") != SCHEMA:
        raise InputError(
            f"checkpoint '{path}': expected schema {SCHEMA}, got {header.get('schema')}; remove it to begin anew"
        )
    return dict(header)
