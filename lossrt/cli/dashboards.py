"""Where losses are shown beside a verb's own output: options of `evaluate` and `finetune`."""

__all__ = [
    "CurveOption",
    "Dashboards",
    "PrometheusFileOption",
    "PrometheusHostOption",
    "PrometheusOption",
    "TensorboardOption",
]

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossrt.errors import InputError

if TYPE_CHECKING:
    from lossrt.device.evaluate.sinks import Sink

CurveOption = Annotated[Path | None, typer.Option("--curve", help="Draw the losses into this SVG.")]
TensorboardOption = Annotated[Path | None, typer.Option("--tensorboard", help="Folder for TensorBoard's event files.")]
PrometheusOption = Annotated[
    int | None, typer.Option("--prometheus", min=0, max=65535, help="Serve the figures on this port.")
]
PrometheusHostOption = Annotated[
    str | None, typer.Option("--prometheus-host", help="Address to serve on; 127.0.0.1 without it.")
]
PrometheusFileOption = Annotated[
    Path | None, typer.Option("--prometheus-textfile", help="Write the figures here once a second.")
]


@dataclass(frozen=True, slots=True)
class Dashboards:
    """What a user asked to see.

    Attributes:
        curve: SVG of the losses.
        tensorboard: Folder of event files.
        prometheus: Port of the HTTP endpoint.
        prometheus_host: Address that it listens on.
        prometheus_textfile: File that is replaced whole.

    Raises:
        InputError: There is an address, but no port.
    """

    curve: Path | None = None
    tensorboard: Path | None = None
    prometheus: int | None = None
    prometheus_host: str | None = None
    prometheus_textfile: Path | None = None

    def __post_init__(self) -> None:
        if self.prometheus_host is not None and self.prometheus is None:
            raise InputError("--prometheus-host: expected together with --prometheus, which was not given; add it")

    @property
    def files(self) -> dict[str, Path | None]:
        """Files that are written, by option."""
        return {"--curve": self.curve, "--prometheus-textfile": self.prometheus_textfile}

    @property
    def folders(self) -> dict[str, Path | None]:
        """Folders that are written to, by option."""
        return {"--tensorboard": self.tensorboard}

    def opened(self, stack: ExitStack, outputs: Sequence[str], *, title: str, unit: str) -> "list[Sink]":
        """Open what was asked for.

        Args:
            stack: Writes what is left, and closes it.
            outputs: Names of the losses.
            title: What stands above the curve.
            unit: What is counted: `frame` or `step`.

        Raises:
            BackendError: A package is missing.
            InputError: The port cannot be had.
            StorageError: The disk refuses.
        """
        from lossrt.device.evaluate.sinks import CurveFile, prometheus_sink, tensorboard_sink

        sinks: list[Sink] = []
        if self.curve is not None:
            picture = CurveFile(self.curve, outputs, title=title, unit=unit)
            stack.callback(picture.write)
            sinks.append(picture)
        if self.tensorboard is not None:
            sinks.append(stack.enter_context(tensorboard_sink(self.tensorboard, unit=unit)))
        if self.prometheus is not None or self.prometheus_textfile is not None:
            host = self.prometheus_host or "127.0.0.1"
            served = prometheus_sink(port=self.prometheus, host=host, textfile=self.prometheus_textfile, unit=unit)
            sinks.append(stack.enter_context(served))
        return sinks
