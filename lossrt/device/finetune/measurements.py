"""What a run measures, as `lossrt evaluate` tells it: losses, running and windowed means, flags; in a file and elsewhere.

The file ends up the same however often the run was stopped.
"""

__all__ = ["Measurements"]

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lossrt.bundle import replace_file
from lossrt.device.evaluate.record import FrameRecord
from lossrt.device.evaluate.sinks import Sink
from lossrt.device.evaluate.statistics import Statistics
from lossrt.device.finetune.history import History
from lossrt.errors import StorageError

WINDOW = 100


class Measurements:
    """A file that grows by a line a step and a validation, and whatever else shows them.

    A falling loss is what training is for: drift is not flagged, NaN and infinities are.

    Args:
        path: The file; what lies there is replaced when the run begins or goes on.
        names: `loss` and `loss_<head>`.
        window: Steps of the windowed mean.
        sinks: What else is shown each step and validation.
    """

    def __init__(self, path: Path, names: Sequence[str], *, window: int = WINDOW, sinks: Sequence[Sink] = ()) -> None:
        self._path, self._names, self._sinks = path, tuple(names), tuple(sinks)
        self._statistics = Statistics(self._names, window=window, drift_sigma=None)

    def begin(self, history: History | None) -> None:
        """Write the lines up to where the run goes on; what a killed run wrote after its last checkpoint comes again.

        Args:
            history: What an earlier run measured; None where there was none.

        Raises:
            StorageError: The disk refused.
        """
        lines = [] if history is None else list(self._replayed(history))
        try:
            replace_file(self._path, "".join(lines).encode())
        except OSError as error:
            raise self._refused(error) from error

    def step(self, history: History) -> None:
        """Tell the newest step.

        Raises:
            StorageError: The disk refused.
        """
        self._append(self._step(len(history.steps), history.steps[-1], again=False))

    def validation(self, history: History) -> None:
        """Tell the newest validation.

        Raises:
            StorageError: The disk refused.
        """
        self._append(self._validation(len(history.steps), history.validations[-1], again=False))

    def _replayed(self, history: History) -> Iterator[str]:
        """Yield the lines of a history, in the order in which it came about."""
        waiting = list(history.validations)
        for number, row in enumerate(history.steps, start=1):
            while waiting and waiting[0][0] <= row[0]:
                yield self._validation(number - 1, waiting.pop(0), again=True)
            yield self._step(number, row, again=True)
        for row in waiting:
            yield self._validation(len(history.steps), row, again=True)

    def _step(self, number: int, row: Sequence[float], *, again: bool) -> str:
        """Show step `number`, from 1, and return its line."""
        epoch, lr, norm, *values = row
        losses = dict(zip(self._names, values, strict=True))
        record = FrameRecord("train", number, losses, self._statistics.add(losses))
        for sink in self._sinks:
            sink.show(record, number=number - 1, again=again)
        measured = {name: value for name, value in record.as_data().items() if name not in ("sequence", "frame")}
        return _line({"step": number, "epoch": int(epoch) + 1, "lr": lr, "grad_norm": norm, **measured})

    def _validation(self, steps: int, row: Sequence[float], *, again: bool) -> str:
        """Show a validation after so many steps, and return its line: epochs done, and the losses."""
        losses = dict(zip(self._names, row[1:], strict=True))
        for sink in self._sinks:
            sink.note("validation", losses, number=steps, again=again)
        return _line({"epoch": int(row[0]), "validation": losses})

    def _append(self, line: str) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(line)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(
            f"metrics '{self._path}': cannot be written: {error.strerror or error}; free space, or choose another file with --metrics; the checkpoint is whole"
        )


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(_finite(values), allow_nan=False) + "\n"


def _finite(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {name: _finite(value) for name, value in data.items()}
    return str(data) if isinstance(data, float) and not math.isfinite(data) else data
