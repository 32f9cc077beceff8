"""Frames through the encoder and the graph, one by one: losses, statistics, output."""

__all__ = ["Evaluation", "Options", "evaluate"]

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lossrt.device.evaluate.journal import Journal, encoded, opened_journal
from lossrt.device.evaluate.plan import PlannedFrame
from lossrt.device.evaluate.record import FrameRecord, Summary, losses_of
from lossrt.device.evaluate.sinks import Sink
from lossrt.device.evaluate.sources import HeadSource
from lossrt.device.evaluate.statistics import Reading, Statistics, check_window
from lossrt.device.loss_session import LossSession
from lossrt.errors import InputError
from lossrt.recipe import Recipe
from lossrt.targets.encode import encode_frame

Arrays = Mapping[str, NDArray[Any]]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How frames are evaluated.

    Attributes:
        window: Frames of the windowed mean.
        drift_sigma: Standard deviations from which on an output drifts.
        out: The output file; None writes none.
        resume: Go on with the output file that is there.
        header: What the output file's first line says.
    """

    window: int = 100
    drift_sigma: float = 3.0
    out: Path | None = None
    resume: bool = False
    header: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_window(self.window)
        if not self.drift_sigma > 0 or not math.isfinite(self.drift_sigma):
            raise InputError(f"--drift-sigma: expected a number > 0, got {self.drift_sigma}")
        if self.resume and self.out is None:
            raise InputError("--resume: expected an output file to go on with; give it with -o")

    @property
    def first_line(self) -> dict[str, Any]:
        """What is evaluated and how."""
        return {**(self.header or {}), "window": self.window, "drift_sigma": self.drift_sigma}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        summary: The summary as it is written.
        resumed: Frames that an earlier run had evaluated.
        frames_per_s: Frames a second of this run, heads and encoding included; None where it evaluated none.
    """

    summary: dict[str, Any]
    resumed: int
    frames_per_s: float | None

    @property
    def interrupted(self) -> bool:
        """True where it was stopped before the end."""
        return not self.summary["complete"]


def evaluate(
    planned: Sequence[PlannedFrame],
    source: HeadSource,
    session: LossSession,
    recipe: Recipe,
    *,
    options: Options | None = None,
    sinks: Iterable[Sink] = (),
    progress: Progress = lambda _what, _done, _total: None,
    stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Evaluate frames one by one, in memory that does not grow with their number.

    Args:
        planned: The frames.
        source: Their heads.
        session: The graph; it takes batches of 1.
        recipe: How annotations are encoded.
        options: Window, drift, output file.
        sinks: What else is shown each frame.
        progress: Called with what is being done, frames done and frames in all.
        stop: Asked before each frame; True ends the evaluation there, with its summary.

    Raises:
        InputError: Heads or annotations do not fit the graph, or the output file is not this evaluation's.
        BackendError: The graph fails.
        StorageError: The disk refuses; the output file holds every frame before.
    """
    chosen = options or Options()
    run = _Run(planned, session, recipe, chosen, tuple(sinks))
    with ExitStack() as stack:
        journal: Journal | None = None
        if chosen.out is not None:
            journal = stack.enter_context(
                opened_journal(chosen.out, chosen.first_line, resume=chosen.resume, replay=run.replay)
            )
        resumed = run.summary.frames
        heads = source.images(resumed)
        stack.callback(getattr(heads, "close", lambda: None))
        started = time.perf_counter()
        for number in range(resumed, len(planned)):
            progress("evaluating", number, len(planned))
            if stop():
                break
            line = run.step(number, next(heads))
            if journal is not None:
                journal.append(line)
        seconds = time.perf_counter() - started
        progress("done", run.summary.frames, len(planned))
        summary = run.summary.as_data(run.statistics.totals(), run.windows)
        if journal is not None:
            journal.append(encoded({"summary": summary}))
    done = run.summary.frames - resumed
    return Evaluation(summary, resumed, done / seconds if done else None)


class _Run:
    """The state that grows with each frame, whether it is computed or read back."""

    def __init__(
        self,
        planned: Sequence[PlannedFrame],
        session: LossSession,
        recipe: Recipe,
        options: Options,
        sinks: tuple[Sink, ...],
    ) -> None:
        self._planned, self._session, self._recipe, self._sinks = planned, session, recipe, sinks
        self._names = session.output_names
        self.statistics = Statistics(self._names, window=options.window, drift_sigma=options.drift_sigma)
        self.summary = Summary(len(planned))
        self.windows: dict[str, float] = {}

    def step(self, number: int, heads: Arrays) -> bytes:
        """Evaluate a frame and return its line."""
        planned = self._planned[number]
        encoded_frame = encode_frame(planned.frame, planned.previous, self._recipe)
        batch = {name: array[None] for name, array in encoded_frame.arrays.items()}
        try:
            losses = self._session(self._as_taken({**batch, **heads}))
        except InputError as error:
            raise InputError(f"{planned.frame.title}: {error}") from error
        return self._add(number, {name: float(losses[name]) for name in self._names}, again=False)

    def _as_taken(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Round floats to the graph's types, and widen half-precision recordings where it takes float32."""
        types = self._session.input_types
        return {
            name: array.astype(types[name], copy=False) if array.dtype.kind not in "iu" else array
            for name, array in arrays.items()
            if name in types
        }

    def replay(self, data: dict[str, Any]) -> bytes:
        """Take over the next frame's record from an earlier run; return the line that this run would write."""
        number = self.summary.frames
        if number >= len(self._planned):
            return b""
        try:
            losses = losses_of(data)
            known = {name: losses[name] for name in self._names}
        except (AttributeError, KeyError, TypeError, ValueError):
            return b""
        return self._add(number, known, again=True)

    def _add(self, number: int, losses: dict[str, float], *, again: bool) -> bytes:
        planned = self._planned[number]
        reading: Reading = self.statistics.add(losses)
        record = FrameRecord(*planned.key, losses, reading)
        self.windows = reading.windows
        self.summary.add(record)
        self.summary.dropped += max(len(planned.frame.class_ids) - self._recipe.max_objs, 0)
        for sink in self._sinks:
            sink.show(record, number=number, again=again)
        return encoded(record.as_data())
