"""Where losses are shown beside the output file: TensorBoard, Prometheus, a picture."""

__all__ = ["CurveFile", "Sink", "prometheus_sink", "tensorboard_sink"]

import importlib
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from lossrt.bundle import replace_file
from lossrt.device.evaluate.curve import Curve, curve_svg
from lossrt.device.evaluate.record import FrameRecord
from lossrt.errors import BackendError, InputError, StorageError

TEXTFILE_S = 1.0
FLUSH_S = 1.0


class Sink(Protocol):
    """Something that is shown every frame, beside the output file."""

    def show(self, record: FrameRecord, *, number: int, again: bool) -> None:
        """Take a record; `number` counts frames from 0, and `again` says that an earlier run has shown it."""
        ...

    def note(self, what: str, losses: Mapping[str, float], *, number: int, again: bool) -> None:
        """Take losses that are no frame's, such as those of a validation before frame, or step, `number`."""
        ...


class CurveFile:
    """An SVG of every output over the frames.

    Args:
        path: The file.
        outputs: Names of the outputs.
        title: What stands above it.
        unit: What is counted below it.
    """

    def __init__(self, path: Path, outputs: Sequence[str], *, title: str, unit: str = "frame") -> None:
        self._path, self._title, self._unit, self._frames = path, title, unit, 0
        self._curves = {name: Curve() for name in outputs}

    def show(self, record: FrameRecord, *, number: int, again: bool) -> None:  # noqa: ARG002  # it is drawn whole
        """Add a frame."""
        self._frames = number + 1
        for name, curve in self._curves.items():
            curve.add(record.losses[name])

    def note(self, what: str, losses: Mapping[str, float], *, number: int, again: bool) -> None:
        """Leave out what is no frame's."""

    def write(self) -> None:
        """Write the picture; nothing without a frame.

        Raises:
            StorageError: The disk refuses.
        """
        if not self._frames:
            return
        text = curve_svg(self._curves, title=self._title, frames=self._frames, unit=self._unit)
        try:
            replace_file(self._path, text.encode())
        except OSError as error:
            raise StorageError(f"--curve '{self._path}': cannot be written: {error.strerror}") from error


class _TensorBoard:
    """Event files, written as the frames come: tensorboardX's own writer has a thread, which a full disk ends unheard."""

    def __init__(self, folder: Path, unit: str) -> None:
        package = _imported("tensorboardX", "--tensorboard", "tensorboardX")
        records = importlib.import_module(f"{package.__name__}.record_writer")
        self._proto = importlib.import_module(f"{package.__name__}.proto.event_pb2")
        self._summary = importlib.import_module(f"{package.__name__}.proto.summary_pb2").Summary
        self._folder, self._unit, self._begun, self._flushed = folder, unit, False, time.monotonic()
        with self._told():
            folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
            self._file = records.RecordWriter(str(folder / name))
        self._write(0, file_version="brain.Event:2")

    def show(self, record: FrameRecord, *, number: int, again: bool) -> None:
        if again:
            return
        values = {f"{self._unit}/{name}": value for name, value in record.losses.items()}
        values |= {f"window/{name}": value for name, value in record.reading.windows.items()}
        values |= {f"flag/{flag.kind}/{flag.output}": 1.0 for flag in record.reading.flags}
        self._add(values, number)

    def note(self, what: str, losses: Mapping[str, float], *, number: int, again: bool) -> None:
        if not again:
            self._add({f"{what}/{name}": value for name, value in losses.items()}, number)

    def _add(self, values: Mapping[str, float], number: int) -> None:
        scalars = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        if not self._begun and number:
            # What a killed run wrote past its output file is written anew: TensorBoard drops the older.
            self._write(number, session_log=self._proto.SessionLog(status=self._proto.SessionLog.START))
        self._begun = True
        self._write(number, summary=self._summary(value=scalars))
        if time.monotonic() - self._flushed >= FLUSH_S:
            with self._told():
                self._file.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        with self._told():
            try:
                self._file.flush()
            finally:
                self._file.close()

    def _write(self, number: int, **content: Any) -> None:
        event = self._proto.Event(step=number, wall_time=time.time(), **content)
        with self._told():
            self._file.write(event.SerializeToString())

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"--tensorboard '{self._folder}': cannot be written: {error.strerror or error}; free space, or leave it out"
            ) from error


@contextmanager
def tensorboard_sink(folder: Path, *, unit: str = "frame") -> Iterator[Sink]:
    """Write event files for TensorBoard; a run that goes on writes a further one, from its first frame on.

    Args:
        folder: Where they go.
        unit: What is counted: the first part of a loss's tag.

    Raises:
        BackendError: tensorboardX is not installed.
        StorageError: The disk refuses.
    """
    sink = _TensorBoard(folder, unit)
    try:
        yield sink
    except BaseException:
        with suppress(StorageError):  # what ended the run is what is told
            sink.close()
        raise
    sink.close()


class _Prometheus:
    def __init__(self, module: Any, publish: Callable[[Any], None], unit: str) -> None:
        self._registry = module.CollectorRegistry()
        self._publish, self._published = publish, -math.inf
        gauge, counter = module.Gauge, module.Counter
        labels: dict[str, Any] = {"labelnames": ("output",), "registry": self._registry}
        self._gauges = [
            gauge("lossrt_loss", f"Loss of the last {unit}.", **labels),
            gauge("lossrt_loss_mean", f"Mean over all {unit}s with a finite loss.", **labels),
            gauge("lossrt_loss_window", f"Mean over the last {unit}s with a finite loss.", **labels),
        ]
        self._further = gauge(
            "lossrt_further_loss",
            f"A loss that is no {unit}'s.",
            labelnames=("output", "kind"),
            registry=self._registry,
        )
        self._flags = counter(
            "lossrt_flags", f"{unit.capitalize()}s with a flag.", labelnames=("output", "kind"), registry=self._registry
        )
        self._frames = counter(f"lossrt_{unit}s", f"{unit.capitalize()}s done.", registry=self._registry)
        self.registry = self._registry

    def show(self, record: FrameRecord, *, number: int, again: bool) -> None:  # noqa: ARG002  # counts are of all frames
        self._frames.inc()
        reading = record.reading
        for gauge, values in zip(self._gauges, (record.losses, reading.means, reading.windows), strict=True):
            for name, value in values.items():
                gauge.labels(name).set(value)
        for flag in reading.flags:
            self._flags.labels(flag.output, flag.kind).inc()
        if time.monotonic() - self._published >= TEXTFILE_S:
            self.publish()

    def note(self, what: str, losses: Mapping[str, float], *, number: int, again: bool) -> None:  # noqa: ARG002
        for name, value in losses.items():
            self._further.labels(name, what).set(value)

    def publish(self) -> None:
        self._publish(self._registry)
        self._published = time.monotonic()


@contextmanager
def prometheus_sink(*, port: int | None, host: str, textfile: Path | None, unit: str = "frame") -> Iterator[Sink]:
    """Serve the figures to Prometheus, or write them for its node exporter once a second.

    Args:
        port: Port of the HTTP endpoint, 0 for any free one; None for none.
        host: Address that it listens on.
        textfile: File that is replaced whole; None for none.
        unit: What is counted.

    Raises:
        BackendError: prometheus-client is not installed.
        InputError: The port cannot be had.
        StorageError: The file cannot be written.
    """
    module = _imported("prometheus_client", "--prometheus", "prometheus-client")

    def publish(registry: Any) -> None:
        if textfile is None:
            return
        try:
            replace_file(textfile, module.generate_latest(registry))
        except OSError as error:
            raise StorageError(f"--prometheus-textfile '{textfile}': cannot be written: {error.strerror}") from error

    sink = _Prometheus(module, publish, unit)
    server = None if port is None else _serving(module, sink.registry, host, port)
    try:
        yield sink
        sink.publish()
    except BaseException:
        with suppress(StorageError):
            sink.publish()
        raise
    finally:
        if server is not None:
            server.shutdown()
            server.server_close()


def _serving(module: Any, registry: Any, host: str, port: int) -> Any:
    try:
        server, _ = module.start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise InputError(
            f"--prometheus {port}: cannot listen on {host}: {error.strerror}; choose another port"
        ) from error
    return server


def _imported(name: str, option: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BackendError(f"{option}: {package} is not installed ({error}); run `pip install {package}`") from error
