"""Where losses are shown beside the output file: TensorBoard, Prometheus, a picture."""

__all__ = ["CurveFile", "Sink", "prometheus_sink", "tensorboard_sink"]

import importlib
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
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


class CurveFile:
    """An SVG of every output over the frames.

    Args:
        path: The file.
        outputs: Names of the outputs.
        title: What stands above it.
    """

    def __init__(self, path: Path, outputs: Sequence[str], *, title: str) -> None:
        self._path, self._title, self._frames = path, title, 0
        self._curves = {name: Curve() for name in outputs}

    def show(self, record: FrameRecord, *, number: int, again: bool) -> None:  # noqa: ARG002  # it is drawn whole
        """Add a frame."""
        self._frames = number + 1
        for name, curve in self._curves.items():
            curve.add(record.losses[name])

    def write(self) -> None:
        """Write the picture; nothing without a frame.

        Raises:
            StorageError: The disk refuses.
        """
        if not self._frames:
            return
        text = curve_svg(self._curves, title=self._title, frames=self._frames)
        try:
            replace_file(self._path, text.encode())
        except OSError as error:
            raise StorageError(f"--curve '{self._path}': cannot be written: {error.strerror}") from error


class _TensorBoard:
    """Event files, written as the frames come: tensorboardX's own writer has a thread, which a full disk ends unheard."""

    def __init__(self, folder: Path) -> None:
        package = _imported("tensorboardX", "--tensorboard", "tensorboardX")
        records = importlib.import_module(f"{package.__name__}.record_writer")
        self._proto = importlib.import_module(f"{package.__name__}.proto.event_pb2")
        self._summary = importlib.import_module(f"{package.__name__}.proto.summary_pb2").Summary
        self._folder, self._begun, self._flushed = folder, False, time.monotonic()
        with self._told():
            folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
            self._file = records.RecordWriter(str(folder / name))
        self._write(0, file_version="brain.Event:2")

    def show(self, record: FrameRecord, *, number: int, again: bool) -> None:
        if again:
            return
        values = {f"frame/{name}": value for name, value in record.losses.items()}
        values |= {f"window/{name}": value for name, value in record.reading.windows.items()}
        values |= {f"flag/{flag.kind}/{flag.output}": 1.0 for flag in record.reading.flags}
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
def tensorboard_sink(folder: Path) -> Iterator[Sink]:
    """Write event files for TensorBoard; a run that goes on writes a further one, from its first frame on.

    Args:
        folder: Where they go.

    Raises:
        BackendError: tensorboardX is not installed.
        StorageError: The disk refuses.
    """
    sink = _TensorBoard(folder)
    try:
        yield sink
    except BaseException:
        with suppress(StorageError):  # what ended the run is what is told
            sink.close()
        raise
    sink.close()


class _Prometheus:
    def __init__(self, module: Any, publish: Callable[[Any], None]) -> None:
        self._registry = module.CollectorRegistry()
        self._publish, self._published = publish, -math.inf
        gauge, counter = module.Gauge, module.Counter
        labels: dict[str, Any] = {"labelnames": ("output",), "registry": self._registry}
        self._gauges = [
            gauge("lossrt_loss", "Loss of the last frame.", **labels),
            gauge("lossrt_loss_mean", "Mean over all frames with a finite loss.", **labels),
            gauge("lossrt_loss_window", "Mean over the last frames with a finite loss.", **labels),
        ]
        self._flags = counter(
            "lossrt_flags", "Frames with a flag.", labelnames=("output", "kind"), registry=self._registry
        )
        self._frames = counter("lossrt_frames", "Frames evaluated.", registry=self._registry)
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

    def publish(self) -> None:
        self._publish(self._registry)
        self._published = time.monotonic()


@contextmanager
def prometheus_sink(*, port: int | None, host: str, textfile: Path | None) -> Iterator[Sink]:
    """Serve the figures to Prometheus, or write them for its node exporter once a second.

    Args:
        port: Port of the HTTP endpoint, 0 for any free one; None for none.
        host: Address that it listens on.
        textfile: File that is replaced whole; None for none.

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

    sink = _Prometheus(module, publish)
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
